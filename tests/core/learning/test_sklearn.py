"""Scikit-learn's models through `river.compat`, beside a plain loop and restored half way.

They hold what river's don't: loss functions in Cython, generators, optimizers, coders of labels,
some of it only once they have learned. What is asked of all of them is asked where scikit-learn is;
its rule in `unpickling` is tried everywhere, on classes that stand in for its own.
"""

import importlib
import pickle
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from stream.config import load
from stream.core import seeds
from stream.core.fold.task import Task
from stream.core.snapshots import pickling, unpickling
from stream.core.snapshots.unpickling import Allowed
from stream.core.spec import ModelSpec
from stream.runtime import preparation
from tests.conftest import skip_or_fail
from tests.folds import PARTITION, event, outputs_of, prediction_of, recipe

pytestmark = pytest.mark.filterwarnings("ignore")

EVENTS_N = 100
LABELS: dict[str, list[Any]] = {
    "bools": [False, True], "words": ["DOWN", "UP"], "three": ["a", "b", "c"]
}  # fmt: skip

CLASSIFIERS = (
    "sgd log_loss", "sgd hinge", "sgd squared_error", "sgd averaged", "perceptron",
    "passive aggressive", "gaussian", "multinomial", "bernoulli", "network", "network by sgd",
    "one against the rest",
)  # fmt: skip
REGRESSORS = ("sgd", "sgd huber", "passive aggressive", "network")


@pytest.fixture(scope="module")
def sklearn_models() -> Any:
    """The module of models, where scikit-learn and pandas are."""
    try:
        return importlib.import_module("tests.sklearn_models")
    except ImportError as error:
        skip_or_fail("scikit-learn", error)


def _events(labels: list[Any] | None) -> Iterator[tuple[dict[str, Any], Any]]:
    rng = random.Random(5)
    for _ in range(EVENTS_N):
        x: dict[str, Any] = {
            "a": abs(rng.gauss(0, 1)),
            "b": 3 * rng.random(),
            "c": rng.randrange(4),
        }
        x["d"] = rng.random() < 0.5
        y = x["a"] + x["b"] - 2 * x["d"] + rng.gauss(0, 0.3)
        label = y if labels is None else labels[min(len(labels) - 1, max(0, int(y)))]
        yield x, None if rng.random() < 0.05 else label


def _plain(model: Any, events: list[Any]) -> list[Any]:
    """Answer and probabilities of a loop of river's own; None where one of them is no number."""
    answers: list[Any] = []
    for x, y in events:
        answer, chances = model.predict_one(x), None
        if hasattr(getattr(model, "steps", {}).get("SKL2RiverClassifier", model), "classes"):
            try:
                chances = [float(p) for p in model.predict_proba_one(x).values()]
            except AttributeError:
                chances = None  # scikit-learn has none of them
        value = answer.item() if isinstance(answer, np.generic) else answer
        answers.append(None if chances and np.isnan(chances).any() else (value, chances))
        if y is not None:
            model.learn_one(x, y)
    return answers


