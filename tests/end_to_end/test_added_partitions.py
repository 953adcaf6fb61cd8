"""Somebody adds partitions to the events: the old ones go on, the new ones get their place."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from stream.sandbox import LocalKafka, LocalRedis
from tests.end_to_end.outside import Pipeline, until

pytestmark = pytest.mark.broker

MODEL = """
from river import linear_model, preprocessing
def make():
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()
"""
REST = '[model]\nfactory = "own_model:make"\n'
SOON_S = 90.0
"""A client hears of new partitions after half a minute at most; the machine may be busy."""


@pytest.fixture
def growing(kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str) -> Pipeline:
    """A pipeline whose events have one partition, yet."""
    return Pipeline(pipeline, tmp_path, kafka, redis_server, REST, {"own_model": MODEL})


def _feed(pipeline: Pipeline, partition: int, n: int) -> None:
    event = json.dumps({"features": {"x": 1.0}, "label": True}).encode()
    pipeline.feed((partition, event) for _ in range(n))


def _widen(pipeline: Pipeline, *channels: str) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=pipeline.kafka.bootstrap_servers)) as admin:
        admin.create_partitions({f"{pipeline.name}.{channel}": 2 for channel in channels})


@pytest.mark.parametrize("guarantee", ["exactly-once", "at-least-once"])
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_outputs_that_are_ours_are_widened_while_the_worker_runs(
    growing: Pipeline, client: str, guarantee: str
) -> None:
    """No commit is lost over it, and no restart is needed."""
    _feed(growing, 0, 10)
    worker = growing.start(
        STREAM__KAFKA__CLIENT=client, STREAM__DELIVERY__GUARANTEE=guarantee,
    )  # fmt: skip
    try:
        until(lambda: "task_fresh" in growing.log(), timeout_s=SOON_S, what="it has begun")
        until(lambda: growing.predicted_n() >= 10, timeout_s=SOON_S, what="ten predictions")
        _widen(growing, "events")
        _feed(growing, 1, 5)
        _feed(growing, 0, 5)
        until(lambda: "topic_widened" in growing.log(), timeout_s=SOON_S, what="wider outputs")
        until(lambda: growing.predicted_n([0, 1]) >= 20, timeout_s=SOON_S, what="all predicted")
    finally:
        worker.terminate()
        code = worker.wait(240)

    assert code == 0, growing.log()
    assert [p["offset"] for p in growing.values("predictions", 0)] == list(range(15))
    assert [p["learned"] for p in growing.values("predictions", 1)] == list(range(5))
    assert "commit_lost" not in growing.log()


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_where_topics_are_not_ours_the_new_partition_waits_and_the_old_goes_on(
    growing: Pipeline, client: str
) -> None:
    """It is said, a restart goes on too, `--until-end` is 78; it begins when there is a place."""
    _feed(growing, 0, 10)
    environment = {"STREAM__KAFKA__CLIENT": client, "STREAM__TOPICS__CREATE": "false"}
    growing.run_until_end(STREAM__KAFKA__CLIENT=client)
    _widen(growing, "events")
    _feed(growing, 1, 5)
    _feed(growing, 0, 5)

    assert growing.ended("--until-end", environment=environment) == 78, growing.log()
    assert "partition 1 waits: topics.predictions" in growing.log()
    assert [p["offset"] for p in growing.values("predictions", 0)] == list(range(15))

    worker = growing.start(**environment)
    try:
        until(lambda: "partitions_waiting" in growing.log(3), timeout_s=SOON_S, what="it is said")
        _widen(growing, "predictions", "alerts", "quarantine")
        until(lambda: growing.predicted_n([1]) >= 5, timeout_s=SOON_S, what="it has begun")
    finally:
        worker.terminate()
        code = worker.wait(240)

    assert code == 0, growing.log()
    assert [p["learned"] for p in growing.values("predictions", 1)] == list(range(5))
