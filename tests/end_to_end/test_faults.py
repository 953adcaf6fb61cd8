"""Killed, flushed, joined and left: the outputs stay those of a plain loop."""

import functools
import json
import random
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import redis
from river import linear_model, preprocessing

from stream.sandbox import LocalKafka, LocalRedis
from tests.end_to_end import plain_loop, streams
from tests.end_to_end.outside import Pipeline, until, without_place
from tests.end_to_end.test_equals_plain_loop import LOGISTIC

pytestmark = pytest.mark.broker

CONFIG = '[events]\npositive = "UP"\n[model]\nfactory = "lr:make"\n'
KILLS = 8


def _expected(values: Sequence[bytes]) -> list[dict[str, object]]:
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    return plain_loop.classify(model, [json.loads(v) for v in values], positive="UP")


def test_eight_kills_and_a_redis_flushed_and_stopped_change_no_output(
    kafka: LocalKafka, own_redis: LocalRedis, tmp_path: Path, pipeline: str
) -> None:
    """SIGKILL at random moments; the restarted worker takes over at once by its instance."""
    chance = random.Random(20261121)
    elec2 = Pipeline(
        pipeline, tmp_path, kafka, own_redis,
        CONFIG + '[worker]\ninstance = "w-0"\n[delivery]\ncommit_interval_ms = 50\n'
        "[snapshots]\nrecovery_time_s = 1\n",
        {"lr": LOGISTIC},
    )  # fmt: skip
    values = streams.encoded(streams.elec2(27_000))
    share = len(values) // (KILLS + 1)
    for kill in range(KILLS):
        if kill == 3:
            _redis(own_redis, "FLUSHALL")
        if kill == 5:
            own_redis.stop()
        if kill == 6:
            own_redis.start()
        before = elec2.predicted_n() if kill else 0
        elec2.feed(values[share * kill : share * (kill + 1)])
        worker = elec2.start()
        until(
            functools.partial(_went_on, elec2, workers=kill, before=before),
            timeout_s=240,
            what=f"an output after {kill} kills",
        )
        # Some kills fall into a commit, some between two, some into idleness.
        try:
            worker.wait(chance.uniform(0.0, 0.3))
        except subprocess.TimeoutExpired:
            worker.kill()
        assert worker.wait() == -signal.SIGKILL, elec2.log()
    elec2.feed(values[share * KILLS :])

    elec2.run_until_end()

    published = elec2.values("predictions")
    assert [p["offset"] for p in published] == list(range(len(values)))
    assert [without_place(p) for p in published] == _expected(values)


def _started(pipeline: Pipeline, already: int = 0) -> bool:
    """Whether more than `already` workers wrote that they run."""
    return pipeline.log(lines=1_000).count("worker_started") > already


def _went_on(pipeline: Pipeline, *, workers: int, before: int) -> bool:
    return _started(pipeline, workers) and pipeline.predicted_n() > before


def _redis(server: LocalRedis, *command: str) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.execute_command(*command)


def test_two_workers_share_four_partitions_through_join_leave_and_death(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str
) -> None:
    """One joins late, one leaves by SIGTERM, one dies by SIGKILL: each partition its own loop."""
    shared = Pipeline(
        pipeline, tmp_path, kafka, redis_server,
        CONFIG + "[snapshots]\nrecovery_time_s = 6\n", {"lr": LOGISTIC}, partitions=4,
    )  # fmt: skip
    values = streams.encoded(streams.elec2(40_000))
    parts: list[list[bytes]] = [values[p::4] for p in range(4)]
    everywhere = range(4)

    def feed(start: int, stop: int) -> None:
        shared.feed((p, v) for p in everywhere for v in parts[p][start:stop])

    def grows(what: str) -> None:
        before = shared.predicted_n(everywhere)
        until(
            lambda: shared.predicted_n(everywhere) > before,
            timeout_s=240,
            what=f"{what}: {shared.log()}",
        )

    feed(0, 2_500)
    first = shared.start()
    until(lambda: _started(shared), timeout_s=240, what="a start")
    until(lambda: shared.predicted_n(everywhere) > 0, timeout_s=240, what="the first outputs")
    second = shared.start()
    feed(2_500, 5_000)
    until(
        lambda: shared.log().count("partitions_assigned") >= 2, timeout_s=240, what="a late joiner"
    )
    first.terminate()
    assert first.wait(240) == 0, shared.log()
    feed(5_000, 7_500)
    grows("after one left")
    second.kill()
    second.wait()
    third = shared.start()
    until(lambda: _started(shared, already=2), timeout_s=240, what="a third start")
    feed(7_500, 10_000)
    grows("after one died")
    third.terminate()
    assert third.wait(240) == 0, shared.log()

    shared.run_until_end()

    for partition in everywhere:
        published = shared.values("predictions", partition)
        assert [p["offset"] for p in published] == list(range(len(parts[partition])))
        assert [without_place(p) for p in published] == _expected(parts[partition])


def test_two_signals_end_a_worker_well_and_a_twin_is_fenced(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str
) -> None:
    """SIGTERM exits 0 after a commit; of two with one instance the older exits 75."""
    twins = Pipeline(
        pipeline, tmp_path, kafka, redis_server,
        CONFIG + '[worker]\ninstance = "w-0"\n[snapshots]\nrecovery_time_s = 2\n',
        {"lr": LOGISTIC},
    )  # fmt: skip
    values = streams.encoded(streams.elec2(2_000))
    twins.feed(values[:1_000])
    older = twins.start()
    until(lambda: _started(twins), timeout_s=240, what="a start")
    until(lambda: twins.predicted_n() > 0, timeout_s=240, what="the first outputs")
    younger = twins.start()

    assert older.wait(240) == 75, twins.log()
    twins.feed(values[1_000:])
    until(lambda: twins.predicted_n() >= 2_000, timeout_s=240, what=f"all: {twins.log()}")
    younger.send_signal(signal.SIGINT)
    assert younger.wait(240) == 0, twins.log()
    assert [without_place(p) for p in twins.values("predictions")] == _expected(values)
