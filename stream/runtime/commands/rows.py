"""A file of an upstream's: lines of JSON or rows of CSV, each as the record that is sent.

A file is read twice: once to its end, which finds where it is broken and what its columns are, and
then to be sent.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

import msgspec

from stream.config.checks import did_you_mean, nearest, show
from stream.core.spec import EventShape
from stream.errors import BadInput, Usage
from stream.printable import escaped
from stream.runtime.commands.columns import (
    Column,
    ColumnType,
    delimiter_of,
    is_missing,
    other_delimiter,
)
from stream.runtime.commands.spellings import alike, alike_said
from stream.runtime.commands.times import event_time_ms

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz")

_NAMES_MAX = 30  # of features that are said
_SAMPLE_LINES = 40
_LABELS_MAX = 100  # different ones that are compared
_TYPED = {"\t": r"'\t'", ";": "';'", "|": "'|'"}  # as a shell takes them
_DIVIDED = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record to send; without a time it happens now."""

    value: bytes
    key: bytes | None = None
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns of a CSV file are what; None: label and id by the configuration's names.

    Attributes:
        key: the record's key, as text; by default the id.
        time: the event's time; it is not a feature.
        delimiter: what divides the cells; None: it is found out.
        no_label: True: events have none; False: a column must be it; None: one may be.
    """

    label: str | None = None
    id: str | None = None
    key: str | None = None
    time: str | None = None
    delimiter: str | None = None
    no_label: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A file that was read to its end, and is sound.

    Attributes:
        records_n: how many events it holds.
        said: what was decided about its columns, for people.
        records: reads it again, as it was decided.
    """

    records_n: int
    said: Sequence[str]
    records: Callable[[], Iterator[Outgoing]]


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
    names = [name for name in Columns.__dataclass_fields__ if getattr(columns, name)]
    given = [f"--{name.replace('_', '-')}" for name in names]
    if given:
        raise Usage(f"{', '.join(given)}: only for CSV; lines of JSON are sent as they are")
    records_n = sum(1 for _ in takewhile(lambda _: not stopped(), _objects(path)))
    return Survey(records_n=records_n, said=(), records=partial(_objects, path))


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


def _objects(path: Path) -> Iterator[Outgoing]:
    """Read lines of JSON; each object is sent as it stands. Raises: BadInput."""
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
        yield Outgoing(text.encode())


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _surveyed(
    path: Path, shape: EventShape, columns: Columns, stopped: Callable[[], bool]
) -> Survey:
    """Read a CSV file once to its end, to find each column's type and any broken row."""
    delimiter = columns.delimiter or delimiter_of(list(islice(lines(path), _SAMPLE_LINES)))
    rows = _rows(path, delimiter)
    _, header = next(rows)
    layout = _Layout.of(path, header, shape=shape, columns=columns)
    found = [Column() for _ in header]
    labels: dict[str, None] = {}
    records_n = 0
    for line, row in rows:
        if stopped():
            break
        for column, text in zip(found, row, strict=True):
            column.look(text)
        with _at(path, line):
            layout.time_ms(row)
        if layout.label is not None and len(labels) < _LABELS_MAX:
            labels[row[layout.label]] = None
        records_n += 1
    said = layout.said(header, found, labels)
    return Survey(
        records_n=records_n,
        said=(f"{path.name}: {records_n} rows, cells divided by {_DIVIDED[delimiter]}; {said[0]}"
              if delimiter in _DIVIDED else f"{path.name}: {records_n} rows; {said[0]}", *said[1:]),
        records=partial(_records, path, delimiter, layout, found),
    )  # fmt: skip


def _records(
    path: Path, delimiter: str, layout: "_Layout", found: Sequence[Column]
) -> Iterator[Outgoing]:
    """Read the CSV file again, and make a record of each row."""
    rows = _rows(path, delimiter)
    next(rows)
    for line, row in rows:
        with _at(path, line):
            record = layout.record(row, found)
        yield record


@contextmanager
def _at(path: Path, line: int) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise BadInput(f"{path} line {line}: {error}") from None


def _rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
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
    other = other_delimiter(list(islice(lines(path), _SAMPLE_LINES)), delimiter)
    if other is None:
        return "mend the row, or quote what is in its cells"
    return f"with --delimiter {_TYPED.get(other, other)} all rows would have as many"


def header_of(path: Path, rows: Iterator[list[str]]) -> list[str]:
    """The columns' names. Raises: BadInput: there is no header; csv.Error."""
    header = next(rows, None)
    if not header:
        raise BadInput(f"{path} line 1: no header; write the columns' names there")
    return [name.strip() for name in header]


