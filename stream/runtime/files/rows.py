"""A file of an upstream's: lines of JSON or rows of CSV, each as the record that is sent.

A file is read twice: once to its end, which finds where it is broken and what its columns are, and
then to be sent.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from stream.core.spec import EventShape
from stream.errors import BadInput, Usage
from stream.runtime.files.columns import (
    Column,
    delimiter_of,
    other_delimiter,
)
from stream.runtime.files.later import Row, in_order
from stream.runtime.files.layout import Columns, Layout
from stream.runtime.files.outgoing import Outgoing

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz")

SAMPLE_LINES = 40
_LABELS_MAX = 100  # different ones that are compared
_TYPED = {"\t": r"'\t'", ";": "';'", "|": "'|'"}  # as a shell takes them
_DIVIDED = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A file that was read to its end, and is sound.

    Attributes:
        records_n: how many events it holds.
        said: what was decided about its columns, for people.
        records: reads it again, as it was decided.
        partition_max: the highest one that a record names.
    """

    records_n: int
    said: Sequence[str]
    records: Callable[[], Iterator[Outgoing]]
    partition_max: int = 0


def read(path: Path, *, shape: EventShape, columns: Columns) -> Iterator[Outgoing]:
    """The records of a file, in order. Raises: as `survey`."""
    return survey(path, shape=shape, columns=columns).records()


def survey(
    path: Path, *, shape: EventShape, columns: Columns, stopped: Callable[[], bool] = lambda: False
) -> Survey:
    """Read a file once to its end, for all cells of a column decide what it is.

    Args:
        path: the file.
        shape: how an event looks.
        columns: which column of a CSV file is what.
        stopped: ends it early.

    Raises:
        BadInput: with the file, the line and what is wrong there.
        Usage: a column is named for lines of JSON, or one column for two things.
    """
    if suffix_of(path).startswith(".csv"):
        return _surveyed(path, shape, columns, stopped)
    names = [n for n in Columns.__dataclass_fields__ if n != "told" and getattr(columns, n)]
    given = [f"--{name.replace('_', '-')}" for name in names]
    if given:
        raise Usage(f"{', '.join(given)}: only for CSV; lines of JSON are sent as they are")
    records_n = sum(1 for _ in takewhile(lambda _: not stopped(), objects(path)))
    return Survey(records_n=records_n, said=(), records=partial(_as_they_are, path))


def suffix_of(path: Path) -> str:
    """Which of `SUFFIXES` a file's name has. Raises: BadInput: it has none of them."""
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)
    if suffix is None:
        raise BadInput(f"{path}: cannot tell what this is; name a file {', '.join(SUFFIXES)}")
    return suffix


def lines(path: Path) -> Iterator[str]:
    """The lines with their ends, as text. Raises: BadInput: the file, or a line is no UTF-8."""
    for number, line in enumerate(raw_lines(path), 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            byte = f"byte {error.start + 1}"
            raise BadInput(f"{path} line {number}: {byte} is no UTF-8; save it as UTF-8") from None


def raw_lines(path: Path) -> Iterator[bytes]:
    """The lines with their ends, as they are. Raises: BadInput: the file cannot be read."""
    number = 0
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise BadInput(f"{path}: is no regular file; it is read twice, so save it as one")
        with _opened(path) as file:
            for line in file:
                number += 1
                yield line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadInput(
            f"{path} line {number + 1}: not whole gzip data ({error}); get the file again"
        ) from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}; name another file") from None


def _opened(path: Path) -> BinaryIO:
    if path.name.lower().endswith(".gz"):
        return cast("BinaryIO", gzip.open(path, "rb"))
    return path.open("rb")


def _as_they_are(path: Path) -> Iterator[Outgoing]:
    """Read lines of JSON; each object is sent as it stands. Raises: BadInput."""
    return (Outgoing(text.encode()) for _, text, _ in objects(path))


