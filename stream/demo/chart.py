"""One chart as SVG that takes its colours from the page: lines, areas, moments, and its axes.

Written by hand: a plotting library would be a third of what the demo has to install.
"""

from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import pairwise
from math import ceil, floor, log10

HEIGHT = 240
WIDE, NARROW = 640, 320
TICK_PX = 12.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 14, 18, 24

Span = tuple[float, float]


def nice_ticks(span: Span, ticks_n: int, *, step_min: float = 0.0) -> list[float]:
    """Round values inside of `span`, at most `ticks_n`, in steps of 1, 2 or 5 times a power of 10.

    >>> nice_ticks((0.42, 0.71), 4)
    [0.5, 0.6, 0.7]
    """
    low, high = span
    least = max((high - low) / ticks_n, step_min, 1e-12)
    power = 10.0 ** floor(log10(least))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= least * (1 - 1e-9))
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [round(each * step, 12) for each in range(first, last + 1)]


class Chart:
    """A drawing area with scales; what is drawn later lies on top.

    Args:
        width: the width of its `viewBox`, in pixels as wide as the page shows it.
        x, y: the least and the greatest value that the area shows.
        below: room between the area and the labels of its x axis.
    """

    def __init__(self, width: int, *, x: Span, y: Span, below: int = 0) -> None:
        self.narrow = width == NARROW
        self._width = width
        self._x, self._y = x, y
        self._floor = HEIGHT - _BOTTOM - below
        self._parts: list[str] = []

    def axes(
        self,
        x_ticks: Iterable[float],
        y_ticks: Iterable[float],
        *,
        x_label: Callable[[float], str],
        y_label: Callable[[float], str],
    ) -> None:
        """Draw a faint line for each tick of y, and the labels of both axes."""
        right = self._width - _RIGHT
        for y in y_ticks:
            at = self._at_y(y)
            self._line((_LEFT, at), (right, at), "var(--faint)", 1)
            self._text(_LEFT - 6, at + 4, y_label(y), anchor="end")
        self._line((_LEFT, self._floor), (right, self._floor), "var(--muted)", 1)
        for x in x_ticks:
            at = self._at_x(x)
            self._line((at, self._floor), (at, self._floor + 4), "var(--muted)", 1)
            self._text(at, HEIGHT - 6, x_label(x), anchor="middle")

    def line(
        self, xs: Sequence[float], ys: Sequence[float], colour: str, *, width: float = 1.8,
        dashes: str = "",
    ) -> None:  # fmt: skip
        """Draw a line through all points."""
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self._parts.append(
            f'<polyline points="{self._points(xs, ys)}" fill="none" stroke="{colour}" '
            f'stroke-width="{width}" stroke-linejoin="round"{dashed}/>'
        )

    def stairs(self, edges: Sequence[float], values: Sequence[float], colour: str) -> None:
        """Draw one level from each edge to the next."""
        xs = [edge for pair in pairwise(edges) for edge in pair]
        self.line(xs, [value for value in values for _ in (0, 1)], colour)

    def area(self, xs: Sequence[float], ys: Sequence[float], colour: str) -> None:
        """Fill the area below all points, down to the lowest value that is shown."""
        closed = [xs[0], *xs, xs[-1]], [self._y[0], *ys, self._y[0]]
        self._parts.append(
            f'<polygon points="{self._points(*closed)}" fill="{colour}" opacity="0.14"/>'
        )

    def band(self, start: float, end: float, colour: str) -> None:
        """Colour the whole height over a stretch of x."""
        left, right = self._at_x(start), self._at_x(end)
        self._parts.append(
            f'<rect x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}" '
            f'height="{self._floor - _TOP}" fill="{colour}" opacity="0.12"/>'
        )

    def moment(self, x: float, text: str, colour: str) -> None:
        """Draw a line from top to bottom, and write above it what happened then."""
        at = self._at_x(x)
        self._line((at, _TOP), (at, self._floor), colour, 1.6)
        self._text(at, _TOP - 5, text, anchor="middle", colour=colour, bold=True)

    def triangle(self, x: float, row: int, colour: str, *, up: bool) -> None:
        """Draw a triangle in a row below the area: filled and up, or hollow and down."""
        at, middle = self._at_x(x), self._floor + 12 + 13 * row
        tip, base = (middle - 5, middle + 5) if up else (middle + 5, middle - 5)
        points = f"{at - 5:.1f},{base} {at + 5:.1f},{base} {at:.1f},{tip}"
        fill = colour if up else "none"
        self._parts.append(
            f'<polygon points="{points}" fill="{fill}" stroke="{colour}" stroke-width="1.4"/>'
        )

    def svg(self) -> str:
        """The element, to stand in a page that has the colours."""
        box = f"0 0 {self._width} {HEIGHT}"
        return f'<svg viewBox="{box}" aria-hidden="true">{"".join(self._parts)}</svg>'

    def _at_x(self, value: float) -> float:
        low, high = self._x
        return _LEFT + (value - low) / (high - low or 1.0) * (self._width - _LEFT - _RIGHT)

    def _at_y(self, value: float) -> float:
        low, high = self._y
        return self._floor - (value - low) / (high - low or 1.0) * (self._floor - _TOP)

    def _points(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        pairs = zip(xs, ys, strict=True)
        return " ".join(f"{self._at_x(x):.1f},{self._at_y(y):.1f}" for x, y in pairs)

    def _line(self, start: Span, end: Span, colour: str, width: float) -> None:
        (x1, y1), (x2, y2) = start, end
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}" stroke-width="{width}"/>'
        )

    def _text(
        self, x: float, y: float, text: str, *, anchor: str, colour: str = "var(--ink)",
        bold: bool = False,
    ) -> None:  # fmt: skip
        """Add one piece of text at a place of the drawing."""
        weight = ' font-weight="700"' if bold else ""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{TICK_PX:g}" '
            f'fill="{colour}"{weight}>{escape(text)}</text>'
        )