def check_header(path: Path, header: Sequence[str]) -> None:
    """Raises: BadInput: a column has no name, or another one's."""
    if "" in header:
        number = header.index("") + 1
        raise BadInput(f"{path} line 1: column {number} has no name; write one in the header")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise BadInput(f"{path} line 1: the column {show(twice)} is there twice; rename one")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Where in a row what is: indices of cells, None where there is no such column."""

    shape: EventShape
    label: int | None
    id: int | None
    key: int | None
    time: int | None
    features: tuple[tuple[int, str], ...]

    @classmethod
    def of(
        cls, path: Path, header: Sequence[str], *, shape: EventShape, columns: Columns
    ) -> "_Layout":
        """Find the columns. Raises: BadInput: one is missing, nameless or there twice; Usage."""
        check_header(path, header)
        where = {name: index for index, name in enumerate(header)}
        for name in (columns.label, columns.id, columns.key, columns.time):
            if name is not None and name not in where:
                hint = did_you_mean(name, header)
                raise BadInput(f"{path} line 1: no column {show(name)}; {hint}")
        label = where.get(columns.label or shape.label)
        if columns.no_label is False and label is None:
            near = nearest(shape.label, header)
            meant = "write" if near is None else f"did you mean {show(near)}? write"
            raise BadInput(
                f"{path} line 1: no column {show(shape.label)} for the label; {meant} --label "
                f"{near or 'COLUMN'}, or --no-label if events have none"
            )
        own_id = where.get(columns.id or shape.id)
        time = None if columns.time is None else where[columns.time]
        taken = [index for index in (label, own_id, time) if index is not None]
        if len(set(taken)) < len(taken):
            raise Usage("--label, --id and --time must name different columns")
        features = tuple(
            (index, name)
            for index, name in enumerate(header)
            if index not in taken and name not in shape.ignore
        )
        if columns.no_label:
            label = None
        reserved = {shape.label, shape.id} & {name for _, name in features}
        if shape.flat and reserved:
            raise BadInput(
                f"{path} line 1: the column {show(min(reserved))} would be taken for the field of "
                "that name in [events]; name it with --label or --id, or put it into events.ignore"
            )
        key = own_id if columns.key is None else where[columns.key]
        return cls(shape=shape, label=label, id=own_id, key=key, time=time, features=features)

    def said(
        self, header: Sequence[str], found: Sequence[Column], labels: Iterable[str]
    ) -> tuple[str, ...]:
        """Say what every column was taken for, in two parts; and a third, if labels are odd."""
        roles = [
            f"{role} {_told(header[index], found[index]) if index is not None else 'none'}"
            for role, index in (("label", self.label), ("id", self.id), ("time", self.time))
        ]
        features = [_told(name, found[index]) for index, name in self.features[:_NAMES_MAX]]
        more = len(self.features) - len(features)
        features += [f"and {more} more"] if more else []
        is_text = self.label is not None and found[self.label].kind is ColumnType.TEXT
        words = alike(each for each in labels if not is_missing(each)) if is_text else []
        told = (", ".join(roles), f"features: {', '.join(features) or 'none'}")
        return (*told, f"warning: {alike_said(words)}") if words else told

    def time_ms(self, row: Sequence[str]) -> int | None:
        """When a row's event happened. Raises: ValueError: its cell holds no time."""
        return None if self.time is None else event_time_ms(row[self.time])

    def record(self, row: Sequence[str], found: Sequence[Column]) -> Outgoing:
        """Turn a row into a record. Raises: ValueError: its cell for the time holds none."""
        shape = self.shape
        features = {
            name: value
            for index, name in self.features
            if (value := found[index].value(row[index])) is not None
        }
        event: dict[str, object] = {}
        if self.id is not None and not is_missing(row[self.id]):
            event[shape.id] = row[self.id]
        if shape.flat:
            event.update(features)
        else:
            event[shape.features] = features
        if self.label is not None:
            event[shape.label] = found[self.label].value(row[self.label])
        key = row[self.key] if self.key is not None else ""
        return Outgoing(
            # Not msgspec: it refuses whole numbers beyond 64 bits, which a worker quarantines.
            json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode(),
            key.encode() or None,
            self.time_ms(row),
        )


def _told(name: str, column: Column) -> str:
    missing = f", {column.missing_n} missing" if column.missing_n else ""
    odd = f' that looks like numbers: "{escaped(column.odd)}"' if column.odd else ""
    return f"{escaped(name)} ({column.kind}{odd}{missing})"
