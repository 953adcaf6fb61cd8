"""Which column of a CSV file is what, and the record that each of its rows becomes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream.config.checks import did_you_mean, nearest, show
from stream.core.spec import EventShape
from stream.errors import BadInput, Usage
from stream.printable import escaped
from stream.runtime.files.columns import Column, ColumnType, is_missing
from stream.runtime.files.later import Row, delay_ms
from stream.runtime.files.outgoing import Outgoing
from stream.runtime.files.spellings import alike, alike_said
from stream.runtime.files.times import event_time_ms

_NAMES_MAX = 30  # of features that are said


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns of a CSV file are what; None: label and id by the configuration's names.

    Attributes:
        key: the record's key, as text; by default the id.
        time: the event's time; it is not a feature.
        delay: how much later than its event its label comes; it is not a feature.
        delimiter: what divides the cells; None: it is found out.
        told: fields of a record that brings the label alone: id and label.
        no_label: True: events have none; False: a column must be it; None: one may be.
    """

    label: str | None = None
    id: str | None = None
    key: str | None = None
    time: str | None = None
    delay: str | None = None
    delimiter: str | None = None
    no_label: bool | None = None
    told: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where in a row what is: indices of cells, None where there is no such column."""

    shape: EventShape
    label: int | None
    id: int | None
    key: int | None
    time: int | None
    delay: int | None
    weight: int | None
    told: tuple[str, str]
    features: tuple[tuple[int, str], ...]

    @classmethod
    def of(
        cls, path: Path, header: Sequence[str], *, shape: EventShape, columns: Columns
    ) -> "Layout":
        """Find the columns. Raises: BadInput: one is missing, nameless or there twice; Usage."""
        named = columns.label, columns.id, columns.key, columns.time, columns.delay
        where = places_in(path, header, named)
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
        delay = None if columns.delay is None else where[columns.delay]
        weight = where.get(shape.weight) if shape.weight else None
        taken = [index for index in (label, own_id, time, delay, weight) if index is not None]
        if len(set(taken)) < len(taken):
            raise Usage("--label, --id, --time and --delay must name different columns")
        if delay is not None and None in (label, own_id, time):
            raise Usage(
                "--delay: a label that comes later has a time and names its event; write --time, "
                "and let columns be the label and the id"
            )
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
        return cls(
            shape=shape, label=label, id=own_id, key=key, time=time, delay=delay, weight=weight,
            features=features, told=columns.told or (shape.id, shape.label),
        )  # fmt: skip

    def said(
        self, header: Sequence[str], found: Sequence[Column], labels: Iterable[str]
    ) -> tuple[str, ...]:
        """Say what every column was taken for, in two parts; and a third, if labels are odd."""
        roles = [
            f"{role} {_described(header[index], found[index]) if index is not None else 'none'}"
            for role, index in (
                ("label", self.label),
                ("id", self.id),
                ("time", self.time),
                ("delay", self.delay),
                ("weight", self.weight),
            )
            if role not in ("delay", "weight") or index is not None
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

    def delay_ms(self, row: Sequence[str]) -> int | None:
        """How much later than its event a row's label comes. Raises: ValueError: the cell's."""
        return None if self.delay is None else delay_ms(row[self.delay])

    def names_label(self, row: Sequence[str]) -> bool:
        """Whether a row has a label that names its event."""
        cells = [row[index] for index in (self.label, self.id) if index is not None]
        return not any(map(is_missing, cells))

    def record(self, row: Sequence[str], found: Sequence[Column]) -> Row:
        """Turn a row into a record, or two. Raises: ValueError: a cell for a time holds none."""
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
        weight = None if self.weight is None else found[self.weight].value(row[self.weight])
        if weight is not None:
            event[shape.weight] = weight
        label = None if self.label is None else found[self.label].value(row[self.label])
        if self.label is not None and self.delay is None:
            event[shape.label] = label
        key = (row[self.key] if self.key is not None else "").encode() or None
        time_ms, later_ms = self.time_ms(row), self.delay_ms(row)
        record = Outgoing(written(event), key, time_ms)
        if label is None or later_ms is None or time_ms is None or shape.id not in event:
            return Row(record, None)
        told = dict(zip(self.told, (event[shape.id], label), strict=True))
        return Row(record, Outgoing(written(told), key, time_ms + later_ms, is_label=True))


def written(document: Mapping[str, object]) -> bytes:
    """A record's value."""
    # Not msgspec: it refuses whole numbers beyond 64 bits, which a worker quarantines.
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _described(name: str, column: Column) -> str:
    missing = f", {column.missing_n} missing" if column.missing_n else ""
    odd = f' that looks like numbers: "{escaped(column.odd)}"' if column.odd else ""
    return f"{escaped(name)} ({column.kind}{odd}{missing})"


def places_in(path: Path, header: Sequence[str], named: Iterable[str | None]) -> dict[str, int]:
    """Where each column is. Raises: BadInput: a named one is missing; see `check_header`."""
    check_header(path, header)
    where = {name: index for index, name in enumerate(header)}
    for name in named:
        if name is not None and name not in where:
            hint = did_you_mean(name, header)
            raise BadInput(f"{path} line 1: no column {show(name)}; {hint}")
    return where


def check_header(path: Path, header: Sequence[str]) -> None:
    """Raises: BadInput: a column has no name, or another one's."""
    if "" in header:
        number = header.index("") + 1
        raise BadInput(f"{path} line 1: column {number} has no name; write one in the header")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise BadInput(f"{path} line 1: the column {show(twice)} is there twice; rename one")
