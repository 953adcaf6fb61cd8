"""A file of labels: lines of JSON or rows of CSV, each as the record that brings a label.

A label names its event by the id, or by the place, as predictions do. Where a label lies decides
whether it finds its event: in the partition that names it, or in that of the event's key.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from stream.config.checks import nearest, show
from stream.core.event import partition_in
from stream.core.formats.label_records import OFFSET, PARTITION
from stream.core.spec import EventShape
from stream.errors import BadInput, Usage
from stream.printable import escaped
from stream.runtime.files import rows
from stream.runtime.files.columns import Column, delimiter_of, is_missing
from stream.runtime.files.layout import Columns, places_in, written
from stream.runtime.files.outgoing import Outgoing
from stream.runtime.files.times import event_time_ms

OF_LINES: Final = ("key", "time")
"""What can be named of lines of JSON, for they are sent as they are: fields, where a CSV file has
columns."""

_DIGITS_MAX: Final = 18


class LabelShape(NamedTuple):
    """How label records look.

    Attributes:
        id, label: their fields.
        events_topic: with it begin the ids of events that brought none.
        among: how the events look that they lie among; None: they have a topic of their own.
    """

    id: str
    label: str
    events_topic: str
    among: EventShape | None

    @property
    def has_places(self) -> bool:
        """Whether a label may name its event by its place."""
        return self.among is None or not self.among.flat

    def check(self, document: Mapping[str, object]) -> None:
        """Raises: ValueError: among events it would be taken for one of them."""
        if self.among is None:
            return
        shape = self.among
        others = document.keys() - {self.id, self.label, PARTITION, OFFSET} - {*shape.ignore}
        if shape.extra == "ignore" and not shape.flat:
            others &= {shape.features}
        if others:
            raise ValueError(
                f"would be taken for an event, for it has the field {show(min(others))}; a label "
                "among events comes with its event's id alone"
            )


def survey(
    path: Path,
    *,
    shape: LabelShape,
    columns: Columns,
    stopped: Callable[[], bool] = lambda: False,
) -> rows.Survey:
    """Read a file once to its end. A row without a label is none: it is passed over.

    Args:
        path: the file.
        shape: how a label record looks.
        columns: which column of a CSV file is what; of lines of JSON which field is key and time.
        stopped: ends it early.

    Raises:
        BadInput: with the file, the line and what is wrong there.
        Usage: a column is named for lines of JSON, or one column for two things.
    """
    if not rows.suffix_of(path).startswith(".csv"):
        given = [
            f"--{name.replace('_', '-')}"
            for name in Columns.__dataclass_fields__
            if name not in (*OF_LINES, "told") and getattr(columns, name)
        ]
        if given:
            raise Usage(f"{', '.join(given)}: only for CSV; lines of JSON are sent as they are")
        return _counted(path, partial(_of_lines, path, shape, columns), stopped, ())
    delimiter = columns.delimiter or delimiter_of(list(islice(rows.lines(path), rows.SAMPLE_LINES)))
    table = rows.csv_rows(path, delimiter)
    _, header = next(table)
    layout = LabelLayout.of(path, header, shape=shape, columns=columns)
    labels = Column()
    for _, row in table:
        labels.look(row[layout.label])
    said = layout.said(header, labels)
    return _counted(path, partial(_of_rows, path, delimiter, layout, labels), stopped, (said,))


def _counted(
    path: Path,
    read: Callable[[], Iterator[Outgoing | None]],
    stopped: Callable[[], bool],
    said: Sequence[str],
) -> rows.Survey:
    """Read to the end, which finds where a file is broken, and count."""
    labels_n = without_n = partition_max = 0
    for label in read():
        labels_n += label is not None
        without_n += label is None
        if label is not None and label.partition is not None:
            partition_max = max(partition_max, label.partition)
        if stopped():
            break
    also = f", {without_n} rows without one are passed over" if without_n else ""
    about = "".join(f"; {each}" for each in said)
    return rows.Survey(
        records_n=labels_n,
        said=(f"{path.name}: {labels_n} labels{also}{about}",),
        records=lambda: (label for label in read() if label is not None),
        partition_max=partition_max,
    )


# -- rows of CSV ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelLayout:
    """Where in a row what is: indices of cells, None where there is no such column."""

    shape: LabelShape
    label: int
    id: int | None
    place: tuple[int, int] | None
    key: int | None
    time: int | None

    @classmethod
    def of(
        cls, path: Path, header: Sequence[str], *, shape: LabelShape, columns: Columns
    ) -> "LabelLayout":
        """Find the columns. Raises: BadInput: one is missing, nameless or there twice; Usage."""
        named = columns.label, columns.id, columns.key, columns.time
        where = places_in(path, header, named)
        label = where.get(columns.label or shape.label)
        if label is None:
            near = nearest(shape.label, header) or "COLUMN"
            raise BadInput(
                f"{path} line 1: no column {show(shape.label)} for the label; write --label {near}"
            )
        own_id = where.get(columns.id or shape.id)
        has_place = shape.has_places and PARTITION in where and OFFSET in where
        place = (where[PARTITION], where[OFFSET]) if has_place else None
        if own_id is None and place is None:
            also = f', nor "{PARTITION}" and "{OFFSET}" for its place' if shape.has_places else ""
            raise BadInput(
                f"{path} line 1: no column {show(shape.id)} for the event's id{also}; write --id "
                "COLUMN"
            )
        time = None if columns.time is None else where[columns.time]
        taken = [index for index in (label, own_id, time, *(place or ())) if index is not None]
        if len(set(taken)) < len(taken):
            raise Usage("--label, --id and --time must name different columns")
        key = own_id if columns.key is None else where[columns.key]
        return cls(shape=shape, label=label, id=own_id, place=place, key=key, time=time)

    def said(self, header: Sequence[str], labels: Column) -> str:
        """Say what every column was taken for."""
        roles = {"label": self.label, "id": self.id, "key": self.key, "time": self.time}
        named = [f"{role} {escaped(header[i])}" for role, i in roles.items() if i is not None]
        named[0] += f" ({labels.kind})"
        return ", ".join(named)

    def record(self, row: Sequence[str], labels: Column) -> Outgoing | None:
        """Turn a row into a label; None: it has none. Raises: ValueError: it names no event."""
        label = labels.value(row[self.label])
        if label is None:
            return None
        time_ms = None if self.time is None else event_time_ms(row[self.time])
        key = (row[self.key] if self.key is not None else "").encode() or None
        if self.id is not None and not is_missing(row[self.id]):
            event_id = row[self.id]
            told: Mapping[str, object] = {self.shape.id: event_id, self.shape.label: label}
            partition = partition_in(event_id, self.shape.events_topic)
        elif self.place is not None:
            partition, offset = (_whole(row[index]) for index in self.place)
            told = {PARTITION: partition, OFFSET: offset, self.shape.label: label}
        else:
            raise ValueError("names no event: its id is empty")
        return Outgoing(written(told), key, time_ms, partition, is_label=True)


def _of_rows(
    path: Path, delimiter: str, layout: LabelLayout, labels: Column
) -> Iterator[Outgoing | None]:
    """Each row of a CSV file as a label; None: it has none. Raises: BadInput."""
    table = rows.csv_rows(path, delimiter)
    next(table)
    for line, row in table:
        with rows.at_line(path, line):
            label = layout.record(row, labels)
        yield label


def _whole(cell: str) -> int:
    """A partition or an offset. Raises: ValueError."""
    text = cell.strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX):
        raise ValueError(f"names no event: {show(cell)} is no {PARTITION} and no {OFFSET}")
    return int(text)


# -- lines of JSON --------------------------------------------------------------------------------


def _of_lines(path: Path, shape: LabelShape, columns: Columns) -> Iterator[Outgoing | None]:
    for line, text, document in rows.objects(path):
        with rows.at_line(path, line):
            label = _label_in(text, document, shape, columns)
        yield label


def _label_in(
    text: str, document: Mapping[str, Any], shape: LabelShape, columns: Columns
) -> Outgoing | None:
    """What a line brings; None: its label is null. Raises: ValueError: it is no label."""
    if shape.label not in document:
        raise ValueError(f"is no label: it has no field {show(shape.label)}")
    event_id = document.get(shape.id)
    partition = None if event_id is None else partition_in(str(event_id), shape.events_topic)
    shape.check(document)
    if event_id is None:
        if not shape.has_places:
            raise ValueError(f"names no event: it has no {show(shape.id)}")
        if document.get(PARTITION) is None or document.get(OFFSET) is None:
            raise ValueError(
                f'names no event: it has no {show(shape.id)}, nor "{PARTITION}" and "{OFFSET}"'
            )
        partition = _whole(str(document[PARTITION]))
        _whole(str(document[OFFSET]))
    key, time = (
        None if name is None else _field(document, name) for name in (columns.key, columns.time)
    )
    time_ms = None if time is None else event_time_ms(time)
    if document[shape.label] is None:
        return None
    key = str(event_id) if key is None and event_id is not None else key
    return Outgoing(
        text.encode(), None if key is None else key.encode(), time_ms, partition, is_label=True
    )


def _field(document: Mapping[str, Any], name: str) -> str:
    """A field's text. Raises: ValueError: there is none."""
    value = document.get(name)
    if value is None or isinstance(value, dict | list):
        raise ValueError(f"has no text and no number in the field {show(name)}")
    return value if isinstance(value, str) else json.dumps(value)
