"""What was measured, as JSON and as Markdown."""

import json
import os
import platform
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.instruments.bench import environments, page
from tests.instruments.bench.loops import BARE
from tests.instruments.bench.rounds import Row, Spread, by_model
from tests.instruments.bench.step import MODELS

FORMAT = 1


def about(command: str, kafka: str) -> dict[str, Any]:
    """Where, when and how it was measured."""
    return {
        "format": FORMAT,
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "command": command,
        "kafka": kafka,
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "memory_gib": round(
                os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
            ),
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
        },
    }


def finish(
    section: str,
    text: str,
    *,
    told: Mapping[str, Any],
    figures: Mapping[str, Any],
    options: Namespace,
    say: Callable[[str], None],
) -> None:
    """Print a section, and write what the options ask for.

    Args:
        section: of docs/performance.md.
        text: as Markdown.
        told: from `about`.
        figures: for the JSON.
        options: the command line's.
        say: prints.
    """
    text = f"{text}\n\n{caption(told, figures.get('versions', {}))}"
    say(f"\n{text}")
    if options.json is not None:
        options.json.write_text(
            json.dumps({**told, "section": section, **figures}, indent=1) + "\n"
        )
    if options.write:
        page.put(section, text)


def versions(rows: Iterable[Row]) -> dict[str, str]:
    """Of river and of every package that was measured."""
    found: dict[str, str] = {}
    for row in rows:
        found |= environments.versions(row.loop.environment, row.loop.packages)
    return found


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows with all their runs."""
    return [_row(row) for row in rows]


def _row(row: Row) -> dict[str, Any]:
    told: dict[str, Any] = {
        "model": row.model,
        "loop": row.loop.name,
        "guarantee": row.loop.guarantee,
        "state": row.loop.state,
        "events": row.events_n,
        "failed": row.failed,
    }
    if row.measured:
        told |= {
            "same_predictions": row.is_same,
            "wall": asdict(row.wall),
            "cpu": asdict(row.cpu),
            "events_per_s": asdict(row.events_per_s),
            "cpu_us": asdict(row.cpu_us),
            "runs": [asdict(it) for it in row.measured],
        }
    return told


def ranked(rows: Sequence[Row]) -> list[Row]:
    """The bare loop, then the fastest first, then what failed."""
    return sorted(
        rows,
        key=lambda row: (
            row.loop is not BARE, not row.measured, -row.wall.median if row.measured else 0
        ),
    )  # fmt: skip


def tables(rows: Iterable[Row], *, rounds: int) -> str:
    """A Markdown table a model."""
    parts = []
    for model, of_model in by_model(rows).items():
        what = f"**{MODELS[model].capitalize()}**, {of_model[0].events_n:,} events"
        scaled = ", scaled by the yardstick" if of_model[0].is_scaled else ""
        lines = [
            f"{what}, medians of {rounds} rounds (min to max){scaled}\n",
            "| loop | guarantee | state after a crash | wall | CPU | events/s | predictions |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [_line(row) for row in ranked(of_model)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _line(row: Row) -> str:
    loop = row.loop
    guarantee = "-" if loop.guarantee == "none" else loop.guarantee
    begin = f"| {loop.title} | {guarantee} | {loop.state} |"
    if not row.measured:
        return f"{begin} - | - | - | failed: {row.failed} |"
    same = "the same" if row.is_same else "**others**"
    if row.failed is not None:
        same += ", a run failed"
    return (
        f"{begin} {ratio(row.wall)} | {ratio(row.cpu)} | {row.events_per_s.median:,.0f} | {same} |"
    )


def ratio(spread: Spread) -> str:
    """A ratio and how far the rounds lie apart."""
    return f"{spread.median:.3f} ({spread.min:.3f} to {spread.max:.3f})"


def caption(told: Mapping[str, Any], versions_of: Mapping[str, str]) -> str:
    """One paragraph: machine, date, command, versions."""
    machine = told["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in versions_of.items())
    return (
        f"`{told['command']}`, {told['date']}, on {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}, "
        f"sandbox: {told['kafka']}" + (f"; {packages}." if packages else ".")
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
