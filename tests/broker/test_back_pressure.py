"""A worker whose broker stalls: what it holds is bounded by its settings, not by the log."""

import json
import time
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from stream.core.event import Channel
from stream.sandbox import LocalKafka, LocalRedis
from tests.broker import kafka_hands as hands
from tests.broker.checks import make_topic
from tests.commands.project import MODEL, Project
from tests.contract.kafka_world import KafkaWorld
from tests.contract.worlds import create, raws
from tests.instruments.faults.stage import Stage
from tests.patience import eventually

pytestmark = pytest.mark.broker

VALUE_BYTES = 60_000
BACKLOG_N = 6_000  # 360 MB: far more than a worker may hold
STALL_S = 8.0
OVERDUE_S = 0.5
POLLED_S = 2.0
DIGEST_S = 4.0  # what was fetched before the stall is folded meanwhile
MIB = 1 << 20

HELD_MAX = 180 * MIB
"""Measured: 60 to 120 MiB. 16 MiB of records kept for undoing, fetches of 4 MiB on the wire, in a
buffer and decoded, outputs; the rest is what malloc does not give back."""

GROWTH_MAX = 8 * MIB

CUT_AFTER_BYTES = 30_000
BROKEN_S = 6.0
BROKEN_N = 600
BROKEN_MAX = 160 * MIB
"""Measured: 85 MiB; 830 if nobody collects."""

REPLAYED_N = 60_000
REPLAYED_BYTES = 300  # 18 MB: many fetches
REPLAY_MAX = 8 * MIB
"""Measured: 5 MiB; 17 with fetches of 4 MiB."""


def _memory(pid: int, what: str) -> int:
    """A line of /proc/PID/status, in bytes: VmRSS (now) or VmHWM (the most there was)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{what}:"))


def _project(folder: Path, pipeline: str, bootstrap: str, redis_server: LocalRedis) -> Project:
    """One whose events may carry a long note."""
    project = Project(folder)
    servers = (
        f'[kafka]\nbootstrap_servers = "{bootstrap}"\n'
        f'[redis]\nurl = "{redis_server.url}"\n[events]\nextra = "ignore"\n'
    )
    project.configure(servers + MODEL, pipeline=pipeline)
    return project


def _fill(kafka: LocalKafka, topic: str, n: int) -> None:
    body = {"features": {"x": 0.5}, "label": True, "note": "." * VALUE_BYTES}
    value = json.dumps(body).encode()
    with closing(KafkaProducer(bootstrap_servers=kafka.bootstrap_servers)) as producer:
        for _ in range(n):
            producer.send(topic, value)
        producer.flush()


def test_a_stalled_broker_costs_no_memory(
    own_kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str
) -> None:
    """In the middle of a backlog the broker stops for seconds: no growth, and then all of it."""
    project = _project(tmp_path, pipeline, own_kafka.bootstrap_servers, redis_server)
    make_topic(own_kafka, f"{pipeline}.events")
    events = TopicPartition(f"{pipeline}.events", 0)
    predictions = TopicPartition(f"{pipeline}.predictions", 0)
    _fill(own_kafka, events.topic, BACKLOG_N)
    with (
        closing(KafkaConsumer(bootstrap_servers=own_kafka.bootstrap_servers)) as looking,
        project.running("run", "-c", "stream.toml") as worker,
    ):

        def published() -> int:
            return int(looking.end_offsets([predictions])[predictions])

        worker.line("task_fresh")
        pid = worker.process.pid
        idle = _memory(pid, "VmRSS")
        eventually(lambda: published() > 0, "the first are predicted")
        before = published()
        own_kafka.pause()
        time.sleep(DIGEST_S)
        samples = []
        until = time.monotonic() + STALL_S - DIGEST_S
        while time.monotonic() < until:
            samples.append(_memory(pid, "VmRSS"))
            time.sleep(0.1)
        own_kafka.resume()
        eventually(lambda: published() >= BACKLOG_N, "all is predicted", within_s=120)
        most = _memory(pid, "VmHWM")
        assert worker.stop().code == 0

    assert before < BACKLOG_N // 2, "the stall came too late to show anything"
    assert max(samples) - samples[0] <= GROWTH_MAX, [s // MIB for s in samples]
    assert most - idle <= HELD_MAX, (idle // MIB, most // MIB)


def test_connections_that_break_inside_of_answers_cost_no_memory(
    redis_server: LocalRedis, tmp_path: Path, pipeline: str
) -> None:
    """kafka-python leaves a cycle behind for each, with the answer that was under way."""
    with Stage(tmp_path / "stage", print, "kafka-python") as stage:
        kafka, proxy = stage.kafka, stage.proxy
        project = _project(tmp_path, pipeline, f"127.0.0.1:{proxy.port}", redis_server)
        make_topic(kafka, f"{pipeline}.events")
        predictions = TopicPartition(f"{pipeline}.predictions", 0)
        with (
            closing(KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)) as looking,
            project.running("run", "-c", "stream.toml") as worker,
        ):
            worker.line("task_fresh")
            pid = worker.process.pid
            idle = _memory(pid, "VmRSS")
            proxy.cut_after_bytes = CUT_AFTER_BYTES
            _fill(kafka, f"{pipeline}.events", BROKEN_N)
            time.sleep(BROKEN_S)
            cuts_n, most = proxy.cuts_n, _memory(pid, "VmHWM")
            proxy.heal()
            eventually(
                lambda: looking.end_offsets([predictions])[predictions] >= BROKEN_N,
                "all is predicted",
            )
            assert worker.stop().code == 0

    assert cuts_n > 50, cuts_n
    assert most - idle <= BROKEN_MAX, (idle // MIB, most // MIB)


def test_a_replay_holds_little_at_a_time(own_kafka: LocalKafka) -> None:
    """What a reader holds comes and goes with each rebuilt state, and leaves holes in the heap."""
    with closing(KafkaWorld(own_kafka)) as world:
        create(world)
        world.append(raws(*[bytes(REPLAYED_BYTES)] * REPLAYED_N))
        reader = world.reader()
        tracemalloc.start()
        try:
            read_n = sum(len(batch) for batch in reader.read(Channel.EVENTS, 0, 0, REPLAYED_N))
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert read_n == REPLAYED_N
    assert most <= REPLAY_MAX, most // MIB


def test_polling_a_stalled_broker_rests(own_kafka: LocalKafka) -> None:
    """kafka-python would go round without a pause, and grow, while a heartbeat is overdue."""
    with closing(KafkaWorld(own_kafka)) as world:
        create(world)
        log = world.log()
        hands.assigned(log, {0})
        log.seek(0, 0)
        hands.poll(log)
        own_kafka.pause()
        try:
            time.sleep(OVERDUE_S)
            rounds_from, until = time.thread_time(), time.monotonic() + POLLED_S
            while time.monotonic() < until:
                assert not hands.poll(log).records
            used_s = time.thread_time() - rounds_from
        finally:
            own_kafka.resume()

    assert used_s < POLLED_S / 4
