"""A quick estimator: it stands for a model, and wherever it is stored or copied it is that one."""

import copy
import pickle
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from river import base, compose, linear_model, preprocessing

import stream.models
from stream.core.fold.task import Task
from stream.core.learning.answers import last_step
from stream.core.learning.estimator import build, kind_of
from stream.core.recipe import Recipe, itself
from stream.core.snapshots import pickling
from stream.core.spec import ModelSpec
from stream.core.stand_in import StandIn, is_stand_in, plain
from stream.models.fast import Quick, quick
from tests.core.learning.comparison import restored
from tests.folds import PARTITION, event, outputs_of, plain_pipeline, recipe
from tests.models.fast.linear_models import state
from tests.zoo import ANOMALY, ZOO, animal

UNSEEDED = {"AMRules"}
"""River gives them generators that the system seeds: the states of two are never the same bytes."""

EVENTS_N = 100
"""More than `scaled_linear.SAME_N`: then a row keeps the numbers apart."""


class Holding(base.Classifier):
    """A user's own around a model, which the model's last step knows, too."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.known = [self]

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Teach the model."""
        self.model.learn_one(x, y)


def quick_pipeline() -> base.Estimator:
    """A factory that gives a quick estimator itself."""
    return quick(plain_pipeline())


def holding() -> base.Estimator:
    """A user's model around a quick one."""
    return Holding(quick_pipeline())


def _events() -> Iterator[tuple[dict[str, Any], bool]]:
    rng = random.Random(4)
    for _ in range(EVENTS_N):
        x = {"a": rng.gauss(0, 1), "b": rng.random()}
        yield x, x["a"] > x["b"]


def _taught(model: Any) -> Any:
    for x, y in _events():
        model.predict_proba_one(x)
        model.learn_one(x, y)
    return model


@pytest.fixture
def rivers() -> Any:
    """A pipeline that learned."""
    return _taught(plain_pipeline())


@pytest.fixture
def mine() -> Any:
    """The same, by its quick estimator; nobody has asked for the model yet."""
    quickened = _taught(quick(plain_pipeline()))
    assert isinstance(quickened, Quick)
    return quickened


def _same(found: Any, rivers: Any) -> bool:
    """Whether both are plain models that know the same."""
    # Both from a pickle: which texts are one object then is the same.
    return not is_stand_in(found) and state(restored(found)) == state(restored(rivers))


def test_it_is_made_once(mine: Any) -> None:
    """Of a quick one the quick one is itself; of what nothing quicker is known, too."""
    assert quick(mine) is mine
    slow = linear_model.PAClassifier()
    assert quick(slow) is slow
    assert plain(slow) is slow


def test_pickled_it_is_the_model(mine: Any, rivers: Any) -> None:
    """With all that it learned, by anybody's pickler; nobody has to say so first."""
    for dumps in (pickle.dumps, pickling.dumps):
        held = _taught(quick(plain_pipeline()))
        assert _same(pickle.loads(dumps(held)), rivers)  # noqa: S301  # ours
    assert _same(pickle.loads(pickling.dumps([mine]))[0], rivers)  # noqa: S301  # ours
    assert pickling.dumps(mine) == pickling.dumps(plain(mine))


def test_a_copy_of_it_is_one_of_the_model(mine: Any, rivers: Any) -> None:
    """A deep one, a shallow one; a clone has learned nothing."""
    assert _same(copy.deepcopy(mine), rivers)
    assert _same(copy.copy(mine), rivers)
    assert _same(mine.clone(), plain_pipeline())
    assert _same(mine.model, rivers)


def test_it_goes_on_after_it_was_pickled(mine: Any, rivers: Any) -> None:
    """What it keeps apart stays apart: pickling only looks."""
    pickling.dumps(mine)
    assert _same(_taught(mine).model, _taught(rivers))


def test_it_can_what_the_model_can(mine: Any) -> None:
    """As `isinstance` and `hasattr` tell it; not all that river's pipelines only hand on."""
    assert isinstance(mine, base.Classifier)
    assert not isinstance(mine, base.Regressor)
    for name in stream.models.catalogue():
        model = getattr(stream.models, name)()
        methods: Any = quick(model)
        assert kind_of(methods) == kind_of(model)
        assert methods._supervised == model._supervised
        for method in ("predict_one", "predict_proba_one", "score_one"):
            assert hasattr(methods, method) == hasattr(last_step(model), method)
        assert repr(methods) == repr(model)


def test_its_likeliest_class_is_the_models(mine: Any, rivers: Any) -> None:
    """The fold asks for the probabilities alone; others may want the class."""
    assert [mine.predict_one(x) for x, _ in _events()] == [
        rivers.predict_one(x) for x, _ in _events()
    ]
    assert quick(stream.models.hoeffding_tree()).predict_one({"a": 1.0}) is None  # type: ignore[attr-defined]


def test_a_pipeline_that_ends_in_one_stands_for_nothing() -> None:
    """Nor does a user's own that has an attribute of that name."""
    ends = compose.Pipeline(preprocessing.MinMaxScaler(), quick(linear_model.LogisticRegression()))
    held = Holding(plain_pipeline())
    assert isinstance(ends, StandIn)  # so river has it for pipelines
    for model in (ends, held):
        assert not is_stand_in(model)
        assert plain(model) is model


def test_a_factory_may_give_one() -> None:
    """What is folded, and pickled, is the model."""
    spec = ModelSpec(factory=f"{__name__}:quick_pipeline")
    assert not is_stand_in(build(spec))


def test_a_model_may_hold_one() -> None:
    """What comes back from a snapshot holds the model that it stood for."""
    chosen = recipe(f"{__name__}:holding")
    folded = Task(chosen, partition=PARTITION, payload=Task(chosen, partition=PARTITION).pickled())
    assert type(folded.serving.model.model) is compose.Pipeline


def _folded(chosen: Recipe, name: str) -> tuple[list[Any], int, bytes]:
    """What is published of some events, the digest of it, and the model behind it."""
    folded, rng = Task(chosen, partition=PARTITION), random.Random(name)
    given = []
    for n in range(EVENTS_N):
        x: dict[str, Any] = {"a": rng.gauss(0, 1), "b": rng.random(), "c": rng.choice("stu")}
        label = x["a"] * 2 if folded.kind == "regression" else x["a"] > 0.3
        given += outputs_of(folded, event(n, x, None if name in ANOMALY else label))
        if n == EVENTS_N - 20:
            folded = Task(chosen, partition=PARTITION, payload=folded.keep_copy())
    return given, folded.state.digest, state(folded.serving.model)


@pytest.mark.parametrize("name", [name for name in ZOO if is_stand_in(quick(animal(name)))])
def test_which_way_it_is_called_changes_no_bit(name: str) -> None:
    """The outputs and the state, with each model's own methods and with the quick ones."""
    spec = ModelSpec(factory="tests.zoo:animal", params={"name": name})
    chosen = replace(recipe(spec.factory), model=spec)
    own = replace(chosen, quicken=itself)
    assert own == chosen
    assert own.fingerprint() == chosen.fingerprint()
    parts_n = 2 if name in UNSEEDED else 3
    assert _folded(chosen, name)[:parts_n] == _folded(own, name)[:parts_n]


def test_most_of_the_zoo_is_quicker() -> None:
    """Or the test above would compare river with itself."""
    assert sum(is_stand_in(quick(animal(name))) for name in ZOO) > 100
