"""The worker beside the bare river loop on the same events, in turn, several rounds.

The bare loop: decoded dicts in memory, `predict_proba_one`, `learn_one`, ADWIN and DDM on the
error, and nothing else. The worker: everything, on a throw-away Kafka and Redis on this machine.
Each run is a process of its own; its clock starts at the first event and stops after the last
commit. The wrong predictions of both are counted and must be equal, or the fastest loop would
be the one that does less.
"""

import argparse
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stream.core.event import Channel, Output
from stream.ports import Committed, Log, Polled
from stream.sandbox import start

FACTORY = """
from river import linear_model, preprocessing
def make():
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()
"""
CONFIG = """pipeline = "{name}"
[topics]
events = "{events}"
[model]
factory = "bare:make"
[snapshots]
recovery_time_s = 10
[delivery]
guarantee = "{guarantee}"
"""


def events(n: int) -> Iterator[dict[str, Any]]:
    """Nine numeric features and a noisy linear rule that turns around every 25,000 events."""
    chance = random.Random(7)  # noqa: S311
    names = [f"feature_{i}" for i in range(9)]
    weights = [chance.uniform(-1, 1) for _ in names]
    for i in range(n):
        x = {name: round(chance.gauss(0, 1), 6) for name in names}
        side = sum(w * v for w, v in zip(weights, x.values(), strict=True))
        label = (side > 0) ^ (i // 25_000 % 2 == 1) ^ (chance.random() < 0.1)  # noqa: PLR2004
        yield {"features": x, "label": label}


@dataclass(frozen=True)
class Run:
    """What one run took.

    Attributes:
        errors: wrong predictions: equal, or the two loops did not do the same.
        rss_mib: resident memory at events 10^4, 10^5, ..., by event.
    """

    wall_s: float
    cpu_s: float
    errors: int
    rss_mib: Mapping[str, float]


class MeteredLog:
    """A log that starts a clock at the first record, and stops it after each commit."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._began: tuple[float, float] | None = None
        self._consumed = 0
        self._mark = 10_000
        self.wall_s = self.cpu_s = 0.0
        self.rss_mib: dict[str, float] = {}

    def poll(self, *, timeout_s: float, records_max: int) -> Polled:
        """As the log's."""
        polled = self._log.poll(timeout_s=timeout_s, records_max=records_max)
        if polled.records and self._began is None:
            self._began = (time.perf_counter(), time.process_time())
        self._consumed += sum(map(len, polled.records.values()))
        if self._consumed >= self._mark:
            self.rss_mib[str(self._mark)] = _rss_mib()
            self._mark *= 10
        return polled

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """As the log's."""
        self._log.commit(outputs, offsets)
        if self._began is not None:
            self.wall_s = time.perf_counter() - self._began[0]
            self.cpu_s = time.process_time() - self._began[1]

    def seek(self, partition: int, offset: int) -> None:
        """As the log's."""
        self._log.seek(partition, offset)

    def pause(self, partition: int) -> None:
        """As the log's."""
        self._log.pause(partition)

    def committed(self, partitions: Collection[int]) -> dict[int, Committed]:
        """As the log's."""
        return self._log.committed(partitions)

    def close(self) -> None:
        """As the log's."""
        self._log.close()


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def bare(n: int) -> Run:
    """The bare river loop."""
    from river import drift, linear_model, preprocessing  # noqa: PLC0415

    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    data = [(e["features"], e["label"]) for e in events(n)]
    predict, learn = model.predict_proba_one, model.learn_one
    adwin: Any = drift.ADWIN()
    ddm: Any = drift.binary.DDM()
    errors = 0
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    for x, y in data:
        probabilities: Any = predict(x)
        learn(x, y)
        error = max(probabilities, key=probabilities.__getitem__) != y
        adwin.update(error)
        ddm.update(error)
        errors += error
    return Run(time.perf_counter() - wall, time.process_time() - cpu, errors, {})


def ours(config: Path) -> Run:
    """The worker of a configuration, until the end of its events."""
    from stream.cli import House  # noqa: PLC0415
    from stream.runtime import preparation, process  # noqa: PLC0415
    from stream.runtime.assembly import assemble  # noqa: PLC0415

    house = House.of(config)
    recipe = preparation.make_recipe(house.settings)
    keys = preparation.snapshot_keys(house.settings, os.environ, house.telemetry)
    with closing(house.topics()) as topics:
        topic = preparation.ready_topics(topics, house.settings, house.telemetry)
    metered = MeteredLog(house.log())
    with closing(house.reader()) as reader, closing(house.snapshots()) as store, closing(metered):
        worker = assemble(
            house.settings, recipe=recipe, keys=keys, events=topic, log=metered, reader=reader,
            store=store, clock=house.clock(), telemetry=house.telemetry,
            stopping=threading.Event(), until_end=True,
        )  # fmt: skip
        process.collect_rarely()
        worker.run()
        with closing(house.reader()) as outsider:
            errors = _errors(outsider)
    return Run(metered.wall_s, metered.cpu_s, errors, metered.rss_mib)


def _errors(reader: Any) -> int:
    """Wrong predictions among the published ones: the bare loop counts its own the same way."""
    bounds = reader.bounds(Channel.PREDICTIONS, 0)
    wrong = 0
    for batch in reader.read(Channel.PREDICTIONS, 0, bounds.start, bounds.end):
        for record in batch:
            value = json.loads(record.value)
            wrong += value["prediction"] != value["label"]
    return wrong


def _child(*arguments: str, environment: Mapping[str, str]) -> Run:
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**os.environ, **environment, "PYTHONHASHSEED": "0"},
        capture_output=True, text=True, check=False, timeout=1_800,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{arguments} failed:\n{done.stderr}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def feed(config: Path, n: int) -> Run:
    """Fill the events topic of a configuration."""
    from stream.cli import House  # noqa: PLC0415
    from stream.runtime import preparation  # noqa: PLC0415

    house = House.of(config)
    with closing(house.topics()) as topics:
        preparation.ready_topics(topics, house.settings, house.telemetry)
    began = time.perf_counter()
    with closing(house.feed()) as upstream:
        for event in events(n):
            upstream.send(json.dumps(event).encode(), key=None, timestamp_ms=None)
        upstream.flush(timeout_s=600)
    return Run(time.perf_counter() - began, 0.0, 0, {})


