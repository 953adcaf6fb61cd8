"""The first events of a file: what is in them, and how many of them a pipeline would refuse.

Only the beginning of a file is read. A line that is no event is left out and counted.
"""

import csv
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from stream.core.event import Kind, Rejection
from stream.core.fold.classes import refusal, written_bytes
from stream.core.formats.codec import Codec
from stream.core.spec import EventShape, Limits
from stream.errors import BadInput
from stream.printable import escaped
from stream.runtime.files import rows
from stream.runtime.files.columns import Column, delimiter_of
from stream.runtime.files.layout import check_header

SHOWN_N = 3
"""So many of the lines that are no event are named."""

_SAMPLE_LINES = 40  # by which the delimiter is found
_DIGITS_MAX = 300  # a longer whole number is beyond every float


@dataclass(slots=True, kw_only=True)
class Sample:
    """What a file begins with.

    Attributes:
        records: its events as objects, every column of CSV under its own name.
        lines_n: how many lines or rows were read; blank ones are none.
        bad: the lines that are no event, each with what is wrong; the first few are kept.
        bad_n: how many of these there are.
        is_csv: the fields have an order.
        header: the names of all columns, also of those that are empty; of JSON there is none.
        broken: the first line for which `produce` refuses the whole file; "": there is none.
    """

    is_csv: bool
    records: list[dict[str, Any]] = field(default_factory=list)
    lines_n: int = 0
    bad: list[str] = field(default_factory=list)
    bad_n: int = 0
    header: Sequence[str] = ()
    broken: str = ""

    def skip(self, line: int, why: str, *, is_sent: bool = False) -> None:
        """Leave out a line that is no event; `produce` may send it all the same."""
        self.bad_n += 1
        if not is_sent and not self.broken:
            self.broken = f"line {line}: {why}"
        if len(self.bad) < SHOWN_N:
            self.bad.append(f"line {line}: {why}")

    def said(self) -> str:
        """Say how many lines are no event, and show the first of them."""
        more = self.bad_n - len(self.bad)
        which = "; ".join(self.bad) + (f"; and {more} more" if more else "")
        are = "is no event and would be" if self.bad_n == 1 else "are no events and would be"
        whole = "; `stream produce` refuses the whole file until it is mended" * bool(self.broken)
        return f"{self.bad_n} of {self.lines_n} lines {are} refused: {which}{whole}"


def read(path: Path, *, n: int) -> Sample:
    """Read the first `n` lines or rows of a file.

    Raises: BadInput: it cannot be read, its header is none, or not one line is an event.
    """
    sample = Sample(is_csv=rows.suffix_of(path).startswith(".csv"))
    if sample.is_csv:
        _read_rows(path, sample, n)
    else:
        _read_objects(path, sample, n)
    if not sample.lines_n:
        raise BadInput(f"{path}: holds no event; give a file with some")
    if not sample.records:
        raise BadInput(f"{path}: {sample.said()}; give a file with events")
    return sample


def _read_objects(path: Path, sample: Sample, n: int) -> None:
    """Read the first lines of JSON into the sample; broken lines are skipped and counted."""
    numbered = ((i, line) for i, line in enumerate(rows.raw_lines(path), 1) if line.strip())
    for number, line in islice(numbered, n):
        sample.lines_n += 1
        try:
            sample.records.append(_object(line.decode("utf-8-sig" if number == 1 else "utf-8")))
        except UnicodeDecodeError as error:
            sample.skip(number, f"byte {error.start + 1} is no UTF-8")
        except RecursionError:
            sample.skip(number, "nested too deeply")
        except json.JSONDecodeError as error:
            sample.skip(number, f"is not JSON: {error.msg}")
        except _UnlikeJson as error:
            sample.skip(number, str(error))
        except ValueError as error:
            sample.skip(number, str(error), is_sent=True)


class _UnlikeJson(ValueError):
    """A line that `produce` does not send."""


