"""The report's three pictures, as SVG that takes its colours from the page.

Every picture is drawn twice, for wide and for narrow screens: scaled down, its text could not be
read on a phone.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from stream.core.scores import WINDOW_N
from stream.demo.follower import Follower, Sample
from stream.demo.stage import Stage

# Drawn with, and then replaced by the page's own colours, which differ by day and by night.
_COLOURS = {
    "#000001": "var(--ink)", "#000002": "var(--faint)", "#000003": "var(--kill)",
    "#000004": "var(--series-0)", "#000005": "var(--series-1)", "#000006": "var(--muted)",
}  # fmt: skip
_INK, _FAINT, _KILL, _SERIES_0, _SERIES_1, _MUTED = _COLOURS
_SERIES = (_SERIES_0, _SERIES_1)

_WIDE, _NARROW = (8.8, 3.3), (4.3, 3.3)  # inches
_PER_CENT = FuncFormatter(lambda value, _: f"{value * 100:.0f} %")
_DAYS = FuncFormatter(lambda day, _: f"{datetime.fromtimestamp(day * 86_400, UTC):%d %b}")
_THOUSANDS = FuncFormatter(lambda value, _: f"{value:,.0f}")
_SPAN_S = 1.0  # shorter, and the rhythm of the commits would show
POINTS_MAX = 400  # of a line; more than that many pixels only make the file larger
MS_A_DAY = 86_400_000

Numbers = np.ndarray[Any, np.dtype[Any]]
Draw = Callable[[Axes, bool], None]


def score(stage: Stage) -> str:
    """Accuracy over the last flights by their date, beside no-change, with alarms and the kill."""

    def draw(axes: Axes, narrow: bool) -> None:
        followers = [actor.follower for actor in stage.actors]
        days, shares = _windowed(followers[0], _no_change(followers[0]))
        axes.plot(days, shares, color=_MUTED, lw=1.2, ls=(0, (4, 2)))
        for follower, colour in zip(followers, _SERIES, strict=True):
            days, shares = _windowed(follower, [said == label for said, label in follower.answers])
            axes.plot(days, shares, color=colour, lw=1.5)
            _alarms(axes, follower, colour, row=_SERIES.index(colour))
        if stage.crash is not None:
            _mark(axes, _day(followers[1], stage.crash.published_n), "SIGKILL")
        axes.yaxis.set_major_formatter(_PER_CENT)
        axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 9, integer=True))
        axes.xaxis.set_major_formatter(_DAYS)
        axes.tick_params(axis="x", pad=22)  # room for two rows of alarms

    return _both("score", draw)


def throughput(stage: Stage) -> str:
    """Predictions a second, by time, with the kill."""

    def draw(axes: Axes, narrow: bool) -> None:
        for actor, colour in zip(stage.actors, _SERIES, strict=True):
            times, per_s = rates(_working(actor.follower))
            axes.stairs(per_s, times, color=colour, lw=1.6, baseline=None)
        _seconds(axes, stage, narrow=narrow)

    return _both("throughput", draw)


def lag(stage: Stage) -> str:
    """Events that wait for their prediction, by time, with the kill."""

    def draw(axes: Axes, narrow: bool) -> None:
        for actor, colour in zip(stage.actors, _SERIES, strict=True):
            samples = _working(actor.follower)
            times, lags = [s.at_s for s in samples], [s.lag_n for s in samples]
            axes.plot(times, lags, color=colour, lw=1.6)
            axes.fill_between(times, lags, color=colour, alpha=0.14, lw=0)
        _seconds(axes, stage, narrow=narrow)

    return _both("lag", draw)


def _no_change(follower: Follower) -> list[bool]:
    """Whether the last label again would have been right."""
    return [False, *(last == label for (_, last), (_, label) in pairwise(follower.answers))]


def _windowed(follower: Follower, hits: Sequence[bool]) -> tuple[Numbers, Numbers]:
    """Days and share of hits over the window, from the first full window on (or half of all)."""
    window_n = min(WINDOW_N, len(hits) // 2)
    sums = np.cumsum([0, *hits])
    shares = (sums[window_n:] - sums[:-window_n]) / window_n
    step = max(1, len(shares) // POINTS_MAX)
    days = [_day(follower, i + window_n - 1) for i in range(0, len(shares), step)]
    return np.array(days), shares[::step]


def _day(follower: Follower, index: int) -> float:
    """When a flight was: days since 1970."""
    return follower.predictions[index].timestamp_ms / MS_A_DAY


def _working(follower: Follower) -> Sequence[Sample]:
    """The samples until all was done: what comes after is waiting for the others."""
    done = next(i for i, s in enumerate(follower.samples) if s.published_n == follower.published_n)
    return follower.samples[: done + 1]


def rates(samples: Sequence[Sample]) -> tuple[Numbers, Numbers]:
    """Edges of equal spans of time, and the predictions a second in each."""
    times = np.array([sample.at_s for sample in samples])
    edges = np.linspace(0.0, times[-1], max(2, round(times[-1] / _SPAN_S) + 1))
    published = np.interp(edges, times, [sample.published_n for sample in samples])
    return edges, np.diff(published) / np.diff(edges)


def _seconds(axes: Axes, stage: Stage, *, narrow: bool) -> None:
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(_THOUSANDS)
    axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 8, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} s"))
    crash = stage.crash
    if crash is None:
        return
    _mark(axes, crash.at_s, "SIGKILL")
    if crash.back_s is not None:
        axes.axvspan(crash.at_s, crash.back_s, color=_KILL, alpha=0.10, lw=0)


def _alarms(axes: Axes, follower: Follower, colour: str, *, row: int) -> None:
    """A triangle for each, in a row of its own below the lines."""
    at = [_day(follower, alarm.offset) for alarm in follower.alarms]
    below = axes.get_xaxis_transform()
    height = [-0.03 - 0.06 * row] * len(at)
    axes.plot(at, height, "^", color=colour, ms=6.5, mew=0, transform=below, clip_on=False)


def _mark(axes: Axes, at: Any, text: str) -> None:
    axes.axvline(at, color=_KILL, lw=1.4)
    axes.annotate(
        text, (at, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 4),
        textcoords="offset points", ha="center", va="bottom", color=_KILL, fontweight="bold",
    )  # fmt: skip


def _both(name: str, draw: Draw) -> str:
    wide, narrow = _svg(f"{name}-w", draw, _WIDE), _svg(f"{name}-n", draw, _NARROW)
    return f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>'


def _svg(prefix: str, draw: Draw, size: tuple[float, float]) -> str:
    with _style():
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        draw(axes, size == _NARROW)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return _inlined(out.getvalue(), prefix)


@contextmanager
def _style() -> Iterator[None]:
    plain = {
        "axes.edgecolor": _FAINT, "axes.grid": True, "axes.grid.axis": "y",
        "axes.labelcolor": _INK, "axes.spines.left": False, "axes.spines.right": False,
        "axes.spines.top": False, "font.size": 9.0, "grid.color": _FAINT, "grid.linewidth": 0.7,
        "svg.fonttype": "none", "svg.hashsalt": "demo", "text.color": _INK,
        "xtick.color": _FAINT, "xtick.labelcolor": _INK, "ytick.color": _FAINT,
        "ytick.labelcolor": _INK, "ytick.left": False, "path.simplify": True,
        "axes.axisbelow": True, "lines.solid_joinstyle": "round",
    }  # fmt: skip
    # Not the user's own matplotlibrc: the page's style depends on these settings.
    with mpl.rc_context(), style.context(["default", plain]):
        yield


def _inlined(svg: str, prefix: str) -> str:
    """Only the element, with ids of its own, the page's colours and the page's font."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(
        r'^<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', svg
    )
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(?:xlink:)?href="#', f'href="#{prefix}-', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}-", svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r"font: ([^;\"]*?)(\d[\d.]*px)[^;\"]*", r"font-size: \2", svg)
    for drawn, shown in _COLOURS.items():
        svg = svg.replace(drawn, shown)
    return svg
