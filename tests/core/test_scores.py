"""Windowed scores agree with hand computations, with river's metrics and with the literature."""

import pickle
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import metrics

from stream.core.event import Kind
from stream.core.problems import PROBLEMS
from stream.core.scores import WINDOW_N, Score, Window
from tests.data import flights, rows

CLASSIFIERS = (Kind.BINARY, Kind.MULTICLASS)
Pairs = list[tuple[Any, Any]]


def score(pairs: Any, kind: Kind) -> Score | None:
    """What is shown of a problem of this kind."""
    return PROBLEMS[kind].score(pairs)


def test_accuracy_baseline_and_kappa_by_hand() -> None:
    """Of five pairs the first only seeds the baseline; 3 of 4 are hit, 2 of 4 are no change."""
    pairs: Pairs = [(True, True), (True, True), (False, False), (True, False), (True, True)]

    # Predicted true 3 of 4, actual true 2 of 4: by chance 3/4 * 1/2 + 1/4 * 1/2 = 1/2.
    assert score(pairs, Kind.BINARY) == Score("accuracy", 0.75, 0.5, 0.5, 4)


def test_mean_absolute_error_and_its_baseline_by_hand() -> None:
    """Off by 1, 0 and 2; the label before is off by 2, 1 and 3; no prediction counts as zero."""
    pairs: Pairs = [(9.0, 1), (2.0, 3), (2.0, 2), (3, 5)]

    assert score(pairs, Kind.REGRESSION) == Score("mae", 1.0, 2.0, None, 3)
    assert score([(0.0, 1), (None, 3)], Kind.REGRESSION) == Score("mae", 3.0, 2.0, None, 1)


def test_there_is_no_score_of_nothing() -> None:
    """Not before two labelled events, and never for anomaly scores."""
    window = Window()
    assert score(window.pairs, Kind.BINARY) is None
    window.add((True, True))
    assert score(window.pairs, Kind.BINARY) is None
    window.add((True, True))
    assert score(window.pairs, Kind.ANOMALY) is None
    assert score(window.pairs, Kind.BINARY) == Score("accuracy", 1.0, 1.0, 0.0, 1)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=2, max_size=60))
def test_classification_scores_equal_rivers(pairs: Pairs) -> None:
    """Accuracy and Cohen's kappa of the same pairs."""
    accuracy, kappa, naive = metrics.Accuracy(), metrics.CohenKappa(), metrics.Accuracy()
    for (_, before), (prediction, label) in pairwise(pairs):
        accuracy.update(label, prediction)
        kappa.update(label, prediction)
        naive.update(label, before)
    found = score(pairs, Kind.MULTICLASS)

    assert found is not None
    assert found.kappa is not None
    assert found.value == pytest.approx(accuracy.get())
    assert found.baseline == pytest.approx(naive.get())
    assert found.kappa == pytest.approx(kappa.get())


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=2, max_size=60))
def test_regression_scores_equal_rivers(pairs: Pairs) -> None:
    """Mean absolute errors of the same pairs."""
    mae, naive = metrics.MAE(), metrics.MAE()
    for (_, before), (prediction, label) in pairwise(pairs):
        mae.update(label, prediction)
        naive.update(label, before)
    found = score(pairs, Kind.REGRESSION)

    assert found is not None
    assert found.value == pytest.approx(mae.get())
    assert found.baseline == pytest.approx(naive.get())


def test_the_window_forgets() -> None:
    """Only the last labelled events count, and the label before them for the baseline."""
    rng, window = random.Random(5), Window()
    pairs: Pairs = [(rng.random() < 0.7, rng.random() < 0.7) for _ in range(2 * WINDOW_N + 300)]
    for index, (prediction, label) in enumerate(pairs):
        window.add((prediction, label))
        if index % 700 == 699:
            last = pairs[max(0, index - WINDOW_N) : index + 1]
            found = score(window.pairs, Kind.BINARY)
            assert found == score(last, Kind.BINARY)
            assert found is not None
            assert found.n == min(index, WINDOW_N)
            assert found.value == sum(p == y for p, y in last[1:]) / found.n
    again = pickle.loads(pickle.dumps(window))  # noqa: S301  # our own bytes
    again.add((True, True))
    window.add((True, True))
    assert score(again.pairs, Kind.BINARY) == score(window.pairs, Kind.BINARY)


@pytest.mark.parametrize(
    ("stream", "column", "events_n", "errors_n"),
    [("flights", "late", 45_000, 19_474), ("elec2", "class", 45_312, 6_648)],
)
def test_predicting_the_label_before_makes_the_known_errors(
    stream: str, column: str, events_n: int, errors_n: int
) -> None:
    """A model that does not beat it learned nothing; elec2's number is a published one."""
    labels = [row[column] for row in (flights() if stream == "flights" else rows(stream))]
    assert len(labels) == events_n
    errors = 0
    for start in range(0, len(labels) - 1, WINDOW_N):
        pairs: Pairs = [("", label) for label in labels[start : start + WINDOW_N + 1]]
        found = score(pairs, Kind.MULTICLASS)
        assert found is not None
        errors += round((1 - found.baseline) * found.n)

    # The first label has none before it. As everywhere, that counts as an error.
    assert errors + 1 == errors_n