def objects(path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Lines of JSON: each with its number, its text and the object. Raises: BadInput."""
    for number, line in enumerate(lines(path), 1):
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        try:
            # Nobody needs the numbers, and Python makes none of over 4,300 digits.
            document = json.loads(text, parse_constant=_no_constant, parse_int=str)
        except RecursionError:
            raise BadInput(f"{path} line {number}: nested too deeply") from None
        except ValueError as error:
            raise BadInput(f"{path} line {number}: is not JSON: {error}") from None
        if not isinstance(document, dict):
            raise BadInput(f"{path} line {number}: is JSON, but not an object {{...}}")
        yield number, text, document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _surveyed(
    path: Path, shape: EventShape, columns: Columns, stopped: Callable[[], bool]
) -> Survey:
    """Read a CSV file once to its end, to find each column's type and any broken row."""
    delimiter = columns.delimiter or delimiter_of(list(islice(lines(path), SAMPLE_LINES)))
    rows = csv_rows(path, delimiter)
    _, header = next(rows)
    layout = Layout.of(path, header, shape=shape, columns=columns)
    found = [Column() for _ in header]
    labels: dict[str, None] = {}
    records_n = labels_n = never_n = 0
    for line, row in rows:
        if stopped():
            break
        for column, text in zip(found, row, strict=True):
            column.look(text)
        with at_line(path, line):
            layout.time_ms(row)
            comes, has_label = layout.delay_ms(row) is not None, layout.names_label(row)
        if layout.label is not None and len(labels) < _LABELS_MAX:
            labels[row[layout.label]] = None
        records_n += 1 + (comes and has_label)
        labels_n += comes and has_label
        never_n += has_label and not comes
    said, rows_n = layout.said(header, found, labels), records_n - labels_n
    if layout.delay is not None:
        never = f"; {never_n} with an empty delay never come" if never_n else ""
        said = (*said, f"labels: {labels_n} come later, in records of their own{never}")
    return Survey(
        records_n=records_n,
        said=(f"{path.name}: {rows_n} rows, cells divided by {_DIVIDED[delimiter]}; {said[0]}"
              if delimiter in _DIVIDED else f"{path.name}: {rows_n} rows; {said[0]}", *said[1:]),
        records=partial(_records, path, delimiter, layout, found),
    )  # fmt: skip


def _records(
    path: Path, delimiter: str, layout: Layout, found: Sequence[Column]
) -> Iterator[Outgoing]:
    """Read the CSV file again, and make a record of each row; two, if its label comes later."""
    return in_order(_each(path, delimiter, layout, found))


def _each(path: Path, delimiter: str, layout: Layout, found: Sequence[Column]) -> Iterator[Row]:
    rows = csv_rows(path, delimiter)
    next(rows)
    for line, row in rows:
        with at_line(path, line):
            record = layout.record(row, found)
        yield record


@contextmanager
def at_line(path: Path, line: int) -> Iterator[None]:
    """Say of a ValueError in which line it was. Raises: BadInput."""
    try:
        yield
    except ValueError as error:
        raise BadInput(f"{path} line {line}: {error}") from None


def csv_rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The header and the rows, each with the line that it ends on; blank lines are none."""
    reader = csv.reader(lines(path), strict=True, delimiter=delimiter)
    try:
        header = header_of(path, reader)
        yield 1, header
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise BadInput(
                    f"{path} line {reader.line_num}: {len(row)} cells, the header has "
                    f"{len(header)}; {_to_mend(path, delimiter)}"
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise BadInput(f"{path} line {reader.line_num}: is not CSV: {error}") from None


def _to_mend(path: Path, delimiter: str) -> str:
    other = other_delimiter(list(islice(lines(path), SAMPLE_LINES)), delimiter)
    if other is None:
        return "mend the row, or quote what is in its cells"
    return f"with --delimiter {_TYPED.get(other, other)} all rows would have as many"


def header_of(path: Path, rows: Iterator[list[str]]) -> list[str]:
    """The columns' names. Raises: BadInput: there is no header; csv.Error."""
    header = next(rows, None)
    if not header:
        raise BadInput(f"{path} line 1: no header; write the columns' names there")
    return [name.strip() for name in header]
