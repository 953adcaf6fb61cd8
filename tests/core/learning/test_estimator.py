"""What a river estimator can do is found once, at the start; what cannot be folded is refused."""

import math
import random
from typing import Any

import numpy as np
import pytest
from river import (
    active,
    anomaly,
    base,
    cluster,
    drift,
    dummy,
    ensemble,
    forest,
    imblearn,
    linear_model,
    multiclass,
    naive_bayes,
    preprocessing,
    time_series,
    tree,
)

from stream.core.event import Kind
from stream.core.learning.estimator import kind_of, methods_of
from stream.core.result import NoAnswer
from stream.errors import Misconfigured
from tests import fragile

SCALED = preprocessing.StandardScaler


def quantile_filter(detector: Any = None) -> anomaly.QuantileFilter:
    """A filter over half-space trees."""
    if detector is None:
        detector = anomaly.HalfSpaceTrees(n_trees=3, height=3, window_size=20, seed=1)
    return anomaly.QuantileFilter(detector, q=0.9)


def hoeffding() -> Any:
    """A classifier of many classes, behind a scaler."""
    return SCALED() | tree.HoeffdingTreeClassifier()


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (linear_model.LogisticRegression(), Kind.BINARY),
        (SCALED() | linear_model.LogisticRegression(), Kind.BINARY),
        (SCALED() | (SCALED() | linear_model.LinearRegression()), Kind.REGRESSION),
        (hoeffding(), Kind.MULTICLASS),
        (multiclass.OneVsRestClassifier(linear_model.LogisticRegression()), Kind.MULTICLASS),
        (ensemble.BaggingClassifier(linear_model.LogisticRegression(), seed=1), Kind.BINARY),
        (ensemble.BaggingClassifier(hoeffding(), seed=1), Kind.MULTICLASS),
        (drift.DriftRetrainingClassifier(hoeffding()), Kind.MULTICLASS),
        (drift.DriftRetrainingClassifier(linear_model.LogisticRegression()), Kind.BINARY),
        (fragile.votes(), Kind.MULTICLASS),
        (preprocessing.TargetStandardScaler(linear_model.LinearRegression()), Kind.REGRESSION),
        (dummy.NoChangeClassifier(), Kind.MULTICLASS),
        (anomaly.HalfSpaceTrees(seed=1), Kind.ANOMALY),
        (quantile_filter(), Kind.ANOMALY),
        (preprocessing.MinMaxScaler() | quantile_filter(), Kind.ANOMALY),
        (quantile_filter() | linear_model.LogisticRegression(), Kind.BINARY),
    ],
    ids=str,
)
def test_the_kind_is_that_of_the_last_step(model: Any, kind: Kind) -> None:
    """Through pipelines and wrappers: what the whole predicts is what its last part does."""
    assert kind_of(model) is kind


@pytest.mark.parametrize(
    ("model", "word"),
    [
        (SCALED(), "StandardScaler is no classifier"),
        (cluster.KMeans(seed=1), "KMeans is no classifier"),
        (time_series.SNARIMAX(p=1, d=0, q=0), "SNARIMAX is no classifier"),
        (anomaly.GaussianScorer(), "GaussianScorer needs the label"),
        (quantile_filter(anomaly.GaussianScorer()), "GaussianScorer needs the label"),
        (active.EntropySampler(linear_model.LogisticRegression(), seed=1), "EntropySampler asks"),
    ],
    ids=str,
)
def test_what_cannot_be_folded_is_refused(model: Any, word: str) -> None:
    """With the key, the class, and what to use instead."""
    with pytest.raises(Misconfigured, match=rf"^model\.factory: {word}"):
        kind_of(model)


def test_a_filter_as_last_step_scores_as_its_detector_does() -> None:
    """And it goes on filtering: the detector learns only from what is no anomaly."""
    rng = random.Random(3)
    ours, plain = (preprocessing.MinMaxScaler() | quantile_filter() for _ in range(2))
    _, _, learn = methods = methods_of(ours, Kind.ANOMALY)
    predict = methods.predict
    for _ in range(200):
        features: dict[str, Any] = {"a": rng.gauss(0, 1), "b": rng.random()}
        assert predict(features).score == plain.score_one(features)
        learn(features, None)
        plain.learn_one(features)