def compare(options: argparse.Namespace) -> None:
    """All rounds, and the table."""
    console = Console()
    with (
        tempfile.TemporaryDirectory() as name,
        start(say=console.print, kafka=options.kafka) as sandbox,
    ):
        folder = Path(name)
        here = {**sandbox.environment(), "XDG_STATE_HOME": name}
        if sandbox.kind != "embedded":
            here["STREAM__KAFKA__CLIENT"] = options.client
        (folder / "bare.py").write_text(FACTORY)
        shared = {"events": "bench.events", "guarantee": options.guarantee}
        (folder / "feed.toml").write_text(CONFIG.format(name="feed", **shared))
        here["PYTHONPATH"] = f"{Path.cwd()}:{folder}"
        _child("--feed", str(folder / "feed.toml"), str(options.events), environment=here)
        pairs = []
        for round_number in range(options.rounds):
            config = folder / f"bench-{round_number}.toml"
            config.write_text(CONFIG.format(name=config.stem, **shared))
            pair = (
                _child("--bare", str(options.events), environment=here),
                _child("--worker", str(config), environment=here),
            )
            if pair[0].errors != pair[1].errors:
                raise SystemExit(f"other predictions: {pair[0].errors} and {pair[1].errors} errors")
            pairs.append(pair)
            console.print(
                f"round {round_number + 1} of {options.rounds}: bare {_us(pair[0], options.events)}"
                f", worker {_us(pair[1], options.events)}"
            )
    _report(console, pairs, options)


def _us(run: Run, n: int) -> str:
    return f"{run.wall_s / n * 1e6:.1f} µs wall, {run.cpu_s / n * 1e6:.1f} µs CPU an event"


def _report(
    console: Console, pairs: Sequence[tuple[Run, Run]], options: argparse.Namespace
) -> None:
    wall = [bare.wall_s / worker.wall_s for bare, worker in pairs]
    cpu = [bare.cpu_s / worker.cpu_s for bare, worker in pairs]
    rate = [options.events / worker.wall_s for _, worker in pairs]
    table = Table(
        title=f"{options.events} events, {len(pairs)} rounds, {options.client}, {options.guarantee}"
    )
    for column in ("of the bare river loop", "median", "min", "max"):
        table.add_column(column)
    for name, values, shape in (
        ("wall", wall, "{:.3f}"), ("CPU", cpu, "{:.3f}"), ("events/s", rate, "{:,.0f}"),
    ):  # fmt: skip
        numbers = (statistics.median(values), min(values), max(values))
        table.add_row(name, *(shape.format(v) for v in numbers))
    console.print(table)
    memory = pairs[-1][1].rss_mib
    console.print(
        "resident memory of the worker: "
        + ", ".join(f"{mib:.0f} MiB at {int(n):,} events" for n, mib in memory.items())
    )
    if options.json:
        figures = {"wall": wall, "cpu": cpu, "events_per_s": rate, "rss_mib": memory}
        Path(options.json).write_text(json.dumps(figures, indent=2))


def main() -> None:
    """Parse, and run or be one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--guarantee", default="exactly-once")
    parser.add_argument("--kafka", default="auto", help="auto, docker, jvm or embedded")
    parser.add_argument("--client", default="kafka-python", help="kafka-python or confluent")
    parser.add_argument("--json", help="write the figures to this file, too")
    parser.add_argument("--bare", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--feed", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.feed:
        print(json.dumps(feed(Path(options.feed[0]), int(options.feed[1])).__dict__))
    elif options.bare or options.worker:
        run = bare(options.bare) if options.bare else ours(options.worker)
        print(json.dumps(run.__dict__))
    else:
        compare(options)


if __name__ == "__main__":
    main()