def _fold(params: dict[str, Any], events: list[Any]) -> list[Any]:
    spec = ModelSpec(factory="tests.sklearn_models:make", params=params)
    chosen = replace(recipe(spec.factory), model=spec)
    folded = Task(chosen, partition=PARTITION)
    answers: list[Any] = []
    for n, (x, y) in enumerate(events):
        if n in (3, EVENTS_N // 2):  # early, and once it has all that it will have
            folded = Task(chosen, partition=PARTITION, payload=folded.keep_copy())
        found = prediction_of(outputs_of(folded, event(n, x, y)))
        chances = found.get("probabilities")
        said = found["prediction"], None if chances is None else list(chances.values())
        answers.append(None if "fault" in found else said)
    return answers


@pytest.mark.parametrize("scaled", [False, True], ids=["alone", "scaled"])
@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_of_sklearn_gives_what_a_plain_loop_gives(
    sklearn_models: Any, name: str, scaled: bool
) -> None:
    """Restored twice from what a snapshot holds."""
    events = list(_events(None))

    found = _fold({"name": name, "scaled": scaled}, events)

    assert repr(found) == repr(_plain(sklearn_models.make(name, scaled=scaled), events))


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("scaled", [False, True], ids=["alone", "scaled"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_of_sklearn_gives_what_a_plain_loop_gives(
    sklearn_models: Any, name: str, scaled: bool, labels: str
) -> None:
    """With probabilities or without; where they are no numbers yet there is a fault."""
    if scaled and name == "multinomial":
        pytest.skip("no such pipeline here: it takes no negative numbers")
    params = {"name": name, "labels": LABELS[labels], "scaled": scaled}
    events = list(_events(LABELS[labels]))

    found = _fold(params, events)

    assert repr(found) == repr(_plain(sklearn_models.make(**params), events))
    assert (None in found) == (name == "gaussian")


def test_the_lists_are_those_of_the_models(sklearn_models: Any) -> None:
    """Here they stand once more, for a machine without scikit-learn."""
    assert tuple(sklearn_models.CLASSIFIERS) == CLASSIFIERS
    assert tuple(sklearn_models.REGRESSORS) == REGRESSORS


def test_an_unseeded_model_of_sklearn_is_found_by_name(sklearn_models: Any) -> None:
    """Before it has drawn anything."""
    for name in sklearn_models.UNSEEDED:
        model = sklearn_models.make(name, [False, True], scaled=True)
        assert seeds.unseeded(model) == [f"{name}.random_state"]


def test_the_version_of_sklearn_is_part_of_the_recipe_of_its_models(
    sklearn_models: Any, tmp_path: Path
) -> None:
    """Another one may compute other digits; a model without it has none to be compared."""
    text = 'pipeline = "p"\n[kafka]\nclient = "embedded"\npath = "l"\n[model]\nfactory = '
    parts = []
    for factory in (f"{sklearn_models.__name__}:make", "stream.models:naive_bayes"):
        params = '{ name = "perceptron", labels = ["a", "b"] }' if "tests" in factory else "{}"
        (tmp_path / "stream.toml").write_text(f'{text}"{factory}"\nparams = {params}\n')
        settings = load(tmp_path / "stream.toml", environ={})
        parts.append(preparation.make_recipe(settings).parts())

    assert parts[0]["scikit-learn"] == importlib.import_module("sklearn").__version__
    assert "scikit-learn" not in parts[1]


def _taught(estimator: Any) -> bool:
    rng = np.random.RandomState(0)
    x = abs(rng.normal(size=(60, 3)))
    y = x[:, 0] > 0.5
    many = np.c_[y, y]
    for arguments in (
        (x, y, [False, True]),
        (x, y),
        (x,),
        (x, many, [[False, True]] * 2),
        (x, many),
    ):
        try:
            estimator.partial_fit(*arguments)
            estimator.partial_fit(*arguments)
        except (TypeError, ValueError):
            continue
        return True
    return False


@pytest.mark.usefixtures("sklearn_models")
def test_every_estimator_of_sklearn_comes_back() -> None:
    """All that learn in parts, in a user's model too; a new version that needs more fails."""
    linear_model = importlib.import_module("sklearn.linear_model")
    back = []
    for name, cls in importlib.import_module("sklearn.utils").all_estimators():
        if not hasattr(cls, "partial_fit") or name in ("HashingVectorizer", "SelectFromModel"):
            continue  # the one holds a class of numpy, the other learns nothing itself
        inner = linear_model.SGDRegressor if "Regressor" in name else linear_model.SGDClassifier
        wraps = "Output" in name or name.startswith("OneVs")
        estimator = cls(inner(random_state=1)) if wraps else cls()
        allowed = Allowed(pickling.dumps(estimator), factory="mine")
        assert not allowed.refused, name
        if _taught(estimator):
            found = unpickling.loads(pickling.dumps(estimator), allowed)
            back.append(type(found) is cls)
    assert len(back) > 20
    assert all(back)


# -- the rule, on classes that stand in ------------------------------------------------------------


class Estimator:
    """As `SGDClassifier`: it makes what it needs when it first learns."""


class Loss:
    """As a loss of scikit-learn's."""


class Optimizer:
    """As a network's optimizer."""


class Coder:
    """As `LabelBinarizer`."""


class Transformer:
    """As `FunctionTransformer`, which calls what it is given."""


PLACES: dict[type, str] = {
    Loss: "sklearn._loss._loss",
    Optimizer: "sklearn.neural_network._stochastic_optimizers",
    Coder: "sklearn.preprocessing._label",
    Transformer: "sklearn.preprocessing._function_transformer",
}


def _placed(monkeypatch: pytest.MonkeyPatch, cls: type, place: str) -> None:
    parts = place.split(".")
    for parent in (".".join(parts[:n]) for n in range(1, len(parts))):
        if parent not in sys.modules:  # pickle asks for them
            monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
    module: Any = ModuleType(place)
    setattr(module, cls.__name__, cls)
    monkeypatch.setattr(cls, "__module__", place)
    monkeypatch.setitem(sys.modules, place, module)


@pytest.mark.parametrize(
    ("place", "grown"),
    [
        ("sklearn.linear_model._stochastic_gradient", {Loss}),
        ("sklearn.neural_network._multilayer_perceptron", {Optimizer, Coder}),
        ("sklearn.naive_bayes", set()),
        ("sklearn.preprocessing._data", set()),
    ],
)
def test_an_estimator_of_sklearn_brings_what_it_makes_while_it_learns(
    monkeypatch: pytest.MonkeyPatch, place: str, grown: set[type]
) -> None:
    """And nothing else of it: neither the rest of its package, nor what calls what it is given."""
    for cls, where in {**PLACES, Estimator: place}.items():
        _placed(monkeypatch, cls, where)
    allowed = Allowed(pickling.dumps(Estimator()), factory="mine")

    assert not allowed.refused
    for cls in PLACES:
        pickled = pickling.dumps([Estimator(), cls()])
        if cls in grown:
            assert type(unpickling.loads(pickled, allowed)[1]) is cls
        else:
            with pytest.raises(pickle.UnpicklingError, match=rf"it names {cls.__module__}\."):
                unpickling.loads(pickled, allowed)
