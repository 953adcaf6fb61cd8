"""An administrator's tool moves the group's offset on a real Kafka: no event gets two outcomes."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, OffsetAndMetadata, TopicPartition
from kafka.errors import NoError

from stream.sandbox import LocalKafka, LocalRedis
from tests.end_to_end.outside import Pipeline

pytestmark = pytest.mark.broker

MODEL = """
from river import linear_model, preprocessing
def make():
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()
"""
REST = '[model]\nfactory = "own_model:make"\n'
EVENTS_N = 100


@pytest.fixture
def processed(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str
) -> Pipeline:
    """A pipeline whose client is told by the environment."""
    return Pipeline(pipeline, tmp_path, kafka, redis_server, REST, {"own_model": MODEL})


def _feed(pipeline: Pipeline, start: int, stop: int) -> None:
    pipeline.feed(
        json.dumps({"features": {"x": n % 7, "y": n % 3}, "label": n % 2 == 0}).encode()
        for n in range(start, stop)
    )


def _set_offset(pipeline: Pipeline, offset: int) -> None:
    """What `kafka-consumer-groups --reset-offsets --to-offset` does: an offset, and no metadata."""
    tp = TopicPartition(f"{pipeline.name}.events", 0)
    with closing(KafkaAdminClient(bootstrap_servers=pipeline.kafka.bootstrap_servers)) as admin:
        answer = admin.alter_group_offsets(pipeline.name, {tp: OffsetAndMetadata(offset, "", -1)})
    assert answer[tp] is NoError, answer


def _refused(pipeline: Pipeline, **environment: str) -> tuple[int, str]:
    return pipeline.ended("--until-end", environment=environment), pipeline.log()


@pytest.mark.parametrize("guarantee", ["exactly-once", "at-least-once"])
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_an_offset_that_was_set_back_is_refused_and_then_rebuilt_without_a_repeat(
    processed: Pipeline, client: str, guarantee: str
) -> None:
    """Refused with 78 first; "rebuild" folds the log again and goes on where the outcomes end."""
    environment = {"STREAM__KAFKA__CLIENT": client, "STREAM__DELIVERY__GUARANTEE": guarantee}
    _feed(processed, 0, EVENTS_N)
    processed.run_until_end(timeout_s=120, **environment)
    _set_offset(processed, 40)
    _feed(processed, EVENTS_N, EVENTS_N + 20)

    code, log = _refused(processed, **environment)
    assert code == 78, log
    assert "events 40 to 99 have their outcomes already" in log
    processed.run_until_end(timeout_s=120, **environment, STREAM__MODEL__ON_CHANGE="rebuild")

    predictions = processed.values("predictions")
    assert [p["offset"] for p in predictions] == list(range(EVENTS_N + 20))
    assert predictions[-1]["learned"] == EVENTS_N + 19
    assert "offset_moved partition=0 committed=40 next_offset=100" in processed.log()


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_an_offset_that_was_set_ahead_is_never_passed_in_silence(
    processed: Pipeline, client: str
) -> None:
    """78 by default, 65 for a rebuild; "fresh" goes on and says what has no outcome."""
    environment = {"STREAM__KAFKA__CLIENT": client}
    _feed(processed, 0, EVENTS_N)
    processed.run_until_end(timeout_s=120, **environment)
    _feed(processed, EVENTS_N, EVENTS_N + 20)
    _set_offset(processed, EVENTS_N + 15)

    code, log = _refused(processed, **environment)
    assert code == 78, log
    assert "events 100 to 114 have no outcome" in log
    code, log = _refused(processed, **environment, STREAM__MODEL__ON_CHANGE="rebuild")
    assert code == 65, log
    processed.run_until_end(timeout_s=120, **environment, STREAM__MODEL__ON_CHANGE="fresh")

    offsets = [p["offset"] for p in processed.values("predictions")]
    assert offsets == [*range(EVENTS_N), *range(EVENTS_N + 15, EVENTS_N + 20)]
    assert "events 100 to 114 have no outcome" in processed.log()
