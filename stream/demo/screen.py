"""What a person sees while the demo runs: a live table on a terminal, lines elsewhere."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import msgspec
from rich.box import SIMPLE
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from stream.core.scores import WINDOW_N, Score
from stream.printable import escaped
from stream.runtime.commands import screen as lines
from stream.runtime.commands.tables import Columns, wrapped

LINE_EVERY_S = 2.0
BAR_CHARS = 18


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """How one pipeline is doing.

    Attributes:
        state: "waiting", "running", "killed", "restoring" or "done".
    """

    title: str
    state: str
    published_n: int
    total_n: int
    per_s: float
    lag_n: int
    score: Score | None
    alarms_n: int


class Screen(Protocol):
    """Shows how the demo goes, and says what happens."""

    def say(self, line: str, style: str = "") -> None:
        """Tell something that happened, once. `style`: rich's words, only for a terminal."""
        ...

    def show(self, at_s: float, rows: Sequence[Row]) -> None:
        """Show how each pipeline is doing; called again and again."""
        ...

    def note(self, text: str) -> None:
        """Show what is being done, until the next thing is shown; "" for nothing."""
        ...

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write a table that stays."""
        ...


@contextmanager
def open_screen() -> Iterator[Screen]:
    """The screen for stdout: a table on a terminal, else lines."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        yield Lines()
        return
    with Live(console=console, transient=True, refresh_per_second=8) as live:
        yield Terminal(console, live)


class Lines:
    """A line for each thing that happens, and one a pipeline every two seconds."""

    def __init__(self) -> None:
        self._shown_s = -LINE_EVERY_S
        self._noted = ""

    def say(self, line: str, style: str = "") -> None:  # noqa: ARG002  # for terminals
        """See `Screen.say`."""
        lines.say(line)

    def show(self, at_s: float, rows: Sequence[Row]) -> None:
        """See `Screen.show`."""
        if time.monotonic() - self._shown_s < LINE_EVERY_S:
            return
        self._shown_s = time.monotonic()
        for row in rows:
            lines.say(
                f"[{at_s:3.0f} s] {row.title:<{_width(rows)}}  {row.published_n:>6,} of "
                f"{row.total_n:,}, {row.per_s:,.0f}/s, lag {row.lag_n:,}, {_score(row.score)}, "
                f"{_alarms(row.alarms_n)}, {row.state}"
            )

    def note(self, text: str) -> None:
        """See `Screen.note`."""
        if text not in ("", self._noted):
            self._noted = text
            lines.say(f"         {text} ...")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """See `Screen.table`."""
        lines.say("")
        lines.say(title)
        lines.table(columns, rows)


class Terminal:
    """A table that lives below the lines of what happened."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live

    def say(self, line: str, style: str = "") -> None:
        """See `Screen.say`."""
        for part in wrapped(escaped(line), self._console.width):
            self._console.print(Text(part, style))

    def show(self, at_s: float, rows: Sequence[Row]) -> None:
        """See `Screen.show`."""
        self._live.update(_live_table(at_s, rows, self._console))

    def note(self, text: str) -> None:
        """See `Screen.note`."""
        self._live.update(Spinner("dots", text) if text else Text())

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """See `Screen.table`."""
        self.note("")
        shown = Columns(columns, rows, line_chars=self._console.width)
        self._console.print()
        self._console.print(Text(title, "bold"))
        for line in shown.head:
            self._console.print(Text(line, "dim"))
        for line in (line for row in rows for line in shown.lines(row)):
            self._console.print(Text(line))


_STYLES = {"killed": "bold red", "restoring": "yellow", "done": "green"}


_COLUMNS = ("pipeline", "", "flights", "per s", "lag", "accuracy", "alarms", "worker")
_DISPENSABLE = ("", "alarms", "per s", "lag", "flights")
"""A narrow terminal shows the table without these, as many as must go, so that no word is cut."""


def _live_table(at_s: float, rows: Sequence[Row], console: Console) -> Table:
    """The table, with all columns that the terminal has room for."""
    unbounded = console.options.update(max_width=1_000)
    for n in range(len(_DISPENSABLE) + 1):
        columns = [name for name in _COLUMNS if name not in _DISPENSABLE[:n]]
        table = _table_of(columns, at_s, rows)
        if console.measure(table, options=unbounded).maximum <= console.width:
            break
    return table


def _table_of(columns: Sequence[str], at_s: float, rows: Sequence[Row]) -> Table:
    """Draw the live table: one row for each pipeline at this moment."""
    caption = f"{at_s:.0f} s; accuracy: last {WINDOW_N:,} flights / guessing the last label again"
    table = Table(
        box=SIMPLE, caption=caption, caption_justify="left", caption_style="dim", header_style="dim"
    )
    for name in columns:
        left = name in {"pipeline", "", "worker"}
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        cells: dict[str, RenderableType] = {
            "pipeline": row.title,
            "": ProgressBar(row.total_n, row.published_n, width=BAR_CHARS),
            "flights": f"{row.published_n:,}",
            "per s": f"{row.per_s:,.0f}",
            "lag": f"{row.lag_n:,}",
            "accuracy": _score(row.score, short=True),
            "alarms": f"{row.alarms_n}",
            "worker": Text(row.state, _STYLES.get(row.state, "")),
        }
        table.add_row(*(cells[name] for name in columns))
    return table


def _score(score: Score | None, *, short: bool = False) -> str:
    if score is None:
        return "-" if short else "no score yet"
    if short:
        return f"{score.value:.1%} / {score.baseline:.1%}"
    return f"accuracy {score.value:.1%} (no-change {score.baseline:.1%})"


def _alarms(alarms_n: int) -> str:
    return "1 alarm" if alarms_n == 1 else f"{alarms_n} alarms"


def _width(rows: Sequence[Row]) -> int:
    return max(len(row.title) for row in rows)
