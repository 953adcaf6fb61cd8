"""Several workers on as many partitions, beside one worker on the same."""

import statistics
import threading
import time
from argparse import Namespace
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.instruments.bench import summary
from tests.instruments.bench.loops import Loop
from tests.instruments.bench.meter import Figures, Spec
from tests.instruments.bench.stage import Failed, Say, Stage, opened

EVENTS_N = 100_000
ROUNDS_N = 3
DONE_WITHIN_S = 600.0
SHARE_MIN = 0.9
"""Of N times one worker: two must do 1.8 times as much."""

SHARING = Loop(
    name="sharing", title="", module="sharing", variant="ours", guarantee="exactly-once",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """What the workers of one group did.

    Attributes:
        per_cpu_s: the sum of each worker's events a CPU-second of its own, the speed scaled out.
        per_s: events a second, from the first record polled to the last commit of all.
    """

    workers_n: int
    per_cpu_s: float
    per_s: float


def run(options: Namespace, folder: Path, *, command: str, say: Say) -> int:
    """One and N in turn, several rounds. Returns: 0, or 1 past the limit."""
    workers_n = options.workers
    n, rounds = options.events or EVENTS_N, options.rounds or ROUNDS_N
    client = (options.client or ["kafka-python"])[0]
    pairs: list[tuple[Team, Team]] = []
    with opened(folder, kafka=options.kafka, say=say) as stage:
        if stage.topics is None:
            raise SystemExit("bench: workers want a Kafka: --kafka docker or jvm")
        stage.topics.fill("events-lr", n, partitions=workers_n)
        for number in range(rounds):
            alone = _team(stage, f"one-{number}", client, workers_n=1, total=n * workers_n)
            team = _team(stage, f"many-{number}", client, workers_n=workers_n, total=n * workers_n)
            pairs.append((alone, team))
            say(f"round {number + 1} of {rounds}: {alone}, {team}")
        told = summary.about(command, stage.kind)
    gains = {
        "per_cpu_s": statistics.median(team.per_cpu_s / alone.per_cpu_s for alone, team in pairs),
        "per_s": statistics.median(team.per_s / alone.per_s for alone, team in pairs),
    }
    limit = SHARE_MIN * workers_n
    held = gains["per_cpu_s"] >= limit
    text = _table(pairs, gains, client=client, limit=limit)
    rows = [[asdict(team) for team in pair] for pair in pairs]
    figures = {"held": held, "gains": gains, "rounds": rows, "client": client}
    summary.finish("workers", text, told=told, figures=figures, options=options, say=say)
    return 0 if held else 1


def _table(
    pairs: Sequence[tuple[Team, Team]], gains: dict[str, float], *, client: str, limit: float
) -> str:
    def median(name: str, which: int) -> float:
        values: list[float] = [getattr(pair[which], name) for pair in pairs]
        return statistics.median(values)

    n = pairs[0][1].workers_n
    lines = [
        f"{client}, {n} partitions, medians of {len(pairs)} rounds, all on the broker's cores:\n",
        f"| | one worker | {n} workers | gain | at least |",
        "|---|---|---|---|---|",
    ]
    for name, what, least in (
        ("per_cpu_s", "events a CPU-second of the workers, summed", f"{limit:.1f}"),
        ("per_s", "events a second", "-"),
    ):
        one, many = median(name, 0), median(name, 1)
        lines.append(f"| {what} | {one:,.0f} | {many:,.0f} | {gains[name]:.2f} | {least} |")
    return "\n".join(lines)


def _team(stage: Stage, name: str, client: str, *, workers_n: int, total: int) -> Team:
    """Run a group to the end of its events. Raises: Failed."""
    assert stage.topics is not None
    folder = stage.folder / name
    folder.mkdir()
    config = stage.config(name, client=client)
    specs = [
        Spec(
            variant="ours", model="lr", events_n=total, folder=str(folder), name=f"{name}-{i}",
            more={"config": str(config)},
        )
        for i in range(workers_n)
    ]  # fmt: skip
    try:
        with ThreadPoolExecutor(workers_n) as pool:
            running = [pool.submit(stage.child, SHARING, spec) for spec in specs]
            deadline = time.monotonic() + DONE_WITHIN_S
            while not all((folder / f"{spec.name}.done").exists() for spec in specs):
                if time.monotonic() > deadline or any(it.done() for it in running):
                    break
                threading.Event().wait(0.05)
            (folder / "release").touch()
            figures = [it.result() for it in running]
    finally:
        stage.topics.remove(f"{name}.")
    if sum(_folded(it) for it in figures) < total:
        raise Failed(f"{name}: the workers got fewer than {total} events")
    return Team(
        workers_n=workers_n,
        per_cpu_s=sum(_folded(it) / _scaled_cpu_s(it) for it in figures),
        per_s=total / (
            max(it.more["ended_at"] for it in figures)
            - min(it.more["began_at"] for it in figures)
        ),
    )  # fmt: skip


def _folded(figures: Figures) -> int:
    n: int = figures.more["folded_n"]
    return n


def _scaled_cpu_s(figures: Figures) -> float:
    """As if the yardstick took 15 µs."""
    return figures.cpu_s * 15 / figures.yardstick_us
