"""How long commands take to start, beside the interpreter and beside river's imports."""

import os
import re
import resource
import statistics
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.instruments.bench import summary
from tests.instruments.bench.stage import REPOSITORY, Say, Stage, opened

ROUNDS_N = 9
READY = re.compile(rb"\btask_(fresh|restored|kept)\b")

RIVER = "from tests.instruments.bench.step import Step; Step('lr')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One thing that is started, and what it may cost.

    Attributes:
        minus: what to take off before looking at the limit: another one's name.
        until: a line on stderr that ends the clock; None: the process's end.
    """

    name: str
    command: Sequence[str]
    limit_s: float | None = None
    minus: str | None = None
    until: re.Pattern[bytes] | None = None


def run(options: Namespace, folder: Path, *, command: str, say: Say) -> int:
    """Start everything in turn, several rounds. Returns: 0, or 1 past a limit."""
    rounds = options.rounds or ROUNDS_N
    with opened(folder, kafka="embedded", say=say) as stage:
        starts = _starts(stage)
        took: dict[str, list[tuple[float, float]]] = {start.name: [] for start in starts}
        for _ in range(rounds):
            for start in starts:
                took[start.name].append(_timed(start, folder))
    wall = {name: statistics.median(w for w, _ in pairs) for name, pairs in took.items()}
    cpu = {name: statistics.median(c for _, c in pairs) for name, pairs in took.items()}
    lines = ["| start | wall, s | CPU, s | limit |", "|---|---|---|---|"]
    held = True
    for start in starts:
        limit = "-"
        if start.limit_s is not None:
            own = wall[start.name] - (wall[start.minus] if start.minus else 0.0)
            held &= own <= start.limit_s
            over = f" over the {start.minus}" if start.minus else ""
            limit = f"{own:.3f}{over}, at most {start.limit_s:g}"
        lines.append(f"| {start.name} | {wall[start.name]:.3f} | {cpu[start.name]:.3f} | {limit} |")
    lines.append(f"\nMedians of {rounds} rounds.")
    figures = {"held": held, "took": took}
    told, text = summary.about(command, "none"), "\n".join(lines)
    summary.finish("startup", text, told=told, figures=figures, options=options, say=say)
    return 0 if held else 1


def _starts(stage: Stage) -> tuple[Start, ...]:
    python = sys.executable
    config = stage.config("starting", client="embedded")
    stage.fill_embedded(config, ())
    worker = [python, "-m", "stream", "run", "-c", str(config), "--until-end"]
    return (
        Start(name="interpreter", command=[python, "-c", "pass"]),
        Start(name="`import stream`", command=[python, "-c", "import stream"], limit_s=0.1,
              minus="interpreter"),
        Start(name="`stream --version`", command=[python, "-m", "stream", "--version"],
              limit_s=0.15),
        Start(name="imports of river", command=[python, "-c", RIVER]),
        Start(name="worker ready", command=worker, limit_s=2.0, minus="imports of river",
              until=READY),
    )  # fmt: skip


def _timed(start: Start, folder: Path) -> tuple[float, float]:
    """Wall and CPU of one start; CPU until the end of the process."""
    # A worker begins again under its pipeline's hash seed, as it does for a user.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONHASHSEED"}
    environment["XDG_STATE_HOME"] = str(folder)
    before, began = _children_s(), time.perf_counter()
    with subprocess.Popen(
        start.command, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        wall_s = None
        for line in process.stderr:
            if start.until is not None and start.until.search(line):
                wall_s = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{start.name}: exit {process.returncode}")
    if wall_s is None:
        assert start.until is None, f"{start.name}: never ready"
        wall_s = time.perf_counter() - began
    return wall_s, _children_s() - before


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
