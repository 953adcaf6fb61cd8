"""The ready pipelines on real streams: as accurate as their docstrings say.

Each is built with its defaults, as a configuration without `params` would build it.
"""

import statistics
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
from river import linear_model, preprocessing

from stream.core.learning.estimator import build
from stream.core.spec import ModelSpec
from tests.data import flights, outliers, rows

Stream = Callable[[], Iterator[tuple[dict[str, Any], Any]]]


def make(name: str) -> Any:
    """The pipeline with its defaults."""
    return build(ModelSpec(factory=f"stream.models:{name}"))


def electricity() -> Iterator[tuple[dict[str, Any], Any]]:
    """Features and label (UP is True) of elec2."""
    for row in rows("elec2"):
        yield {name: value for name, value in row.items() if name != "class"}, row["class"] == "UP"


def delays() -> Iterator[tuple[dict[str, Any], Any]]:
    """Features (words and numbers) and label (late) of the flights that come with the package."""
    for row in flights():
        known = {name: value for name, value in row.items() if name not in {"time", "late"}}
        yield known, row["late"] == "true"


def durations() -> Iterator[tuple[dict[str, Any], Any]]:
    """The same flights as a regression."""
    names = ("minute", "weekday", "airline", "destination", "distance_miles")
    for row in flights():
        yield {name: row[name] for name in names}, row["duration_min"]


def rentals() -> Iterator[tuple[dict[str, Any], Any]]:
    """Features and label of bike_sharing_hour; what would give the label away is left out."""
    left_out = {"instant", "dteday", "casual", "registered", "cnt"}
    for row in rows("bike_sharing_hour"):
        yield {name: value for name, value in row.items() if name not in left_out}, row["cnt"]


def test_logistic_regression_is_rivers_bit_for_bit_on_numbers() -> None:
    """All of elec2: each probability equals the plain pipeline's, and 7,371 answers are wrong."""
    ours = make("logistic_regression")
    plain = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    errors = 0

    for features, label in electricity():
        probabilities = ours.predict_proba_one(features)
        assert probabilities == plain.predict_proba_one(features)
        errors += (probabilities[True] > 0.5) is not label
        ours.learn_one(features, label)
        plain.learn_one(features, label)

    assert errors == 7_371


# Accuracy on the first events, measured, less half a point.
FLOORS = {
    "logistic_regression": 0.843,
    "softmax_regression": 0.863,
    "passive_aggressive": 0.871,
    "naive_bayes": 0.795,
    "k_nearest_neighbors": 0.884,
    "hoeffding_tree": 0.843,
    "hoeffding_adaptive_tree": 0.880,
    "adaptive_random_forest": 0.891,
    "leveraging_bagging": 0.908,
    "no_change": 0.835,
}
FIRST_N = {"adaptive_random_forest": 2_000, "leveraging_bagging": 2_000}
"""5,000 of the others: these take milliseconds an event."""


# The same on the first 2,000 flights, a harder stream: always the commoner answer gives 0.548.
FLIGHTS_FLOORS = {
    "logistic_regression": 0.593,
    "softmax_regression": 0.605,
    "passive_aggressive": 0.589,
    "naive_bayes": 0.574,
    "k_nearest_neighbors": 0.595,
    "hoeffding_tree": 0.570,
    "hoeffding_adaptive_tree": 0.569,
    "adaptive_random_forest": 0.583,
    "leveraging_bagging": 0.586,
    "no_change": 0.547,
}


@pytest.mark.parametrize("name", FLIGHTS_FLOORS)
def test_classifiers_are_as_accurate_as_measured_on_flights(name: str) -> None:
    """With the defaults, on what every clone has."""
    model = make(name)
    right = 0
    for features, label in islice(delays(), 2_000):
        right += model.predict_one(features) == label
        model.learn_one(features, label)

    assert right / 2_000 >= FLIGHTS_FLOORS[name]


@pytest.mark.parametrize("name", FLOORS)
def test_classifiers_are_as_accurate_as_measured(name: str) -> None:
    """The first events of elec2, with the defaults; always saying DOWN gives 0.54."""
    model, events_n = make(name), FIRST_N.get(name, 5_000)
    right = 0
    for features, label in islice(electricity(), events_n):
        right += model.predict_one(features) == label
        model.learn_one(features, label)

    assert right / events_n >= FLOORS[name]


@pytest.mark.parametrize(
    ("stream", "name", "count", "error_max"),
    [
        (durations, "linear_regression", 3_000, 6.9),
        (durations, "hoeffding_tree_regressor", 3_000, 13.7),
        (durations, "adaptive_random_forest_regressor", 3_000, 17.8),
        (rentals, "linear_regression", 17_379, 83.0),
        (rentals, "hoeffding_tree_regressor", 17_379, 57.0),
        (rentals, "adaptive_random_forest_regressor", 5_000, 47.0),
    ],
)
def test_regressors_stay_finite_and_beat_the_mean(
    stream: Stream, name: str, count: int, error_max: float
) -> None:
    """Where river's default diverges at event 692, ours end far below the running mean's error."""
    model, baseline = make(name), make("running_mean")
    errors, baseline_errors = [], []

    for features, label in islice(stream(), count):
        errors.append(abs(model.predict_one(features) - label))
        baseline_errors.append(abs(baseline.predict_one(features) - label))
        model.learn_one(features, label)
        baseline.learn_one(features, label)

    assert max(errors) < 3 * max(baseline_errors)
    assert statistics.fmean(errors) <= error_max < statistics.fmean(baseline_errors)


def test_half_space_trees_rank_outliers_above_nearly_all() -> None:
    """Nine of 8,000 rows lie far off; half of them score above nine tenths of the rest."""
    model = make("half_space_trees")
    scores: dict[Any, list[float]] = {0: [], 1: []}
    for row in outliers(8_000):
        label = row.pop("label")
        scores[label].append(model.score_one(row))
        model.learn_one(row)

    assert len(scores[1]) == 9
    assert statistics.median(scores[1]) > statistics.quantiles(scores[0], n=10)[-1]


def test_half_space_trees_rank_attacks_above_the_median() -> None:
    """The first 16,000 events of smtp hold 13 attacks; most score above nine tenths of the rest."""
    model = make("half_space_trees")
    scores: dict[Any, list[float]] = {0: [], 1: []}
    for row in islice(rows("smtp"), 16_000):
        label = row.pop("label")
        scores[label].append(model.score_one(row))
        model.learn_one(row)

    median = statistics.median(scores[0])

    assert len(scores[1]) == 13
    assert statistics.median(scores[1]) > statistics.quantiles(scores[0], n=10)[-1] > median
    assert sum(score > median for score in scores[1]) >= 10
