"""How long a snapshot holds its partition up, by the size of the model."""

from argparse import Namespace
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench import summary
from tests.bench.events import encoded
from tests.bench.loops import Loop
from tests.bench.meter import Figures, Spec
from tests.bench.stage import Say, Stage, opened

EVENTS_N = 60_000

CASES = (("none", 1), ("tree", 1), ("forest", 1), ("forest", 10))
"""Kinds and copies of `cargo`: about 2 KiB, 1.4 MiB, 20 MiB and 200 MiB pickled."""

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
        """Of the pickled state."""
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
    stalls = []
    with opened(folder, kafka=options.kafka, say=say) as stage:
        client = client if stage.topics is not None else "embedded"
        if stage.topics is not None:
            stage.topics.fill("events-lr", n)
        else:
            stage.fill_embedded(stage.config("feed", client="embedded"), encoded(n))
        for kind, copies in CASES:
            snapshotting = _case(stage, client, kind, copies, n, recovery_time_s=1)
            quiet = _case(stage, client, kind, copies, n, recovery_time_s=3_600)
            stalls.append(Stall(snapshotting, quiet))
            say(_line(stalls[-1]))
        told = summary.about(command, stage.kind)
    lines = [
        f"{client}, {n:,} events; the longest pause between two events of a partition:\n",
        "| state, pickled | snapshots | longest pause, ms | without snapshots, ms | limit, ms |",
        "|---|---|---|---|---|",
        *map(_line, stalls),
    ]
    figures: dict[str, Any] = {
        "client": client,
        "cases": [
            {"held": s.held, "snapshotting": s.snapshotting.more, "quiet": s.quiet.more}
            for s in stalls
        ],
    }
    text = "\n".join(lines)
    summary.finish("stall", text, told=told, figures=figures, options=options, say=say)
    return 0 if all(stall.held for stall in stalls) else 1


def _line(stall: Stall) -> str:
    with_them, without = stall.snapshotting.more, stall.quiet.more
    limit = f"{STALL_MS_MAX:.0f}" if stall.size_mib <= SIZE_MIB_MAX else "-"
    size = stall.size_mib
    told = f"{size:.1f} MiB" if size >= 1 else f"{size * 1024:.1f} KiB"
    return (
        f"| {told} | {with_them['snapshots']} | {with_them['longest_ms']:.0f} | "
        f"{without['longest_ms']:.0f} | {limit} |"
    )


def _case(
    stage: Stage, client: str, kind: str, copies: int, n: int, *, recovery_time_s: int
) -> Figures:
    name = f"stall-{kind}-{copies}-{recovery_time_s}"
    config = stage.config(name, client=client, more='[worker]\ninstance = "w-0"\n')
    text = config.read_text()
    text = text.replace("tests.bench.step:make_model", "tests.bench.cargo:make")
    text = text.replace('kind = "lr"', f'kind = "{kind}", copies = {copies}')
    config.write_text(text.replace("recovery_time_s = 10", f"recovery_time_s = {recovery_time_s}"))
    more = {"config": str(config), "kind": kind, "copies": str(copies)}
    spec = Spec(
        variant="ours", model="lr", events_n=n, folder=str(stage.folder), name=name, more=more
    )  # fmt: skip
    try:
        return stage.child(STALLING, spec)
    finally:
        if stage.topics is not None:
            stage.topics.remove(name)
