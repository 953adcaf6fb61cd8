"""Latency: from appending an event to its prediction being visible to a `read_committed` reader."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, Producer, TopicPartition

from stream.sandbox.kafka_settings import JVM_STEADY
from tests.instruments.bench import loops, summary
from tests.instruments.bench.events import KEY, encoded
from tests.instruments.bench.stage import REPOSITORY, Failed, Say, Stage, opened

RATE_PER_S = 1_000
SECONDS = 15
WARM_S = 2
"""At the beginning, and not looked at."""

BROKER_WARM_S = 40

INTERVALS_MS = (200, 5)
READY_WITHIN_S = 60.0
SEEN_WITHIN_S = 10.0
ALO_P99_MS_MAX = 10.0
EOS_P99_OVER_INTERVAL_MS_MAX = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """One case.

    Attributes:
        loop: the worker's; "no worker": from the producer straight to the reader.
        limit_ms: of p99; None: there is none.
        cores: CPU-seconds of the worker a second.
    """

    loop: str
    commit_interval_ms: int | None
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    events_n: int
    limit_ms: float | None
    cores: float | None

    @property
    def held(self) -> bool:
        """Within its limit."""
        return self.limit_ms is None or self.p99_ms <= self.limit_ms


def run(options: Namespace, folder: Path, *, command: str, say: Say) -> int:
    """Every client, guarantee and commit interval. Returns: 0, or 1 past a limit."""
    clients = [c for c in options.client or loops.CLIENTS if c != "embedded"]
    guarantees = options.guarantee or loops.GUARANTEES
    n = options.events or RATE_PER_S * SECONDS
    with opened(folder, kafka=options.kafka, say=say, jvm=JVM_STEADY) as stage:
        if stage.topics is None:
            raise SystemExit("bench: latency wants a Kafka: --kafka docker or jvm")
        say(f"warming the broker up, {BROKER_WARM_S} s: Java compiles what it often runs")
        warmer = next(loops.ours(clients[:1], ["exactly-once"]))
        _case(stage, warmer, min(INTERVALS_MS), min(3 * n, RATE_PER_S * BROKER_WARM_S))
        cases = [_case(stage, None, 0, n)]
        say(_line(cases[0]))
        for loop, interval_ms in product(loops.ours(clients, guarantees), INTERVALS_MS):
            cases.append(_case(stage, loop, interval_ms, n))
            say(_line(cases[-1]))
        told = summary.about(command, stage.kind)
    header = [
        f"{RATE_PER_S:,} events/s, {n:,} events, milliseconds from append to visible:\n",
        "| worker | commit interval | p50 | p90 | p99 | max | limit of p99 | cores |",
        "|---|---|---|---|---|---|---|---|",
    ]
    figures = {"cases": [asdict(case) | {"held": case.held} for case in cases]}
    text = "\n".join([*header, *map(_line, cases)])
    summary.finish("latency", text, told=told, figures=figures, options=options, say=say)
    return 0 if all(case.held for case in cases) else 1


def _line(case: Latency) -> str:
    limit = "-" if case.limit_ms is None else f"{case.limit_ms:.0f}"
    cores = "-" if case.cores is None else f"{case.cores:.2f}"
    interval = "-" if case.commit_interval_ms is None else f"{case.commit_interval_ms} ms"
    return (
        f"| {case.loop} | {interval} | {case.p50_ms:.1f} | {case.p90_ms:.1f} | {case.p99_ms:.1f} "
        f"| {case.max_ms:.1f} | {limit} | {cores} |"
    )


def _case(stage: Stage, loop: loops.Loop | None, interval_ms: int, n: int) -> Latency:
    """One worker under a steady stream. Args: loop: None: no worker at all."""
    assert stage.topics is not None
    events = f"latency-{uuid4().hex[:8]}"
    stage.topics.create(events)
    if loop is None:
        sent, seen = _observed(stage.bootstrap, events, events, n)
        cores, limit_ms = None, None
    else:
        name = f"{events}-worker"
        config = stage.config(
            name, events=events, client=loop.variant, guarantee=loop.guarantee,
            commit_interval_ms=interval_ms,
        )  # fmt: skip
        with _worker(stage, config) as process:
            before = _cpu_s(process.pid)
            sent, seen = _observed(stage.bootstrap, events, f"{name}.predictions", n)
            cores = (_cpu_s(process.pid) - before) * RATE_PER_S / n
        exactly_once = loop.guarantee == "exactly-once"
        limit_ms = interval_ms + EOS_P99_OVER_INTERVAL_MS_MAX if exactly_once else ALO_P99_MS_MAX
    stage.topics.remove(events)
    warm = min(WARM_S * RATE_PER_S, n // 5)
    late_ms = sorted((seen[i] - at) * 1e3 for i, at in list(sent.items())[warm:])

    def quantile(share: float) -> float:
        return late_ms[min(len(late_ms) - 1, int(share * len(late_ms)))]

    return Latency(
        loop="no worker" if loop is None else f"{loop.variant}, {loop.guarantee}",
        commit_interval_ms=interval_ms or None,
        p50_ms=quantile(0.5),
        p90_ms=quantile(0.9),
        p99_ms=quantile(0.99),
        max_ms=late_ms[-1],
        events_n=len(late_ms),
        limit_ms=limit_ms,
        cores=cores,
    )


@contextmanager
def _worker(stage: Stage, config: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`stream run`, ready; stopped at the end. Raises: Failed: it does not get ready."""
    log = config.with_suffix(".log")
    with log.open("wb") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", "stream", "run", "-c", str(config)],
            cwd=REPOSITORY, env=stage.environment(), stdout=lines, stderr=lines,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while b"task_fresh" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"the worker is not ready: {log.read_text()[-500:]}")
            time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _observed(
    bootstrap: str, source: str, target: str, n: int
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Send n events to `source`, see them in `target`. Returns: when each was sent, and seen."""
    batches: list[tuple[float, list[bytes]]] = []
    ready, stop = threading.Event(), threading.Event()
    reader = threading.Thread(
        target=_read, args=(bootstrap, target, n),
        kwargs={"batches": batches, "ready": ready, "stop": stop},
    )  # fmt: skip
    reader.start()
    try:
        ready.wait(READY_WITHIN_S)
        sent = _send(bootstrap, source, n)
        reader.join(SEEN_WITHIN_S)
    finally:
        stop.set()
        reader.join()
    seen = {json.loads(value)["id"]: at for at, values in batches for value in values}
    if missing := len(sent.keys() - seen.keys()):
        raise Failed(f"{missing} of {n} events had no prediction {SEEN_WITHIN_S:.0f} s later")
    return sent, seen


def _read(
    bootstrap: str,
    topic: str,
    n: int,
    *,
    batches: list[tuple[float, list[bytes]]],
    ready: threading.Event,
    stop: threading.Event,
) -> None:
    """Read until n were seen, or until `stop`; each batch gets the time at which it came."""
    consumer: Any = Consumer(
        {
            "bootstrap.servers": bootstrap, "group.id": f"observer-{uuid4()}",
            "isolation.level": "read_committed", "enable.auto.commit": False,
            "fetch.wait.max.ms": 100, "fetch.queue.backoff.ms": 1,
        }
    )  # fmt: skip
    consumer.assign([TopicPartition(topic, 0, 0)])
    consumer.poll(0.5)  # connects
    ready.set()
    seen_n = 0
    while seen_n < n and not stop.is_set():
        first = consumer.poll(0.1)
        if first is None or first.error():
            continue
        records = [first, *consumer.consume(1_000, 0)]
        batches.append((time.perf_counter(), [r.value() for r in records if not r.error()]))
        seen_n += len(batches[-1][1])
    consumer.close()


def _send(bootstrap: str, topic: str, n: int) -> Mapping[str, float]:
    """An event each millisecond; late ones follow at once. Returns: when each was sent, by id."""
    producer: Any = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    producer.list_topics(topic, timeout=READY_WITHIN_S)
    values = list(encoded(n))
    times = []
    began = time.perf_counter()
    for i, value in enumerate(values):
        while (left_s := began + i / RATE_PER_S - time.perf_counter()) > 0:
            time.sleep(left_s)
        times.append(time.perf_counter())
        producer.produce(topic, value, KEY, 0)
        producer.poll(0)
    producer.flush(READY_WITHIN_S)
    return {json.loads(value)["id"]: at for value, at in zip(values, times, strict=True)}


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
