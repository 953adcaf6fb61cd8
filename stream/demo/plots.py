"""The report's three pictures.

Every picture is drawn twice, for wide and for narrow screens: scaled down, its text could not be
read on a phone.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np

from stream.core.scores import WINDOW_N
from stream.demo.chart import NARROW, WIDE, Chart, Span, nice_ticks
from stream.demo.follower import Follower, Sample
from stream.demo.stage import Stage

_KILL, _MUTED = "var(--kill)", "var(--muted)"
_SERIES = ("var(--series-0)", "var(--series-1)")
_SPAN_S = 1.0  # shorter, and the rhythm of the commits would show
POINTS_MAX = 400  # of a line; more than that many pixels only make the file larger
MS_A_DAY = 86_400_000

Numbers = np.ndarray[Any, np.dtype[Any]]
Line = tuple[Sequence[float], Sequence[float]]


def score(stage: Stage) -> str:
    """Accuracy over the last flights by their date, beside both baselines, with drifts and kill."""
    followers = [actor.follower for actor in stage.actors]
    lines = [_windowed(each, [said == label for said, label in each.answers]) for each in followers]
    again = _windowed(followers[0], no_change(followers[0].answers))
    frequent = _windowed(followers[0], majority(followers[0].answers))
    shares = [share for _, ys in (*lines, again, frequent) for share in ys]
    x, y = (lines[0][0][0], lines[0][0][-1]), _padded(shares)

    def draw(chart: Chart) -> None:
        chart.axes(
            nice_ticks(x, 4 if chart.narrow else 9, step_min=1), nice_ticks(y, 6),
            x_label=lambda day: f"{datetime.fromtimestamp(day * 86_400, UTC):%d %b}",
            y_label=lambda share: f"{share * 100:.0f} %",
        )  # fmt: skip
        chart.line(*again, _MUTED, width=1.2, dashes="5 3")
        chart.line(*frequent, _MUTED, width=1.4, dashes="1.5 3")
        for row, (follower, colour) in enumerate(zip(followers, _SERIES, strict=True)):
            chart.line(*lines[row], colour)
            for drift in follower.drifts:
                at = max(x[0], _day(follower, drift.offset))
                chart.triangle(at, row, colour, up=drift.worse)
        if stage.crash is not None:
            chart.moment(_day(followers[1], stage.crash.published_n), "SIGKILL", _KILL)

    return _both(draw, x=x, y=y, below=32)


def throughput(stage: Stage) -> str:
    """Predictions a second, by time, with the kill."""
    stairs = []
    for actor in stage.actors:
        times, per_s = rates(_working(actor.follower))
        stairs.append((times.tolist(), per_s.tolist()))
    tops = [top for _, levels in stairs for top in levels]

    def draw(chart: Chart) -> None:
        for (edges, levels), colour in zip(stairs, _SERIES, strict=True):
            chart.stairs(edges, levels, colour)

    return _by_time(stage, draw, ends_s=[edges[-1] for edges, _ in stairs], tops=tops)


def lag(stage: Stage) -> str:
    """Events that wait for their prediction, by time, with the kill."""
    lines = []
    for actor in stage.actors:
        samples = _working(actor.follower)
        lines.append(([s.at_s for s in samples], [s.lag_n for s in samples]))
    tops = [top for _, lags in lines for top in lags]

    def draw(chart: Chart) -> None:
        for (times, lags), colour in zip(lines, _SERIES, strict=True):
            chart.area(times, lags, colour)
            chart.line(times, lags, colour)

    return _by_time(stage, draw, ends_s=[times[-1] for times, _ in lines], tops=tops)


def no_change(answers: Sequence[tuple[Any, Any]]) -> list[bool]:
    """Whether the last label again would have been right."""
    return [False, *(last == label for (_, last), (_, label) in pairwise(answers))]


def majority(answers: Sequence[tuple[Any, bool]]) -> list[bool]:
    """Whether the label that was the more frequent one so far would have been right."""
    hits, lead = [], 0  # of true over false
    for _, label in answers:
        hits.append((lead > 0) == label)
        lead += 1 if label else -1
    return hits


def rates(samples: Sequence[Sample]) -> tuple[Numbers, Numbers]:
    """Edges of equal spans of time, and the predictions a second in each."""
    times = np.array([sample.at_s for sample in samples])
    edges = np.linspace(0.0, times[-1], max(2, round(times[-1] / _SPAN_S) + 1))
    published = np.interp(edges, times, [sample.published_n for sample in samples])
    return edges, np.diff(published) / np.diff(edges)


def _windowed(follower: Follower, hits: Sequence[bool]) -> Line:
    """Days and share of hits over the window, from the first full window on (or half of all)."""
    window_n = min(WINDOW_N, len(hits) // 2)
    sums = np.cumsum([0, *hits])
    shares = (sums[window_n:] - sums[:-window_n]) / window_n
    step = max(1, len(shares) // POINTS_MAX)
    days = [_day(follower, i + window_n - 1) for i in range(0, len(shares), step)]
    return days, shares[::step].tolist()


def _day(follower: Follower, index: int) -> float:
    """When a flight was: days since 1970."""
    return follower.predictions[index].timestamp_ms / MS_A_DAY


def _working(follower: Follower) -> Sequence[Sample]:
    """The samples until all was done: what comes after is waiting for the others."""
    done = next(i for i, s in enumerate(follower.samples) if s.published_n == follower.published_n)
    return follower.samples[: done + 1]


def _padded(values: Iterable[float]) -> Span:
    """The range of the values, and a little room for the lines' width."""
    all_of_them = [*values]
    room = 0.04 * (max(all_of_them) - min(all_of_them)) or 0.01
    return min(all_of_them) - room, max(all_of_them) + room


def _by_time(
    stage: Stage, lines: Callable[[Chart], None], *, ends_s: Sequence[float], tops: Sequence[float]
) -> str:
    """A picture over the seconds of the feed, from 0 in both directions."""
    crash = stage.crash
    x, y = (0.0, max(ends_s)), (0.0, max(tops) * 1.05 or 1.0)

    def draw(chart: Chart) -> None:
        chart.axes(
            nice_ticks(x, 5 if chart.narrow else 9, step_min=1), nice_ticks(y, 6, step_min=1),
            x_label=lambda s: f"{s:.0f} s", y_label=lambda n: f"{n:,.0f}",
        )  # fmt: skip
        if crash is not None and crash.back_s is not None:
            chart.band(crash.at_s, crash.back_s, _KILL)
        lines(chart)
        if crash is not None:
            chart.moment(crash.at_s, "SIGKILL", _KILL)

    return _both(draw, x=x, y=y)


def _both(draw: Callable[[Chart], None], *, x: Span, y: Span, below: int = 0) -> str:
    pictures = []
    for name, width in (("wide", WIDE), ("narrow", NARROW)):
        chart = Chart(width, x=x, y=y, below=below)
        draw(chart)
        pictures.append(f'<div class="{name}">{chart.svg()}</div>')
    return "".join(pictures)
