"""A hostile upstream invents a name for each event: the state stays small, and every replay agrees.

Where names are closed is told beside the committed offset; the plain loop leaves out from there on
what it has not seen before.
"""

import json
import re
from contextlib import closing
from pathlib import Path

import pytest
import redis
from kafka import KafkaAdminClient, TopicPartition
from river import linear_model, preprocessing

from stream.sandbox import LocalKafka, LocalRedis
from tests.end_to_end import plain_loop
from tests.end_to_end.outside import Pipeline, until, without_place

pytestmark = pytest.mark.broker

MODEL = """
from river import linear_model, preprocessing
def make():
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()
"""
REST = '[model]\nfactory = "own_model:make"\n[limits]\nstate_bytes_max = 50000\n'
PADDING = {f"{'a name that is long ' * 3}{i}": i / 7 for i in range(15)}
"""So that some thousand events are enough for a copy of the state to be made."""


@pytest.fixture
def hostile(kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str) -> Pipeline:
    """A pipeline whose client is told by the environment."""
    return Pipeline(pipeline, tmp_path, kafka, redis_server, REST, {"own_model": MODEL})


def _events(start: int, stop: int) -> list[plain_loop.Event]:
    return [
        {
            "features": PADDING | {"x": n % 7, "y": n % 3, f"invented {n}": 1.0},
            "label": n % 7 > n % 3,
        }
        for n in range(start, stop)
    ]


def _closed_n(pipeline: Pipeline) -> int | None:
    """What stands beside the committed offset."""
    tp = TopicPartition(f"{pipeline.name}.events", 0)
    with closing(KafkaAdminClient(bootstrap_servers=pipeline.kafka.bootstrap_servers)) as admin:
        metadata = admin.list_group_offsets([pipeline.name])[pipeline.name][tp].metadata
    found = re.search(r";c=(\d+)", metadata)
    return int(found[1]) if found else None


def _closed(events: list[plain_loop.Event], closed_n: int) -> list[plain_loop.Event]:
    """As if nobody had brought a name that is new at that event or later."""
    known = {name for event in events[:closed_n] for name in event["features"]}
    return [
        event | {"features": {k: v for k, v in event["features"].items() if k in known}}
        for event in events
    ]


def _empty(pipeline: Pipeline) -> None:
    """No snapshot is left."""
    with closing(redis.Redis.from_url(pipeline.redis.url)) as connection:
        keys = list(connection.scan_iter(f"streamfold:{{{pipeline.name}}}*"))
        assert keys
        connection.delete(*keys)


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_an_upstream_that_invents_names_reaches_the_ceiling_and_restarts_agree(
    hostile: Pipeline, client: str
) -> None:
    """Killed, restarted from a snapshot, and from the log alone: bit for bit the plain loop's."""
    events = _events(0, 7_000)
    hostile.feed(json.dumps(event).encode() for event in events[:4_500])
    worker = hostile.start(STREAM__KAFKA__CLIENT=client)
    until(lambda: "state_too_large" in _log(hostile), timeout_s=120, what="over the ceiling")
    hostile.feed(json.dumps(event).encode() for event in events[4_500:6_000])
    until(lambda: _closed_n(hostile) is not None, timeout_s=120, what="closed to new names")
    worker.kill()
    worker.wait()
    closed_n = _closed_n(hostile)
    assert closed_n is not None
    hostile.run_until_end(STREAM__KAFKA__CLIENT=client)

    hostile.feed(json.dumps(event).encode() for event in events[6_000:6_500])
    hostile.run_until_end(STREAM__KAFKA__CLIENT=client)
    assert "from a snapshot" in _origins(hostile)
    _empty(hostile)
    hostile.feed(json.dumps(event).encode() for event in events[6_500:])
    hostile.run_until_end(STREAM__KAFKA__CLIENT=client)

    assert _closed_n(hostile) == closed_n
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    expected = plain_loop.classify(model, _closed(events, closed_n))
    published = hostile.values("predictions")
    assert [p["offset"] for p in published] == list(range(7_000))
    assert [without_place(p) for p in published] == expected
    told = [a for a in hostile.values("alerts") if a["name"] == "model:names"]
    assert [(a["kind"], a["offset"]) for a in told] == [("input", closed_n)]
    assert told[0]["evidence"]["after"] == len(PADDING) + 2 + closed_n
    assert _origins(hostile)[-1] == "from the log"


def _origins(pipeline: Pipeline) -> list[str]:
    """What each restore began with."""
    lines = [line for line in _log(pipeline).splitlines() if "task_restored" in line]
    return ["from a snapshot" if "snapshot at" in line else "from the log" for line in lines]


def _log(pipeline: Pipeline) -> str:
    path = pipeline.folder / "worker.log"
    return path.read_text() if path.exists() else ""
