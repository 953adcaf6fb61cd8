"""What the columns of a CSV file hold, decided over the whole of it; and what divides its cells."""

import csv
import math
import re
from collections.abc import Sequence
from enum import IntEnum

from stream.core.event import Feature
from stream.runtime.files.spellings import NUMBER, is_like_number

MISSING = frozenset({"", "na", "n/a", "nan", "null"})
"""In whatever case, and with spaces around: a cell that holds nothing."""

DELIMITERS = (",", ";", "\t", "|")

_SAMPLE_ROWS = 20
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_BOOLS = {"true": True, "false": False}
_DIGITS_MAX = 400  # more are no number that anybody could mean, and slow to convert


class ColumnType(IntEnum):
    """The type of all the cells of a column that hold anything."""

    NOTHING = 0
    BOOL = 1
    INTEGER = 2
    NUMBER = 3
    TEXT = 4

    def __str__(self) -> str:
        return ("empty", "true or false", "integer", "number", "text")[self]


def is_missing(text: str) -> bool:
    """Whether a cell holds nothing.

    >>> [is_missing(text) for text in ("", " ", "NA", "NaN", "null", "n/a", "none", "0")]
    [True, True, True, True, True, True, False, False]
    """
    return text.strip().lower() in MISSING


def kind_of(text: str) -> ColumnType:
    """What one cell holds.

    >>> [str(kind_of(t)) for t in ("NA", "TRUE", "7", "7.0", "007", "UP")]
    ['empty', 'true or false', 'integer', 'number', 'text', 'text']
    """
    text = text.strip()
    if text.lower() in MISSING:
        return ColumnType.NOTHING
    if text.lower() in _BOOLS:
        return ColumnType.BOOL
    if len(text) > _DIGITS_MAX or not NUMBER.fullmatch(text):
        return ColumnType.TEXT
    if _INTEGER.fullmatch(text):
        return ColumnType.INTEGER
    return ColumnType.NUMBER if math.isfinite(float(text)) else ColumnType.TEXT


class Column:
    """One column, as far as it was looked at.

    Attributes:
        kind: the type of all cells so far.
        missing_n: cells that held nothing.
        odd: of a text column a cell that people would read as a number, if all are such.
    """

    def __init__(self) -> None:
        self.kind = ColumnType.NOTHING
        self.missing_n = 0
        self.odd = ""
        self._is_like_numbers = True

    def look(self, text: str) -> None:
        """Take one more cell into account."""
        kind = (
            kind_of(text)
            if self.kind is not ColumnType.TEXT or is_missing(text)
            else ColumnType.TEXT
        )
        if kind is ColumnType.NOTHING:
            self.missing_n += 1
        elif kind is not self.kind and self.kind is not ColumnType.NOTHING:
            both = {kind, self.kind}
            self.kind = (
                ColumnType.NUMBER
                if both == {ColumnType.INTEGER, ColumnType.NUMBER}
                else ColumnType.TEXT
            )
        else:
            self.kind = kind
        if self._is_like_numbers and kind in (ColumnType.TEXT, ColumnType.BOOL):
            self._is_like_numbers = kind is ColumnType.TEXT and is_like_number(text)
            if not self._is_like_numbers:
                self.odd = ""
            elif not self.odd and not NUMBER.fullmatch(text.strip()):
                self.odd = text.strip()

    def value(self, text: str) -> Feature | None:
        """What a cell holds; None: nothing."""
        plain = text.strip()
        if plain.lower() in MISSING:
            return None
        match self.kind:
            case ColumnType.BOOL:
                return _BOOLS[plain.lower()]
            case ColumnType.INTEGER:
                return int(plain)
            case ColumnType.NUMBER:
                return float(plain)
            case _:
                return text


def delimiter_of(lines: Sequence[str]) -> str:
    """What divides the cells in a file that begins with these lines.

    The one that divides most, and every row into as many; where there is none, the one that divides
    every row somehow, so that the odd row is told; a comma, where none divides anything.

    >>> delimiter_of(["a;b", "1,5;2"]), delimiter_of(["x", "1"])
    (';', ',')
    >>> delimiter_of(["a;b;c", "1;2", "1,5;2;3;4", "1;2"])
    ';'
    """
    best = (False, 1, ",")
    for delimiter in DELIMITERS:
        try:
            rows = [row for row in csv.reader(lines, delimiter=delimiter) if row][:_SAMPLE_ROWS]
        except csv.Error:
            continue
        cells_n = len(rows[0]) if rows else 0
        is_even = all(len(row) == cells_n for row in rows[1:-1])
        divides = is_even or all(len(row) > 1 for row in rows[:-1])
        if cells_n > 1 and divides and (is_even, cells_n) > best[:2]:
            best = (is_even, cells_n, delimiter)
    return best[2]


def other_delimiter(lines: Sequence[str], delimiter: str) -> str | None:
    """What else would divide every one of these lines into as many cells; None: nothing.

    >>> other_delimiter(["a;b", "1,5;2"], ","), other_delimiter(["a,b", "1,2,3"], ",")
    (';', None)
    """
    for other in DELIMITERS:
        try:
            counts = {len(row) for row in csv.reader(lines, delimiter=other) if row}
        except csv.Error:
            continue
        if other != delimiter and len(counts) == 1 and counts != {1}:
            return other
    return None
