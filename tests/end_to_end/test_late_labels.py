"""Labels that come later, on real servers: each learned once, whatever is killed and lost."""

import json
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import redis
from river import linear_model, preprocessing

from stream.core.event import Record
from stream.sandbox import LocalKafka, LocalRedis
from tests.end_to_end.outside import Pipeline, until
from tests.late_labels import plainly, workload

pytestmark = pytest.mark.broker

MODEL = """from river import linear_model, preprocessing


def make():
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()
"""
CONFIG = """[model]
factory = "lr:make"
[labels]
wait = "1h"
[delivery]
commit_interval_ms = 50
[snapshots]
recovery_time_s = 2
"""
SPACES = b" " * 1_000
PARTITIONS, KILLS_N, EVENTS_N = (0, 1), 4, 2_500


def _values(seed: int) -> list[bytes]:
    """Events of numbers, and labels: early, late, twice, changed, of nobody."""
    records = workload(EVENTS_N, seed=seed, truth=lambda x: x > 0)
    documents = [json.loads(each.value or b"") for each in records]
    for each in documents:
        each.get("features", {}).pop("word", None)  # the tutorial's model knows numbers
    # So long that several segments of what waits are full: snapshots share them.
    return [json.dumps(each).encode() + SPACES * ("features" in each) for each in documents]


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_each_label_is_learned_once_though_workers_die(
    kafka: LocalKafka, own_redis: LocalRedis, tmp_path: Path, pipeline: str, client: str
) -> None:
    """A plain loop that is told the order gives every prediction; so does an empty Redis."""
    under = Pipeline(
        pipeline, tmp_path, kafka, own_redis, CONFIG, {"lr": MODEL}, partitions=len(PARTITIONS)
    )
    values = {partition: _values(seed=partition) for partition in PARTITIONS}
    chosen = {"STREAM__KAFKA__CLIENT": client, "STREAM__WORKER__INSTANCE": "w-0"}
    step = len(values[0]) // (KILLS_N + 1)
    chance, fed = random.Random(4), 0
    for _ in range(KILLS_N):
        under.feed((p, v) for p in PARTITIONS for v in values[p][fed : fed + step])
        fed += step
        before = under.predicted_n(PARTITIONS) if fed > step else 0
        worker = under.start(**chosen)
        until(lambda b=before: _made(under) and under.predicted_n(PARTITIONS) > b,  # type: ignore[misc]
              timeout_s=120, what=f"some predictions: {under.log()}")  # fmt: skip
        time.sleep(chance.uniform(0.0, 0.3))
        worker.kill()
        worker.wait()
    under.feed((p, v) for p in PARTITIONS for v in values[p][fed:])
    under.run_until_end(timeout_s=120, **chosen)
    published = _all_of(under)
    for partition in PARTITIONS:
        _check(under, partition, values[partition])
    assert "snapshot_rejected" not in under.log(1_000_000)
    with redis.Redis.from_url(own_redis.url) as cache:
        for partition in PARTITIONS:
            segments = cache.zcard(f"streamfold:{{{pipeline}}}:{~partition}:index")
            assert int(str(segments)) >= 2, "each snapshot refers to some"
        cache.flushall()
    under.feed([(0, b'{"id": "last", "features": {"x": 1.0, "y": 1.0}}')])
    under.run_until_end(timeout_s=120, **chosen)  # it is proved by its digest, or ends with 65
    assert _all_of(under)["outcomes"] == published["outcomes"]
    assert len(_all_of(under)["predictions"]) == len(published["predictions"]) + 1


def _made(under: Pipeline) -> bool:
    return "task_" in under.log(1_000)


def _all_of(under: Pipeline) -> Mapping[str, list[tuple[Any, ...]]]:
    return {
        channel: [
            (p, each.offset, each.key, each.timestamp, each.value)
            for p in PARTITIONS for each in under.records(channel, p)
        ]
        for channel in ("predictions", "outcomes", "quarantine")
    }  # fmt: skip


def _check(under: Pipeline, partition: int, values: list[bytes]) -> None:
    """The predictions of a plain loop, each event and each label once."""
    log = under.records("events", partition)
    assert [each.value for each in log] == values
    records = [Record(partition, e.offset, e.timestamp, e.key, e.value) for e in log]
    told, predicted = under.values("outcomes", partition), under.values("predictions", partition)
    labels = sum("features" not in json.loads(value) for value in values)
    assert sorted({each["label_offset"] for each in told}) == sorted(
        each.offset for each in records if "features" not in json.loads(each.value or b"")
    )
    by_label = [e for e in told if e["input"] == "labels"]
    assert len(by_label) == labels, "each label has one outcome of its own"
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    found = [(e["offset"], e["prediction"], e["probabilities"], e["learned"]) for e in predicted]
    assert found == plainly(model, records, told, has_classes=True)
    assert {"labeled", "early", "repeated", "corrected"} <= {each["kind"] for each in told}