def _object(text: str) -> dict[str, Any]:
    """Parse one line as an event. Raises: ValueError: with what is wrong; RecursionError."""
    document = json.loads(text, parse_constant=_no_number, parse_float=_float, parse_int=_int)
    if not isinstance(document, dict):
        raise _UnlikeJson("is JSON, but not an object {...}")
    if "\\u" in text:
        try:
            json.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("holds half a surrogate pair") from None
    return document


def _no_number(text: str) -> NoReturn:
    raise _UnlikeJson(f"{text} is no number in JSON")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def _int(text: str) -> int:
    if len(text) > _DIGITS_MAX:
        raise ValueError(f"a number of {len(text)} digits is too large")
    return int(text)


def _read_rows(path: Path, sample: Sample, n: int) -> None:
    """Read the first rows of CSV into the sample; the columns' types are those of these rows."""
    delimiter = delimiter_of(list(islice(rows.lines(path), _SAMPLE_LINES)))
    reader = csv.reader(rows.lines(path), strict=True, delimiter=delimiter)
    header = rows.header_of(path, reader)
    check_header(path, header)
    sample.header = header
    kept: list[list[str]] = []
    columns = [Column() for _ in header]
    for row in _rows(reader, sample, cells_n=len(header), n=n):
        kept.append(row)
        for column, text in zip(columns, row, strict=True):
            column.look(text)
    for row in kept:
        cells = zip(header, columns, row, strict=True)
        values = {name: column.value(text) for name, column, text in cells}
        sample.records.append({name: v for name, v in values.items() if v is not None})


def _rows(reader: Any, sample: Sample, *, cells_n: int, n: int) -> Iterator[list[str]]:
    """Those of the first `n` rows that fit the header; the others are skipped."""
    while sample.lines_n < n:
        try:
            row = next(reader, None)
        except csv.Error as error:
            sample.lines_n += 1
            sample.skip(reader.line_num, f"is not CSV: {error}")
            continue
        if row is None:
            return
        if not row:
            continue
        sample.lines_n += 1
        if len(row) == cells_n:
            yield row
        else:
            sample.skip(reader.line_num, f"{len(row)} cells, the header has {cells_n}")


# -- what a pipeline would make of it -------------------------------------------------------------


def refused(sample: Sample, shape: EventShape, kind: Kind, limits: Limits) -> tuple[int, str]:
    """How many events of a sample the worker's own decoder would refuse.

    Args:
        sample: the sample that was read.
        shape: how an event is thought to look.
        kind: what the model does; a classifier's labels must be of one type, too.
        limits: what an event may be at most.

    Returns: their number; the most frequent reason with an example, "" if there is none.
    """
    codec = Codec(shape, limits, kind)
    classes: set[Any] = set()
    taken = 0
    found: Counter[str] = Counter()
    details: dict[str, str] = {}
    for value in _values(sample, shape):
        decoded = codec.decode(value)
        refusal_: Rejection | None = None
        if isinstance(decoded, Rejection):
            refusal_ = decoded
        elif kind is Kind.MULTICLASS and decoded.label is not None:
            refusal_ = refusal(decoded.label, classes, limits=limits, taken_bytes=taken)
            if refusal_ is None and decoded.label not in classes:
                classes.add(decoded.label)
                taken += written_bytes(decoded.label)
        if refusal_ is not None:
            found[refusal_.reason] += 1
            details.setdefault(refusal_.reason, refusal_.detail)
    if not found:
        return 0, ""
    reason, _ = found.most_common(1)[0]
    return found.total(), f"{reason} ({escaped(details[reason])})"


def _values(sample: Sample, shape: EventShape) -> Sequence[bytes]:
    """The events as they are sent; `produce` sends a CSV file's id as text."""
    records = sample.records
    if sample.is_csv:
        records = [
            {k: str(v) if k == shape.id else v for k, v in record.items()} for record in records
        ]
    return [json.dumps(record, ensure_ascii=False).encode() for record in records]