def test_a_filter_in_the_middle_keeps_anomalies_from_the_classifier() -> None:
    """As in the plain pipeline, bit for bit."""
    rng = random.Random(3)
    ours, plain = (quantile_filter() | linear_model.LogisticRegression() for _ in range(2))
    _, _, learn = methods = methods_of(ours, Kind.BINARY)
    predict = methods.predict
    for _ in range(200):
        features: dict[str, Any] = {"a": rng.gauss(0, 1), "b": rng.random()}
        label = rng.random() < 0.5
        assert predict(features).probabilities == plain.predict_proba_one(features)
        learn(features, label)
        plain.learn_one(features, label)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SCALED() | linear_model.LogisticRegression(),
        lambda: SCALED() | naive_bayes.GaussianNB(),
        lambda: multiclass.OneVsRestClassifier(linear_model.PAClassifier()),
        lambda: ensemble.LeveragingBaggingClassifier(hoeffding(), n_models=2, seed=1),
        lambda: forest.AMFClassifier(n_estimators=2, seed=1),
        lambda: imblearn.RandomUnderSampler(hoeffding(), {False: 0.5, True: 0.5}, seed=1),
        fragile.votes,
        dummy.NoChangeClassifier,
        fragile.FragileVoter,
    ],
    ids=range(9),
)
def test_one_call_predicts_what_the_plain_model_does(make: Any) -> None:
    """The prediction of `predict_one` and the probabilities of `predict_proba_one`."""
    rng, ours, plain = random.Random(5), make(), make()
    kind = kind_of(ours)
    _, _, learn = methods = methods_of(ours, kind)
    predict = methods.predict
    for index in range(150):
        features: dict[str, Any] = {"a": rng.gauss(0, 1), "b": index % 5}
        label = rng.random() < 0.4
        found = predict(features)
        assert found.value == plain.predict_one(features)
        assert found.score is None
        try:
            assert found.probabilities == plain.predict_proba_one(features)
        except NotImplementedError:
            assert found.probabilities is None
        learn(features, label)
        plain.learn_one(features, label)


def test_a_sampler_over_a_classifier_without_probabilities_has_none() -> None:
    """Wrappers have the method, whether what they wrap has it or not."""
    model = imblearn.RandomUnderSampler(fragile.votes(), {False: 0.5, True: 0.5}, seed=1)
    for index in range(50):
        model.learn_one({"a": 1.0}, index % 2 == 0)
    found = methods_of(model, kind_of(model)).predict({"a": 1.0})

    assert found.value in (True, False)
    assert found.probabilities is None


class Answers(base.Regressor):
    """Answers with what it was told."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict_one(self, x: dict[Any, Any]) -> Any:
        """The same for every event."""
        del x
        return self.answer

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn nothing."""


@pytest.mark.parametrize(
    ("answer", "plain"),
    [(np.float64(0.25), 0.25), (np.float32(0.25), 0.25), (np.int64(3), 3), (2, 2)],
)
def test_numpy_answers_become_plain_numbers(answer: Any, plain: Any) -> None:
    """Detectors, digests and JSON see Python's own."""
    found = methods_of(Answers(answer), Kind.REGRESSION).predict({}).value

    assert found == plain
    assert type(found) is type(plain)


NO_NUMBERS = [math.nan, math.inf, np.float32("nan"), np.float64("-inf")]


@pytest.mark.parametrize("answer", [*NO_NUMBERS, None])
def test_an_answer_that_is_no_number_is_none(answer: Any) -> None:
    """It must not be published as it is, nor stay in the error's mean for ever."""
    with pytest.raises(NoAnswer):
        methods_of(Answers(answer), Kind.REGRESSION).predict({})


class Classifies(Answers, base.Classifier):  # type: ignore[misc]  # river annotates y alone
    """The same without probabilities."""


class ClassifiesSurely(Classifies):
    """The same with probabilities, and a way of its own to choose between them."""

    def predict_proba_one(self, x: dict[Any, Any], **_kwargs: Any) -> dict[Any, float]:
        """The same for every event."""
        del x
        return {True: 1.0}


@pytest.mark.parametrize("model", [Classifies, ClassifiesSurely])
@pytest.mark.parametrize("answer", NO_NUMBERS)
def test_a_class_that_is_no_number_is_no_answer(model: type[Classifies], answer: Any) -> None:
    """It must not be published as null alone: a reader would not know why."""
    with pytest.raises(NoAnswer):
        methods_of(model(answer), Kind.BINARY).predict({})


@pytest.mark.parametrize("model", [Classifies, ClassifiesSurely])
@pytest.mark.parametrize(
    ("answer", "plain"),
    [("yes", "yes"), (np.str_("yes"), "yes"), (np.True_, True), (3, 3), (2.5, 2.5), (None, None)],
)
def test_classes_become_plain_values(model: type[Classifies], answer: Any, plain: Any) -> None:
    """A class may be of any type that JSON has."""
    found = methods_of(model(answer), Kind.BINARY).predict({}).value

    assert found == plain
    assert type(found) is type(plain)
