"""`stream run --workers`: several processes, one group, and still the plain loop's outputs."""

import functools
import json
import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from river import linear_model, preprocessing

from stream.sandbox import LocalKafka, LocalRedis
from tests.end_to_end import plain_loop, streams
from tests.end_to_end.outside import Pipeline, until, without_place
from tests.end_to_end.test_equals_plain_loop import LOGISTIC
from tests.processes import alive, children

pytestmark = pytest.mark.broker

CONFIG = """
[events]
positive = "UP"
[model]
factory = "lr:make"
[worker]
instance = "box"
"""
PARTITIONS = range(4)


def _expected(values: Sequence[bytes]) -> list[dict[str, object]]:
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    return plain_loop.classify(model, [json.loads(v) for v in values], positive="UP")


def _works(pipeline: Pipeline, worker: str) -> bool:
    """Whether it said that it has partitions."""
    said = rf"partitions_assigned partitions=\S+ worker={worker}$"
    return re.search(said, pipeline.log(1_000), re.MULTILINE) is not None


def _committed(pipeline: Pipeline) -> list[int]:
    """The group's committed offset of each partition."""
    admin = KafkaAdminClient(bootstrap_servers=pipeline.kafka.bootstrap_servers)
    try:
        found = admin.list_group_offsets(pipeline.name)[pipeline.name]
    finally:
        admin.close()
    at = {tp.partition: offset.offset for tp, offset in found.items()}
    return [at.get(p, 0) for p in PARTITIONS]


def test_workers_under_a_supervisor_give_what_each_partitions_plain_loop_gives(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str
) -> None:
    """One is killed and comes back, all are stopped, all run to the end: no output shows it."""
    shared = Pipeline(
        pipeline, tmp_path, kafka, redis_server, CONFIG, {"lr": LOGISTIC}, partitions=4
    )
    values = streams.encoded(streams.elec2(24_000))
    parts: list[list[bytes]] = [values[p::4] for p in PARTITIONS]

    def feed(start: int, stop: int) -> None:
        shared.feed((p, v) for p in PARTITIONS for v in parts[p][start:stop])

    def reaches(offset: int) -> None:
        until(lambda: min(_committed(shared)) >= offset, timeout_s=240, what=f"{offset} everywhere")

    feed(0, 2_000)
    supervisor = shared.start("--workers", "2")
    for worker in ("box-0", "box-1"):
        until(functools.partial(_works, shared, worker), timeout_s=240, what=worker)
    until(lambda: shared.predicted_n(PARTITIONS) > 0, timeout_s=240, what="a commit")
    before = children(supervisor.pid)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    feed(2_000, 4_000)
    reaches(4_000)
    after = children(supervisor.pid)
    supervisor.terminate()
    assert supervisor.wait(240) == 0, shared.log()

    assert (len(before), len(after), len(before & after)) == (2, 2, 1)
    assert 'how="killed by SIGKILL" then="start it again in' in shared.log(1_000)
    assert not any(map(alive, before | after))

    feed(4_000, 6_000)
    shared.run_until_end("--workers", "2")

    for partition in PARTITIONS:
        published = shared.values("predictions", partition)
        assert [p["offset"] for p in published] == list(range(6_000))
        assert [without_place(p) for p in published] == _expected(parts[partition])
