"""A file of an upstream's: lines of JSON or rows of CSV, each as the record that is sent.

Reading a broken file raises where it is broken; so read it once to the end before anything is sent.
"""

import csv
import gzip
import json
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

import msgspec

from stream.config.checks import did_you_mean, show
from stream.core.event import Feature
from stream.core.spec import EventShape
from stream.errors import BadInput, Usage

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECONDS_ABOVE = 1e11
"""A larger epoch counts milliseconds: as seconds it would be the year 5138."""

TIMESTAMP_MS_MAX = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z

_NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_BOOLS = {"true": True, "True": True, "false": False, "False": False}
_DIGITS_MAX = 400  # more are no number that anybody could mean, and slow to convert


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record to send; without a time it happens now."""

    value: bytes
    key: bytes | None = None
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns of a CSV file are what; None: label and id by the configuration's names.

    Attributes:
        key: of the record, as text; by default the id.
        time: of the event; it is no feature.
    """

    label: str | None = None
    id: str | None = None
    key: str | None = None
    time: str | None = None


def read(path: Path, *, shape: EventShape, columns: Columns) -> Iterator[Outgoing]:
    """The records of a file, in order.

    Raises:
        BadInput: with the file, the line and what is wrong there.
        Usage: a column is named for lines of JSON, or one column for two things.
    """
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)
    if suffix is None:
        raise BadInput(f"{path}: cannot tell what this is; name a file {', '.join(SUFFIXES)}")
    if suffix.startswith(".csv"):
        return _rows(path, shape, columns)
    given = [f"--{name}" for name in Columns.__dataclass_fields__ if getattr(columns, name)]
    if given:
        raise Usage(f"{', '.join(given)}: only for CSV; lines of JSON are sent as they are")
    return _objects(path)


def cell(text: str) -> Feature | None:
    """What a cell holds; None: nothing.

    >>> [cell(text) for text in ("", "7", "007", "7.0", "1e400", "True", "UP")]
    [None, 7, '007', 7.0, '1e400', True, 'UP']
    """
    if not text:
        return None
    if len(text) <= _DIGITS_MAX and _NUMBER.fullmatch(text):
        if text.lstrip("-").isdigit() and str(int(text)) == text:
            return int(text)
        number = float(text)
        return number if math.isfinite(number) else text
    return _BOOLS.get(text, text)


def event_time_ms(text: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 time (UTC unless it says) or of an epoch.

    Raises: ValueError: with what is wrong.

    >>> event_time_ms("1970-01-02"), event_time_ms("1700000000"), event_time_ms("1700000000123")
    (86400000, 1700000000000, 1700000000123)
    """
    if _NUMBER.fullmatch(text):
        # "1e400" is a number too, and infinite.
        epoch = min(max(float(text), -1.0), TIMESTAMP_MS_MAX + 1.0)
        timestamp_ms = round(epoch if epoch > MILLISECONDS_ABOVE else epoch * 1000)
    else:
        try:
            time = datetime.fromisoformat(text.strip())
        except ValueError:
            raise ValueError(f"{show(text)} is neither an ISO 8601 time nor an epoch") from None
        aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        timestamp_ms = (aware - EPOCH) // timedelta(milliseconds=1)
    if not 0 <= timestamp_ms <= TIMESTAMP_MS_MAX:
        raise ValueError(f"{show(text)} is not between 1970 and 9999, as Kafka's timestamps are")
    return timestamp_ms


def _lines(path: Path) -> Iterator[str]:
    """The lines with their ends, as text."""
    number = 0
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise BadInput(f"{path}: is no regular file; it is read twice, so save it as one")
        with _opened(path) as file:
            for line in file:
                number += 1
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte {error.start + 1}"
        raise BadInput(f"{path} line {number}: {byte} is no UTF-8; save it as UTF-8") from None
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
    for number, line in enumerate(_lines(path), 1):
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        try:
            document = json.loads(text, parse_constant=_no_constant)
        except RecursionError:
            raise BadInput(f"{path} line {number}: nested too deeply") from None
        except ValueError as error:
            raise BadInput(f"{path} line {number}: is not JSON: {error}") from None
        if not isinstance(document, dict):
            raise BadInput(f"{path} line {number}: is JSON, but not an object {{...}}")
        yield Outgoing(text.encode())


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _rows(path: Path, shape: EventShape, columns: Columns) -> Iterator[Outgoing]:
    reader = csv.reader(_lines(path), strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise BadInput(f"{path} line 1: no header; write the columns' names there")
        layout = _Layout.of(path, header, shape=shape, columns=columns)
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise BadInput(
                    f"{path} line {reader.line_num}: {len(row)} cells, the header has {len(header)}"
                )
            try:
                yield layout.record(row)
            except ValueError as error:
                raise BadInput(f"{path} line {reader.line_num}: {error}") from None
    except csv.Error as error:
        raise BadInput(f"{path} line {reader.line_num}: is not CSV: {error}") from None


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
        """Find the columns. Raises: BadInput: one is missing or there twice; Usage."""
        where = {name: index for index, name in enumerate(header)}
        if len(where) < len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise BadInput(f"{path} line 1: the column {show(twice)} is there twice; rename one")
        for name in (columns.label, columns.id, columns.key, columns.time):
            if name is not None and name not in where:
                hint = did_you_mean(name, header)
                raise BadInput(f"{path} line 1: no column {show(name)}; {hint}")
        label = where.get(columns.label or shape.label)
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
        reserved = {shape.label, shape.id} & {name for _, name in features}
        if shape.flat and reserved:
            raise BadInput(
                f"{path} line 1: the column {show(min(reserved))} would be taken for the field of "
                "that name in [events]; name it with --label or --id, or put it into events.ignore"
            )
        key = own_id if columns.key is None else where[columns.key]
        return cls(shape=shape, label=label, id=own_id, key=key, time=time, features=features)

    def record(self, row: Sequence[str]) -> Outgoing:
        """One row as a record. Raises: ValueError: its time is none."""
        shape = self.shape
        features = {
            name: value for index, name in self.features if (value := cell(row[index])) is not None
        }
        event: dict[str, object] = {}
        if self.id is not None and row[self.id]:
            event[shape.id] = row[self.id]
        if shape.flat:
            event.update(features)
        else:
            event[shape.features] = features
        if self.label is not None:
            event[shape.label] = cell(row[self.label])
        key = row[self.key] if self.key is not None else ""
        return Outgoing(
            # Not msgspec: it refuses whole numbers beyond 64 bits, which a worker quarantines.
            json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode(),
            key.encode() or None,
            None if self.time is None else event_time_ms(row[self.time]),
        )
