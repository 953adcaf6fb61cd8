"""A forest that counts votes once: river's predictions, errors, draws and state, to every bit."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from river import compose, drift, forest, metrics
from river import preprocessing as pre

from stream.core import compared
from stream.core.learning.estimator import kind_of, methods_of
from stream.models.fast import quick
from stream.models.fast.forest import FusedForest, is_fused_forest
from stream.models.fast.pipeline import quicker
from tests.bits import bits
from tests.core.learning.comparison import restored
from tests.models.fast.trees import (
    EVENTS,
    Event,
    ask_for_others,
    drifting,
    event,
    fail_alike,
    follow,
    last,
)


def _forest(**params: Any) -> forest.ARFClassifier:
    return forest.ARFClassifier(**{"n_models": 3, "seed": 7, "grace_period": 20} | params)


def _quick(delta: float) -> drift.ADWIN:
    return drift.ADWIN(delta=delta, clock=8, min_window_length=3, grace_period=5)


FORESTS: dict[str, Callable[[], Any]] = {
    "river's defaults": lambda: forest.ARFClassifier(n_models=3, seed=7),
    "nervous": lambda: _forest(drift_detector=_quick(0.05), warning_detector=_quick(0.3)),
    "drifts before warnings": lambda: _forest(
        drift_detector=_quick(0.5), warning_detector=_quick(0.001)
    ),
    "without warnings": lambda: _forest(
        drift_detector=_quick(0.1), warning_detector=drift.NoDrift()
    ),
    "without drifts": lambda: _forest(drift_detector=drift.NoDrift(), warning_detector=_quick(0.1)),
    "without detectors": lambda: _forest(
        drift_detector=drift.NoDrift(), warning_detector=drift.NoDrift()
    ),
    "equal votes": lambda: _forest(disable_weighted_vote=True),
    "rated by chances": lambda: _forest(metric=metrics.CrossEntropy()),
    "few lessons": lambda: _forest(lambda_value=1),
    "shallow": lambda: _forest(max_depth=1),
    "without room": lambda: _forest(max_size=0.02, memory_estimate_period=50),
    "nominal": lambda: _forest(nominal_attributes=["word", "code"]),
    "majority only": lambda: _forest(leaf_prediction="mc"),
    "bayes only": lambda: _forest(leaf_prediction="nb"),
    "numbers selected": lambda: compose.SelectType(int, float) | _forest(),
    "behind a scaler": lambda: pre.StandardScaler() | _forest(),
}
ONLY_NUMBERS = {"behind a scaler"}
WITH_SIZES = {"without room"}  # in bytes of this very process: two of river's differ, too
CHANGING = {"nervous", "drifts before warnings", "without warnings"}


@pytest.mark.parametrize("name", FORESTS)
@pytest.mark.parametrize("seed", range(2))
def test_a_stream_gives_rivers_forest(name: str, seed: int) -> None:
    """With drift, missing features, events without a label, and labels without a prediction."""
    rivers, mine = FORESTS[name](), FORESTS[name]()
    rng = random.Random(seed)
    texts = name not in ONLY_NUMBERS
    events = drifting(rng, events_n=900, drift_at=500, texts=texts)
    for _ in follow(rivers, mine, events, rng, has_sizes=name in WITH_SIZES):
        assert _draws(mine) == _draws(rivers)
    if name in CHANGING:
        assert last(rivers).n_drifts_detected() > 0


@pytest.mark.parametrize("name", ["nervous", "rated by chances", "majority only"])
@settings(max_examples=30)
@given(events=EVENTS)
def test_numbers_and_texts_in_one_feature_fail_as_they_do_in_river(
    name: str, events: list[Event]
) -> None:
    """With the same error, at the same event; what is left behind then is undone by the fold."""
    fail_alike(FORESTS[name](), FORESTS[name](), events)


def test_votes_are_those_of_the_very_event() -> None:
    """Another event was asked for in between, or something was learned."""
    ask_for_others(FORESTS["nervous"](), FORESTS["nervous"](), events_n=200)


def test_a_forest_goes_on_after_it_was_pickled() -> None:
    """Its methods are made anew for the state that comes back."""
    rivers, mine = FORESTS["nervous"](), FORESTS["nervous"]()
    rng = random.Random(3)
    for n in range(400):
        x, y = event(rng, texts=True)
        if n % 50 == 0:
            mine = restored(mine)
        methods = methods_of(quick(mine), kind_of(mine))
        expected = rivers.predict_proba_one(x)
        assert bits(methods.predict(x).probabilities) == bits(expected)
        rivers.learn_one(x, y)
        methods.learn(x, y)
    assert _draws(mine) == _draws(rivers)


def test_only_rivers_own_class_is_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    """And only of a river whose bits were compared."""
    assert isinstance(quicker(_forest()), FusedForest)
    other = forest.ARFRegressor(seed=1)
    assert quick(other) is other
    monkeypatch.setattr(compared, "river_version", "0.26.9")
    assert not is_fused_forest(_forest())


def _draws(model: Any) -> Any:
    """Where the forest's generator stands: the same numbers were drawn."""
    return last(model)._rng.getstate()
