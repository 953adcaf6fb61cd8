"""docs/SIMULATION.md: what the runs themselves write into it, each into its own part."""

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

from tests.instruments.simulation.hunt import Found

_EMPTY = """\
# What the simulation has shown

The real worker, task, snapshotter, restore code and Redis adapter run in one process against a
seeded world; see [ARCHITECTURE.md](ARCHITECTURE.md), "Tests". The figures below were written by
the runs that each part names.
"""


def write_planted(page: Path, command: str, found: Sequence[Found]) -> None:
    """The list of planted bugs, and how many seeds each needed."""
    hits = [each for each in found if each.seeds_n is not None]
    rows = [f"| {each.name} | {each.seeds_n or 'not found'} | {_shown(each)} |" for each in found]
    _write(
        page,
        "planted bugs",
        [
            f"{len(hits)} of {len(found)} deliberate mistakes were found by `{command}`.",
            "",
            "| mistake | seeds needed | first seen as |",
            "|---|---|---|",
            *rows,
        ],
    )


def write_seeds(
    page: Path, command: str, *, seeds_n: int, failed_n: int, cpu_s: float, events: int | None
) -> None:
    """How a run of many seeds went, and what it took of one core."""
    worlds = "20 to 150 events each" if events is None else f"{events} events each"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    told = (
        f"`{command}`: {seeds_n:,} schedules, {failed_n} failed; {seeds_n / cpu_s:.0f} for each "
        f"second of a core's time, {cpu_s / seeds_n * 1000:.1f} ms a schedule ({python}, "
        f"{platform.machine()}, {os.cpu_count()} cores)."
    )
    _write(page, f"seeds, {worlds}", [told])


def _shown(found: Found) -> str:
    """The beginning of a violation, without what a table cannot hold."""
    beginning, *_ = re.split(r": \(|: Record|: \[", found.what)
    return shorten(beginning.replace("|", " "), width=110, placeholder=" ...")


def _write(page: Path, part: str, lines: Sequence[str]) -> None:
    begin, end = f"<!-- {part} -->", f"<!-- end of {part} -->"
    text = page.read_text() if page.exists() else _EMPTY
    new = "\n".join((begin, f"## {part.capitalize()}", "", *lines, end))
    old = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if old.search(text):
        page.write_text(old.sub(lambda _: new, text))
    else:
        page.write_text(f"{text}\n{new}\n")
