"""Only what states are made of comes out of a pickle; everything else is refused uncalled."""

import collections
import importlib
import inspect
import json
import math
import os
import pickle
import pkgutil
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import river
from hypothesis import given
from hypothesis import strategies as st
from river import base, compose, forest, linear_model, preprocessing

from stream.core.snapshots import pickling, rebuilding, unpickling
from stream.core.snapshots.unpickling import Allowed

UNTRAINED = pickling.dumps(preprocessing.StandardScaler() | linear_model.LogisticRegression())
ALLOWED = Allowed(UNTRAINED, factory="stream.models")


class Call:
    """Pickles as the call of something."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


class Helper:
    """What a user's model comes to hold only while it learns."""

    class Inner:
        """A class in a class."""

    def method(self) -> int:
        """A method."""
        return 1

    @property
    def trap(self) -> int:
        """Asking for it would run it."""
        raise AssertionError("it was evaluated")


def cleaned(text: str) -> str:
    """A function that a user's model holds."""
    return text.strip()


def emptied(text: str) -> str:
    """One beside it, that it does not hold."""
    return text[:0]


class Users(base.Classifier):
    """A user's model, in the user's own module."""

    def __init__(self) -> None:
        self.helpers: list[Any] = []

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """See river."""
        helper = Helper()
        self.helpers += [helper, Helper.Inner(), helper.method, collections.Counter([str(y)]), x]


class UsersForest(forest.ARFClassifier):
    """River's forest, with something of the user's: it makes its trees while it learns."""


