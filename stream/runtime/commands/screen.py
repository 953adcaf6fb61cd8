"""What people see: lines, tables and progress. Rich on a terminal, plain text everywhere else."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich import progress
from rich.console import Console
from rich.table import Table

from stream.ports import Clock

SAY_EVERY_S = 5.0
_KIB = 1024


def say(line: str, *, error: bool = False) -> None:
    """Write one line to stdout (or stderr), at once."""
    stream = sys.stderr if error else sys.stdout
    stream.write(f"{line}\n")
    stream.flush()


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to stdout; without a terminal its columns are parted by two spaces."""
    lines = [columns, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    if sys.stdout.isatty():
        shown = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for row in rows:
            shown.add_row(*row)
        console = Console(markup=False, highlight=False)
        # A terminal that is too narrow breaks the lines; rich would cut the numbers.
        console.width = max(console.width, sum(widths) + 2 * len(widths))
        console.print(shown)
        return
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        say("  ".join(cells).rstrip())


def size(size_bytes: int | None) -> str:
    """A size for people.

    >>> size(1536), size(None)
    ('1.5 KiB', '-')
    """
    if size_bytes is None:
        return "-"
    if size_bytes < _KIB:
        return f"{size_bytes} B"
    if size_bytes < _KIB**2:
        return f"{size_bytes / _KIB:.1f} KiB"
    return f"{size_bytes / _KIB**2:.1f} MiB"


def age(seconds: float | None) -> str:
    """A time span for people.

    >>> age(59.4), age(7_300), age(None)
    ('59 s', '2 h 1 min', '-')
    """
    if seconds is None:
        return "-"
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86_400)
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60:.0f} s" if minutes else f"{seconds:.0f} s"


class Progress:
    """How far some long work is, on stderr: a bar on a terminal, else a line every few seconds.

    Args:
        what: is done, in the past: "events sent".
        total: how many there are.
    """

    def __init__(self, what: str, *, total: int, clock: Clock) -> None:
        self._what = what
        self._total = total
        self._clock = clock
        self._done = 0
        self._started_s = self._said_s = clock.monotonic()
        self._bar: progress.Progress | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = progress.Progress(
                *progress.Progress.get_default_columns(),
                progress.MofNCompleteColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=sys.stdout.isatty(),  # else lines for a pipe would go to stderr
            )
            self._bar.start()
            self._bar.add_task(self._what, total=self._total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, n: int = 1) -> None:
        """So many more are done."""
        self._done += n
        now_s = self._clock.monotonic()
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], n)
        elif now_s - self._said_s >= SAY_EVERY_S:
            self._said_s = now_s
            rate = self._done / (now_s - self._started_s)
            say(f"{self._done} of {self._total} {self._what} ({rate:.0f}/s)", error=True)
