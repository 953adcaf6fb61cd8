"""How long a snapshot holds its partition up, by the size of the model."""

from argparse import Namespace
from pathlib import Path
from typing import Any, NamedTuple

from tests.instruments.bench import summary
from tests.instruments.bench.events import encoded
from tests.instruments.bench.loops import Loop
from tests.instruments.bench.meter import Figures, Spec
from tests.instruments.bench.stage import NAMED, Failed, Say, Stage, opened

EVENTS_N = 60_000


class Case(NamedTuple):
    """A state of some size; see `cargo.make`.

    Attributes:
        recovery_time_s: short, so that snapshots are due while there are events; long enough for
            the worker to make the model within its deadline.
    """

    kind: str
    copies: int = 1
    effort: int = 1
    recovery_time_s: int = 1


CASES = (Case("none"), Case("tree", 3), Case("forest"), Case("forest", 10, 40, 40))
"""About 2 KiB, 1.4 MiB, 20 MiB and 200 MiB as river's objects are pickled."""

NO_SNAPSHOTS_S = 3_600
"""A recovery time that no run reaches."""

STALL_MS_MAX, SIZE_MIB_MAX = 50.0, 25.0
"""The limit, and the models that it is for."""

STALLING = Loop(
    name="stalling", title="", module="stalling", variant="ours", guarantee="exactly-once",
)  # fmt: skip


class Stall(NamedTuple):
    """One size: the run that takes snapshots, and the one that takes none before its end."""

    snapshotting: Figures
    quiet: Figures

    @property
    def size_mib(self) -> float:
        """Of the state as `pickle` makes it; snapshots leave out what nothing draws from."""
        size: int = self.snapshotting.more["size_bytes"]
        return size / (1 << 20)

    @property
    def held(self) -> bool:
        """Within its limit, if there is one."""
        longest_ms: float = self.snapshotting.more["longest_ms"]
        return self.size_mib > SIZE_MIB_MAX or longest_ms <= STALL_MS_MAX


def run(options: Namespace, folder: Path, *, command: str, say: Say) -> int:
    """Every size with and without snapshots. Returns: 0, or 1 past a limit."""
    n = options.events or EVENTS_N
    client = (options.client or ["kafka-python"])[0]
    stalls: list[Stall] = []
    failed: list[str] = []
    with opened(folder, kafka=options.kafka, say=say) as stage:
        client = client if stage.topics is not None else "embedded"
        if stage.topics is not None:
            stage.topics.fill("events-lr", n)
        else:
            stage.fill_embedded(stage.config("feed", client="embedded"), encoded(n))
        for case in CASES:
            try:
                snapshotting = _run(stage, client, case, n)
                quiet = _run(stage, client, case._replace(recovery_time_s=NO_SNAPSHOTS_S), n)
            except Failed as error:
                failed.append(f"{case.kind} x {case.copies}: {error}")
                say(f"bench: {failed[-1]}")
                continue
            stalls.append(Stall(snapshotting, quiet))
            say(_line(stalls[-1]))
        told = summary.about(command, stage.kind)
    lines = [
        f"{client}, {n:,} events; pauses between two events, without waiting for log and core:\n",
        "| state by `pickle` | as kept | snapshots | longest pause, ms | without any | limit |",
        "|---|---|---|---|---|---|",
        *map(_line, stalls),
        *(f"\nFailed: {why}." for why in failed),
    ]
    figures: dict[str, Any] = {
        "client": client,
        "failed": failed,
        "cases": [
            {"held": s.held, "snapshotting": s.snapshotting.more, "quiet": s.quiet.more}
            for s in stalls
        ],
    }
    text = "\n".join(lines)
    summary.finish("stall", text, told=told, figures=figures, options=options, say=say)
    return 1 if failed or not all(stall.held for stall in stalls) else 0


def _line(stall: Stall) -> str:
    with_them, without = stall.snapshotting.more, stall.quiet.more
    limit = f"{STALL_MS_MAX:.0f}" if stall.size_mib <= SIZE_MIB_MAX else "-"
    return (
        f"| {_size(with_them['size_bytes'])} | {_size(with_them['kept_bytes'])} | "
        f"{with_them['snapshots']} | {with_them['longest_ms']:.0f} | "
        f"{without['longest_ms']:.0f} | {limit} |"
    )


def _size(n: int) -> str:
    return f"{n / 1024:.1f} KiB" if n < 1 << 20 else f"{n / (1 << 20):.1f} MiB"


def _run(stage: Stage, client: str, case: Case, n: int) -> Figures:
    name = f"stall-{case.kind}-{case.copies}-{case.recovery_time_s}"
    config = stage.config(name, client=client, more=NAMED)
    params = f'kind = "{case.kind}", copies = {case.copies}, effort = {case.effort}'
    text = (
        config.read_text()
        .replace("tests.instruments.bench.step:make_model", "tests.instruments.bench.cargo:make")
        .replace('kind = "lr"', params)
        .replace("recovery_time_s = 10", f"recovery_time_s = {case.recovery_time_s}")
    )
    config.write_text(text)
    more = {"config": str(config), "kind": case.kind, "copies": str(case.copies)}
    spec = Spec(
        variant="ours", model="lr", events_n=n, folder=str(stage.folder), name=name, more=more
    )  # fmt: skip
    try:
        return stage.child(STALLING, spec)
    finally:
        if stage.topics is not None:
            stage.topics.remove(f"{name}.")