HOSTILE: list[tuple[str, bytes]] = [
    ("os.system", pickle.dumps(Call(os.system, "true"))),
    ("subprocess", pickle.dumps(Call(subprocess.Popen, ["true"]))),
    ("builtins.eval", pickle.dumps(Call(eval, "1"))),
    ("builtins.__import__", pickle.dumps(Call(__import__, "os"))),
    ("a partial of it", pickle.dumps(partial(os.system, "true"))),
    ("through a river module's import", b"\x80\x04\x8c\x0briver.utils\x8c\x04math\x93."),
    (
        "a module inside river",
        b"cstream.core.learning.estimator\nimportlib.import_module\n(Vos\ntR.",
    ),
    ("what a river module imported", b"criver.datasets.base\nos.system\n(Vtrue\ntR."),
    ("a function of river", b"criver.stream.iter_csv\niter_csv\n(V/etc/passwd\ntR."),
    ("what reads files", b"criver.stream.cache\nCache\n(V/tmp\ntR."),
    ("what loads data", b"criver.datasets.http\nHTTP\n)R."),
    ("our own sandbox", b"cstream.sandbox.process\nServerProcess\n)R."),
    ("a class under another's module", b"criver.linear_model\nLogisticRegression\n)R."),
    ("a dunder by getattr", b"cbuiltins\ngetattr\n(criver.base.base\nBase\nV__subclasses__\ntR."),
    ("a stranger's method", b"cbuiltins\ngetattr\n(cbuiltins\ndict\nVfromkeys\ntR."),
    (
        "an attribute by getattr",
        b"cbuiltins\ngetattr\n(criver.base.base\nBase\nV_repr_content\ntR.",
    ),
    ("an extension", b"\x82\x01."),
    ("a persistent id", b"Pid\n."),
    ("no pickle", b"no pickle"),
    ("nothing", b""),
    ("an empty stack", b"."),
    ("half of one", UNTRAINED[: len(UNTRAINED) // 2]),
]


@pytest.mark.parametrize("pickled", [p for _, p in HOSTILE], ids=[name for name, _ in HOSTILE])
def test_hostile_pickles_are_refused(pickled: bytes) -> None:
    """By name, and always with the same exception."""
    with pytest.raises(pickle.UnpicklingError):
        unpickling.loads(pickled, ALLOWED)


def test_nothing_is_called_that_is_refused(tmp_path: Path) -> None:
    """The refusal comes when the name is read, before the call; what is refused is said."""
    mark = tmp_path / "it ran"
    bomb = pickle.dumps([linear_model.LogisticRegression(), Call(os.mkdir, str(mark))])

    with pytest.raises(pickle.UnpicklingError, match=r"names posix\.mkdir, which no state"):
        unpickling.loads(bomb, ALLOWED)

    assert not mark.exists()
    pickle.loads(bomb)  # noqa: S301  # the bomb is real
    assert mark.exists()


def test_properties_are_not_evaluated() -> None:
    """Only methods of the untrained state's classes and the user's come out of a pickle."""
    users = Allowed(pickling.dumps(Users()), factory=__name__)
    assert unpickling.loads(pickling.dumps(Helper().method), users)() == 1
    with pytest.raises(pickle.UnpicklingError, match="'trap', which is no method"):
        unpickling.loads(pickling.dumps(Call(rebuilding.method, Helper(), "trap")), users)
    with pytest.raises(pickle.UnpicklingError, match="names"):
        unpickling.loads(pickling.dumps(Helper().method), ALLOWED)


def test_a_users_model_brings_its_own_module() -> None:
    """Classes that it makes only while it learns too, and what its untrained state names."""
    model = Users()
    untrained = pickling.dumps(model)
    model.learn_one({"a": 1.0}, "x")
    back = unpickling.loads(pickling.dumps(model), Allowed(untrained, factory=__name__))

    assert [type(each).__name__ for each in back.helpers[:2]] == ["Helper", "Inner"]
    assert back.helpers[2]() == 1


def test_a_users_class_may_hold_what_the_class_of_rivers_does_that_it_derives_from() -> None:
    """The untrained state names the user's class alone, and a learned one river's trees."""
    model = UsersForest(n_models=2, seed=1, grace_period=5)
    allowed = Allowed(pickling.dumps(model), factory=__name__)
    for n in range(60):
        model.learn_one({"a": float(n % 7), "b": n % 3}, n % 7 > 3)
    back = unpickling.loads(pickling.dumps(model), allowed)

    x = {"a": 6.0, "b": 1}
    assert back.predict_proba_one(x) == model.predict_proba_one(x)
    with pytest.raises(pickle.UnpicklingError, match="FuncTransformer, which no state"):
        unpickling.loads(pickling.dumps(compose.FuncTransformer(dict)), allowed)


def test_what_the_untrained_model_names_is_allowed_and_nothing_near_it() -> None:
    """A configured function is the operator's choice; its module's other functions are not."""
    allowed = Allowed(
        pickling.dumps([math.sqrt, json.dumps, cleaned, "text".upper]), factory="stream.models"
    )

    assert allowed.refused == ["json.dumps"]  # of the standard library only what is listed
    assert unpickling.loads(pickling.dumps(Call(cleaned, " a ")), allowed) == "a"
    assert unpickling.loads(pickling.dumps(math.sqrt), allowed) is math.sqrt
    assert unpickling.loads(pickling.dumps("other".upper), allowed)() == "OTHER"
    for value in (json.dumps, math.floor, emptied, "text".format):
        with pytest.raises(pickle.UnpicklingError):
            unpickling.loads(pickling.dumps(value), allowed)


@given(value=st.binary(max_size=60))
def test_random_bytes_are_values_or_refused(value: bytes) -> None:
    """No other exception."""
    try:
        unpickling.loads(b"\x80\x04" + value, ALLOWED)
    except pickle.UnpicklingError:
        return


# -- river's estimators, all of them ---------------------------------------------------------------


def _estimators() -> Iterator[Any]:
    for found in pkgutil.walk_packages(river.__path__, "river."):
        if re.search(r"test_|checks|datasets|\.synth|bandit\.envs|compat|stream", found.name):
            continue
        module = importlib.import_module(found.name)
        for cls in vars(module).values():
            own = isinstance(cls, type) and cls.__module__ == found.name
            if own and issubclass(cls, base.Base) and not inspect.isabstract(cls):
                yield pytest.param(cls, id=f"{found.name}.{cls.__name__}")


def _made(cls: Any) -> list[Any]:
    """As river's own tests make it; some want what is not installed, or arguments."""
    try:
        return [cls(**params) for params in cls._unit_test_params()]
    except (NotImplementedError, TypeError, AttributeError, ValueError, RuntimeError):
        return []


def _taught(model: Any) -> bool:
    """Whether it learned something from one of the shapes that river's estimators take."""
    random = Random(3)
    ways: list[Callable[[dict[str, Any], bool], Any]] = [
        lambda x, y: model.learn_one(x, y=y),
        lambda x, y: model.learn_one(x, float(y)),
        lambda x, _: model.learn_one(x),
        lambda _, y: model.learn_one(f"some words {y}"),
        lambda x, _: model.update(x["a"]),
        lambda _, y: model.update(y, y),
    ]
    working = None
    for _ in range(300):
        x, y = {"a": random.random(), "b": random.gauss(0, 1), "c": random.random()}, False
        y = x["a"] + 0.1 * x["b"] > 0.5
        for way in [working] if working else ways:
            try:
                way(x, y)
            except Exception:  # noqa: BLE001, S112  # another estimator takes another shape
                continue
            working = way
            break
    return working is not None


@pytest.mark.parametrize("cls", list(_estimators()))
def test_every_estimator_of_river_comes_back(cls: Any) -> None:
    """Trained, from the names that it has untrained; a new river that needs more fails here."""
    for model in _made(cls):
        untrained = pickling.dumps(model)
        _taught(model)
        trained = pickling.dumps(model)
        back = unpickling.loads(trained, Allowed(untrained, factory="mine"))
        assert type(back) is cls


def test_the_search_finds_rivers_estimators() -> None:
    """And can teach most of them: else the test above would show nothing."""
    taught = [cls for each in _estimators() if any(map(_taught, _made(cls := each.values[0])))]

    assert len(taught) > 120
