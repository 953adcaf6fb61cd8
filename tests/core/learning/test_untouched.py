"""A model that raises costs little where its large parts have not changed; and only there."""

import pickle
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from river import (
    base,
    compose,
    dummy,
    linear_model,
    naive_bayes,
    preprocessing,
    stats,
    tree,
)

from stream.core.event import Record
from stream.core.fold.task import Task
from stream.core.learning.asking import UNCHANGED, in_doubt
from stream.core.learning.learner import At
from stream.core.learning.untouched import Watch
from stream.core.snapshots import pickling
from stream.models import encoders, labels, nominal
from tests.core.learning import raising
from tests.core.learning.raising import (
    MODELS,
    Careful,
    after,
    around,
    careful,
    counting,
    counting_alone,
    deciding,
    forgetful,
    forgetful_before_scores,
    forgetful_first,
    heavy,
    in_a_union,
    parsing,
    reaching,
    sharing,
    swallowing,
    toggling,
    trees,
)
from tests.folds import ADWIN, PARTITION, event, fold, recipe

QUESTIONS: list[dict[str, Any]] = [
    {"a": 0.5, "b": 0.1, "c": 2.0},
    {"a": 0.5},
    {"a": 9.0, "new": 1.0, "b": 0.1},
    {},
    {"only new": 1.0},
    {"a": "text", "b": 0.1, "c": 1.0},
    {"a": 0.1, "b": None, "c": 1.0},
    {"word": "w", "a": 1.0},
    {"a": True, "b": 1, "c": 10**200},
    {"a": [1], "b": object(), "c": 1.0},
]
"""Known features and unknown ones, fewer and none, and what makes many raise on the way."""

OURS = (
    encoders.MixedScaler,
    encoders.NormLimiter,
    nominal.NominalCoder,
    encoders.UnitScaler,
    labels.LabelCoder,
)


INNER: dict[type[Any], Any] = {
    dummy.StatisticRegressor: stats.Mean(),
    preprocessing.TargetStandardScaler: linear_model.LinearRegression(),
}
"""What river does not try by itself needs this."""


def instances(cls: type[Any]) -> Iterator[Any]:
    """An estimator with each set of parameters that river tries itself."""
    if cls in INNER:
        yield cls(INNER[cls])
        return
    for params in cls._unit_test_params():
        yield cls(**params)


def teach(model: Any, n: int) -> None:
    """Some events that every model takes."""
    rng = Random(1)
    for i in range(n):
        x: dict[Any, Any] = {"a": rng.gauss(0, 1), "b": rng.random(), "c": float(i % 5)}
        if isinstance(model, base.Classifier):
            model.learn_one(x, x["a"] > 0)
        elif isinstance(model, base.Regressor):
            model.learn_one(x, x["a"])
        else:
            model.learn_one(x)


def ask(model: Any, x: dict[str, Any]) -> None:
    """In every way there is; what it raises is what this is about."""
    for name in ("transform_one", "predict_one", "predict_proba_one", "score_one"):
        method = getattr(model, name, None)
        if method is not None:
            with suppress(Exception):
                method(dict(x))


@pytest.mark.parametrize("cls", sorted([*UNCHANGED, *OURS], key=str), ids=str)
def test_asking_changes_nothing(cls: type[Any]) -> None:
    """Whatever is asked, to the last byte of the state: of all that we rely on for it."""
    tried_n = 0
    for model in instances(cls):
        teach(model, 60)
        before = pickling.dumps(pickle.loads(pickling.dumps(model)))  # noqa: S301
        asked = pickle.loads(before)  # noqa: S301
        for x in QUESTIONS:
            ask(asked, x)
        assert pickling.dumps(asked) == before
        tried_n += 1
    assert tried_n


def task(model: Any, **others: Any) -> Task:
    """A fold with it."""
    parts = recipe(f"{raising.__name__}:{model.__name__}", detectors=(ADWIN,))
    return Task(parts, partition=PARTITION, **others)


def records(n: int = 150) -> list[Record]:
    """Every tenth event fails and brings a new name, and twice two do in a row."""
    rng, found = Random(3), []
    for i in range(n):
        features: dict[str, Any] = {"a": rng.gauss(0, 1), "b": float(i % 4)}
        label = features["a"] > 0
        if i > 20 and (i % 10 == 0 or i in (31, 71)):
            features |= {"bad": 1, f"only {i}": 1.0}
        found.append(event(i, features, label))
    return found


@pytest.mark.parametrize("model", MODELS)
def test_the_outcome_is_that_of_going_back_to_a_copy(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit, and of any state that it is restored from."""
    found = task(model)
    outputs = fold(found, records())
    cut = task(model)
    fold(cut, records()[:75])
    cut = task(model, payload=cut.keep_copy())
    assert fold(cut, records()[75:]) == outputs[75:]

    monkeypatch.setattr(Watch, "look", lambda _: False)
    always = task(model)
    assert fold(always, records()) == outputs
    assert found.metadata() == always.metadata() == cut.metadata()
    assert found.state.names == always.state.names == {"a", "b"}


@pytest.mark.parametrize(
    ("model", "undone_n"),
    [
        (careful, 0),
        (parsing, 0),
        (counting, 1),
        (counting_alone, 1),
        (in_a_union, 1),
        (toggling, 1),
        (heavy, 14),
        (forgetful, 1),
        (forgetful_first, 1),
        (forgetful_before_scores, 1),
        (around, 1),
        (after, 14),
        (swallowing, 14),
        (deciding, 14),
        (reaching, 14),
        (sharing, 14),
    ],
)
def test_only_what_may_have_changed_is_undone(
    model: Any, undone_n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function never is; a class once, from where on its small parts are kept for each event.

    What is large, or may have been taught already, goes back to its copy each time.
    """
    undone: list[int] = []
    go_back = Task._go_back

    def counted(self: Task, at: At) -> None:
        undone.append(self.state.n)
        go_back(self, at)

    monkeypatch.setattr(Task, "_go_back", counted)
    monkeypatch.setattr("stream.core.learning.untouched.SMALL_BYTES", 0)
    folded = task(model)
    fold(folded, records())
    assert folded.state.refused_n == 14
    assert len(undone) == undone_n


def test_what_is_looked_at_is_left_alone_when_nothing_fails_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The watch ends, and clean events cost what they did before."""
    monkeypatch.setattr("stream.core.learning.learner.WATCHED_N", 30)
    folded = task(counting)
    log = records(200)
    fold(folded, log[:31])
    assert folded.serving.ask == folded.serving._watch_and_ask
    clean = [event(1000 + i, {"a": 1.0, "b": 2.0}, label=True) for i in range(31)]
    fold(folded, clean)
    assert folded.serving.ask == folded.serving._answer


@pytest.mark.parametrize(
    ("model", "in_doubt_n"),
    [
        (trees(), 0),
        (careful(), 1),
        (parsing(), 0),
        (counting(), 2),
        (in_a_union(), 2),
        (labels.LabelCoder(tree.HoeffdingTreeClassifier()), 0),
        (labels.LabelCoder(naive_bayes.GaussianNB()), 0),
        (compose.FuncTransformer(Careful().transform_one) | trees(), 1),
    ],
    ids=range(8),
)
def test_a_part_is_in_doubt_unless_it_is_known(model: Any, in_doubt_n: int) -> None:
    """Wherever somebody's own class is inside, and what river changes when it is asked."""
    assert len(in_doubt(model)) == in_doubt_n


def test_another_river_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was tried holds for the river that it was tried with."""
    monkeypatch.setattr("stream.core.learning.asking.is_compared", lambda: False)
    assert len(in_doubt(trees())) == 1
