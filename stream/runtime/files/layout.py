"""Which column of a CSV file is what, and the record that each of its rows becomes."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stream.config.checks import did_you_mean, nearest, show
from stream.core.spec import EventShape
from stream.errors import BadInput, Usage
from stream.printable import escaped
from stream.runtime.files.columns import Column, ColumnType, is_missing
from stream.runtime.files.spellings import alike, alike_said
from stream.runtime.files.times import event_time_ms

_NAMES_MAX = 30  # of features that are said


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
class Layout:
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
    ) -> "Layout":
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
            f"{role} {_described(header[index], found[index]) if index is not None else 'none'}"
            for role, index in (("label", self.label), ("id", self.id), ("time", self.time))
        ]
        features = [_described(name, found[index]) for index, name in self.features[:_NAMES_MAX]]
        more = len(self.features) - len(features)
        features += [f"and {more} more"] if more else []
        is_text = self.label is not None and found[self.label].kind is ColumnType.TEXT
        words = alike(each for each in labels if not is_missing(each)) if is_text else []
        said = (", ".join(roles), f"features: {', '.join(features) or 'none'}")
        return (*said, f"warning: {alike_said(words)}") if words else said

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


def _described(name: str, column: Column) -> str:
    missing = f", {column.missing_n} missing" if column.missing_n else ""
    odd = f' that looks like numbers: "{escaped(column.odd)}"' if column.odd else ""
    return f"{escaped(name)} ({column.kind}{odd}{missing})"


def check_header(path: Path, header: Sequence[str]) -> None:
    """Raises: BadInput: a column has no name, or another one's."""
    if "" in header:
        number = header.index("") + 1
        raise BadInput(f"{path} line 1: column {number} has no name; write one in the header")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise BadInput(f"{path} line 1: the column {show(twice)} is there twice; rename one")
