"""What people see: lines, tables and progress. Nothing that a record holds can move their cursor.

A terminal gets lines that fit it; a pipe gets one line for each thing, however long.
"""

import shutil
import sys
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec
from rich import progress
from rich.console import Console
from rich.text import Text

from stream.ports import Clock
from stream.printable import escaped, escaped_json
from stream.runtime.commands.tables import Columns, wrapped

SAY_EVERY_S = 5.0
_KIB = 1024
_TERMINAL_CHARS = 80
_CONTINUED = "  "


def say(line: str, *, error: bool = False) -> None:
    """Write one line to stdout (or stderr), at once; a terminal gets it broken between words."""
    text = escaped(line)
    lines = [text]
    if (sys.stderr if error else sys.stdout).isatty():
        chars = _terminal_chars()
        first = wrapped(text, chars)[0]
        rest = text[len(first) :].strip()
        more = wrapped(rest, max(chars - len(_CONTINUED), 1)) if rest else []
        lines = [first, *(_CONTINUED + each for each in more)]
    write(lines, error=error)


def say_json(document: Any) -> None:
    """Write a document as one line of JSON, at once: never broken, however narrow a terminal is."""
    write([json_line(msgspec.json.encode(document).decode())])


def json_line(document: str) -> str:
    """A JSON document as a line that may be written."""
    return escaped_json(document)


def write(lines: Iterable[str], *, error: bool = False) -> None:
    """Write lines that are fit to be seen."""
    stream = sys.stderr if error else sys.stdout
    stream.write("".join(f"{line}\n" for line in lines))
    stream.flush()


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to stdout; its columns are parted by two spaces."""
    shown = Columns(columns, rows, line_chars=line_chars())
    head(shown)
    write(line for row in rows for line in shown.lines(row))


def head(columns: Columns) -> None:
    """Write the heads of a table to stdout."""
    if not sys.stdout.isatty():
        write(columns.head)
        return
    console = Console(soft_wrap=True)  # rich knows which terminals show bold
    for line in columns.head:
        console.print(Text(line, "bold"))


def line_chars() -> int | None:
    """How many characters a line of stdout may have; None: any, it is no terminal.

    `COLUMNS` counts on a terminal only: test runners export it, and a pipe's rows are lines.
    """
    return _terminal_chars() if sys.stdout.isatty() else None


def _terminal_chars() -> int:
    return shutil.get_terminal_size((0, 0)).columns or _TERMINAL_CHARS


def cut(text: str, chars_max: int) -> str:
    """The beginning of a long text, and how long it is.

    >>> cut("0123456789", 4), cut("0123", 4)
    ('0123 ... (10 characters)', '0123')
    """
    return text if len(text) <= chars_max else f"{text[:chars_max]} ... ({len(text)} characters)"


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
    """A time span for people; one before its begin has a minus.

    >>> age(59.4), age(7_300), age(None), age(-10), age(119.7)
    ('59 s', '2 h 1 min', '-', '-10 s', '2 min 0 s')
    """
    if seconds is None:
        return "-"
    whole_s = round(seconds)
    if whole_s < 0:
        return f"-{age(-whole_s)}"
    minutes, hours, days = whole_s // 60, whole_s // 3600, whole_s // 86_400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {whole_s % 60} s" if minutes else f"{whole_s} s"


class Progress:
    """How far some long work is, on stderr: a bar on a terminal, else a line every few seconds.

    Args:
        what: what is done, in the past tense: "events sent".
        total: how many there are.
        has_rate: whether it says how many a second; not where others set the pace.
    """

    def __init__(self, what: str, *, total: int, clock: Clock, has_rate: bool = True) -> None:
        self._what = what
        self._total = total
        self._has_rate = has_rate
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
        """Count so many more as done; 0: it still waits."""
        self._done += n
        now_s = self._clock.monotonic()
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], n)
        elif now_s - self._said_s >= SAY_EVERY_S:
            self._said_s = now_s
            rate = f" ({self._done / (now_s - self._started_s):.0f}/s)" if self._has_rate else ""
            say(f"{self._done} of {self._total} {self._what}{rate}", error=True)
