"""What a soak has found: a page of Markdown, and one HTML file with plots and nothing else."""

import html as escaping
import io
import os
import platform
import re
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stream.sandbox.kafka_settings import KAFKA_VERSION
from tests.instruments.faults.soak_faults import FAULTS
from tests.instruments.faults.soak_watch import (
    DESCRIPTORS_MORE_MAX,
    GROWTH_BYTES_MAX,
    LIVED_S_MIN,
    MEMORY_BYTES_MAX,
    SETTLING_S,
)

if TYPE_CHECKING:
    from tests.instruments.faults.soak import Found

COLOURS = {"worker": "#c62828", "broker": "#2563eb", "redis": "#7c3aed", "network": "#d97706"}
LINES = ("#17803d", "#0891b2", "#334155")
POINTS_MAX = 600
T = TypeVar("T")

STYLE = """
body { margin: 0 auto; max-width: 1100px; padding: 32px 20px; color: #1d2430; background: #f6f7f9;
  font: 16px/1.5 system-ui, sans-serif; }
section { background: #fff; border: 1px solid #dfe3ea; border-radius: 10px; padding: 18px 22px;
  margin-top: 18px; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.1rem; margin: 0 0 8px; }
svg { width: 100%; height: auto; } table { border-collapse: collapse; }
th, td { text-align: left; padding: 3px 18px 3px 0; }
.good { color: #17803d; } .bad { color: #c62828; }
"""


def markdown(found: "Found") -> str:
    """The summary."""
    verdict = "All held." if not found.broken else f"**It did not hold**: {'; '.join(found.broken)}"
    seen_s = [s for s in found.caught_up_s if s] or [0.0]
    return f"""# Soak

Written by the run itself, not by hand: `scripts/soak --minutes {found.minutes:g} \
--seed {found.seed} --client {found.client}`, {datetime.now(UTC).date().isoformat()}, \
Kafka {KAFKA_VERSION}, Python {platform.python_version()}, {os.cpu_count()} CPUs, shared with other work.

{verdict}

Three brokers (replication factor 3, `min.insync.replicas` 2) behind proxies, one Redis, four partitions, three
workers under a supervisor (two with a stable name, one without). Faults are drawn from the seed: which, when, how long;
one of a kind at a time, several kinds at once. After each round of {_round_s():g} s all is mended, and everything must be
caught up within {_within_s():g} s. A reader with `read_committed` looks on all the while; in the end every
prediction, alarm and quarantined record is compared with a plain river loop.

- {found.took_s / 60:.1f} minutes, {len(found.faults)} faults, {found.outcomes_n:,} outcomes,
  {found.commits_lost_n} commits lost and done again.
- {len(found.caught_up_s)} rounds; caught up after a median of {statistics.median(seen_s):.1f} s, at most {max(seen_s):.1f} s.
- Workers ended: {_ended(found)}.

| fault | times |
|---|---|
{_faults(found)}

Memory and file descriptors, from a process's sixth minute to its end, of each that lived for at least
{(SETTLING_S + LIVED_S_MIN) / 60:g} minutes: of the first and of the last of these minutes the least memory, and the median of the descriptors. `w-2` is never killed, only stopped, cut off and refused, so that what leaks at a fault adds up.
Bounds: {GROWTH_BYTES_MAX >> 20} MB more, {DESCRIPTORS_MORE_MAX} descriptors more; {MEMORY_BYTES_MAX >> 20} MB for any worker at any time.
The most that one had: {_most(found)}.

| worker | lived | memory | file descriptors (most) |
|---|---|---|---|
{_growths(found)}
"""  # noqa: E501  # lines of Markdown


def _round_s() -> float:
    from tests.instruments.faults.soak import ROUND_S  # noqa: PLC0415  # it imports this module

    return ROUND_S


def _within_s() -> float:
    from tests.instruments.faults.soak import CAUGHT_UP_WITHIN_S  # noqa: PLC0415  # it imports this module

    return CAUGHT_UP_WITHIN_S


def _ended(found: "Found") -> str:
    names = {-9: "SIGKILL", 0: "SIGTERM, exit 0"}
    told = [
        f"{names.get(code, f'exit {code}')} {n} times" for code, n in sorted(found.ended.items())
    ]
    return ", ".join(told) or "none"


