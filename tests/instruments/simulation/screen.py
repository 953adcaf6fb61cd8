"""Progress: a bar on a terminal, else a line now and then."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 10.0


class Screen:
    """Shows how far a long run is.

    Args:
        total: how many there are to do.
        what: of what.
    """

    def __init__(self, total: int, what: str) -> None:
        self._total = total
        self._what = what
        self._done_n = 0
        self._began = self._told_at = time.monotonic()
        console = Console(file=sys.stderr)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(what, total=total, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def tell(self, text: str) -> None:
        """A line that stays, on standard output."""
        if self._progress.disable:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
        else:
            self._progress.console.print(text, markup=False, highlight=False)

    def advance(self, n: int, note: str) -> None:
        """So many more are done."""
        self._done_n += n
        self._progress.update(self._task, advance=n, note=note)
        now = time.monotonic()
        if self._progress.disable and now - self._told_at >= LINE_EVERY_S:
            self._told_at = now
            rate = self._done_n / (now - self._began)
            sys.stderr.write(
                f"{self._done_n}/{self._total} {self._what}, {note}, {rate:.1f} a second\n"
            )
            sys.stderr.flush()
