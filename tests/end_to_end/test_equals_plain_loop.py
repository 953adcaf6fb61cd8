"""Through a real Kafka, exactly once: what comes out is what a plain loop gives, bit for bit."""

import json
from pathlib import Path
from typing import Any

import pytest
from river import linear_model, naive_bayes, preprocessing

from stream import models
from stream.sandbox import LocalKafka, LocalRedis
from tests.end_to_end import plain_loop, streams
from tests.end_to_end.outside import Pipeline, without_place

pytestmark = pytest.mark.broker

LOGISTIC = """
from river import linear_model, preprocessing
def make():
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()
"""
BAYES = """
from river import naive_bayes
def make():
    return naive_bayes.GaussianNB()
"""


def test_elec2_equals_the_plain_loop_and_gives_its_7371_errors(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str
) -> None:
    """Every prediction, probability and drift of all events is that of river alone."""
    elec2 = Pipeline(
        pipeline, tmp_path, kafka, redis_server,
        '[events]\npositive = "UP"\n[model]\nfactory = "lr:make"\n', {"lr": LOGISTIC},
    )  # fmt: skip
    values = streams.encoded(streams.elec2())
    elec2.feed(values)

    elec2.run_until_end()

    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    events = [json.loads(v) for v in values]
    expected = plain_loop.classify(model, events, positive="UP")
    published = elec2.values("predictions")
    assert [without_place(p) for p in published] == expected
    assert [p["offset"] for p in published] == list(range(len(values)))
    errors = [int(e["prediction"] != e["label"]) for e in expected]
    assert sum(errors) == 7371
    alerts = elec2.values("alerts")
    drifts = [(a["name"], a["offset"]) for a in alerts if a["kind"] == "drift"]
    assert drifts == plain_loop.drifts(errors)


def test_many_classes_equal_the_plain_loop(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str
) -> None:
    """String labels, features of numbers; the first prediction is null."""
    many = Pipeline(
        pipeline, tmp_path, kafka, redis_server, '[model]\nfactory = "nb:make"\n', {"nb": BAYES}
    )
    events = [
        {"features": {k: v for k, v in e["features"].items() if not isinstance(v, str)},
         "label": e["label"]}
        for e in streams.airlines(5_000)
    ]  # fmt: skip
    many.feed(json.dumps(e).encode() for e in events)

    many.run_until_end()

    expected = plain_loop.classify(naive_bayes.GaussianNB(), events)
    published = [without_place(p) for p in many.values("predictions")]
    assert published == expected
    assert published[0]["prediction"] is None


def _ready_made(factory: str) -> Any:
    return getattr(models, factory)()


def test_a_regression_equals_the_plain_loop(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str
) -> None:
    """bike_sharing_hour with the ready-made linear regression, all 17,379 hours."""
    bikes = Pipeline(
        pipeline, tmp_path, kafka, redis_server,
        '[model]\nfactory = "stream.models:linear_regression"\n',
    )  # fmt: skip
    values = streams.encoded(streams.bikes())
    bikes.feed(values)

    bikes.run_until_end()

    expected = plain_loop.regress(_ready_made("linear_regression"), [json.loads(v) for v in values])
    assert [without_place(p) for p in bikes.values("predictions")] == expected


def test_anomaly_scores_equal_the_plain_loop(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str
) -> None:
    """The stream smtp with half-space trees, at least once; `score` and no `prediction`."""
    smtp = Pipeline(
        pipeline, tmp_path, kafka, redis_server,
        '[model]\nfactory = "stream.models:half_space_trees"\n'
        '[delivery]\nguarantee = "at-least-once"\n',
    )  # fmt: skip
    values = streams.encoded(streams.smtp(15_000))
    smtp.feed(values)

    smtp.run_until_end()

    expected = plain_loop.score(_ready_made("half_space_trees"), [json.loads(v) for v in values])
    published = [without_place(p) for p in smtp.values("predictions")]
    assert published == expected
    assert "prediction" not in published[0]


@pytest.mark.parametrize("stream", [101, 102, 103])
def test_drifts_of_sine1_fall_where_river_alone_sees_them(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str, stream: int
) -> None:
    """ADWIN and DDM on 60,000 events with two true drifts each."""
    sine = Pipeline(
        pipeline, tmp_path, kafka, redis_server, '[model]\nfactory = "lr:make"\n', {"lr": LOGISTIC}
    )
    values = streams.encoded(streams.sine1(stream, 60_000))
    sine.feed(values)

    sine.run_until_end()

    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    expected = plain_loop.classify(model, [json.loads(v) for v in values])
    errors = [int(e["prediction"] != e["label"]) for e in expected]
    alerts = sine.values("alerts")
    drifts = [(a["name"], a["offset"]) for a in alerts if a["kind"] == "drift"]
    assert drifts == plain_loop.drifts(errors)
    assert len({a["id"] for a in alerts}) == len(alerts)