def _most(found: "Found") -> str:
    return ", ".join(
        f"{name} {max((s.memory_bytes for s in samples), default=0) / 1e6:.0f} MB"
        for name, samples in found.samples.items()
    )


def _faults(found: "Found") -> str:
    counted = Counter(name for _, name in found.faults)
    return "\n".join(f"| {fault.name} | {counted[fault.name]} |" for fault in FAULTS)


def _growths(found: "Found") -> str:
    return "\n".join(
        f"| {g.name} | {g.lived_s / 60:.1f} min | {g.memory_before_bytes / 1e6:.1f} to "
        f"{g.memory_after_bytes / 1e6:.1f} MB | {g.descriptors_before_n} to "
        f"{g.descriptors_after_n} ({g.descriptors_n_max}) |"
        for g in found.growths
    )


def html(found: "Found") -> str:
    """The report with plots."""
    verdict = (
        '<span class="good">all held</span>'
        if not found.broken
        else f'<span class="bad">{escaping.escape("; ".join(found.broken))}</span>'
    )
    plots = "\n".join(
        f"<section><h2>{title}</h2>{_svg(found, draw)}</section>" for title, draw in PLOTS.items()
    )
    key = " ".join(f'<b style="color: {colour}">{kind}</b>' for kind, colour in COLOURS.items())
    table = "\n".join(
        f"<tr><td>{row.split('|')[1]}</td><td>{row.split('|')[2]}</td></tr>"
        for row in _faults(found).splitlines()
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>streamfold soak, seed {found.seed}</title>
<style>{STYLE}</style></head><body>
<h1>Soak: {verdict}</h1>
<p>Seed {found.seed}, {found.took_s / 60:.1f} minutes, {len(found.faults)} faults,
{found.outcomes_n:,} outcomes, {escaping.escape(found.client)}. A vertical line is the begin of a
fault: {key}.</p>
{plots}
<section><h2>Faults</h2><table>{table}</table></section>
</body></html>
"""


def _svg(found: "Found", draw: Callable[["Found", Axes], None]) -> str:
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "soak", "font.size": 9.0}):
        figure = Figure(figsize=(11.0, 2.8), layout="constrained")
        axes = figure.subplots()
        kinds = {fault.name: fault.kind for fault in FAULTS}
        for at_s, name in found.faults:
            axes.axvline(at_s / 60, color=COLOURS[kinds[name]], lw=0.6, alpha=0.5)
        draw(found, axes)
        axes.set_xlabel("minutes")
        axes.set_ylim(bottom=0)
        axes.margins(x=0.0)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)


def _thinned(values: Sequence[T]) -> Sequence[T]:
    return values[:: max(1, len(values) // POINTS_MAX)]


def _rate(found: "Found", axes: Axes) -> None:
    moments = _thinned(found.moments)
    axes.plot(
        [later.at_s / 60 for _, later in pairwise(moments)],
        [(b.outcomes_n - a.outcomes_n) / (b.at_s - a.at_s) for a, b in pairwise(moments)],
        color=LINES[0], lw=1.0,
    )  # fmt: skip


def _lag(found: "Found", axes: Axes) -> None:
    known = [m for m in _thinned(found.moments) if m.lag_n is not None]
    axes.plot([m.at_s / 60 for m in known], [m.lag_n or 0 for m in known], color=LINES[0], lw=1.0)


def _memory(found: "Found", axes: Axes) -> None:
    for (name, samples), colour in zip(found.samples.items(), LINES, strict=True):
        thin = _thinned(samples)
        axes.plot([s.at_s / 60 for s in thin], [s.memory_bytes / 1e6 for s in thin],
                  color=colour, lw=1.0, label=name)  # fmt: skip
    axes.legend(loc="lower right")


def _descriptors(found: "Found", axes: Axes) -> None:
    for (name, samples), colour in zip(found.samples.items(), LINES, strict=True):
        thin = _thinned(samples)
        axes.plot([s.at_s / 60 for s in thin], [s.descriptors_n for s in thin],
                  color=colour, lw=1.0, label=name)  # fmt: skip
    axes.legend(loc="lower right")


PLOTS = {
    "Outcomes a second": _rate,
    "Events without an outcome": _lag,
    "Memory of each worker, MB": _memory,
    "File descriptors of each worker": _descriptors,
}
