"""Records that bring nothing but the label of an event."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import msgspec

from stream.core.event import Kind, LabelRecord, Reason, Rejection
from stream.core.formats.checks import Checks, Refused, one_line, refuse
from stream.core.spec import EventShape, Limits

PARTITION: Final = "partition"
OFFSET: Final = "offset"
"""The fields by which a label names its event as predictions do."""


class LabelReader(Checks):
    """Reads label records among a pipeline's events.

    Args:
        shape: where an event's parts are.
        limits: how large they may be.
        kind: the model's kind; it decides which labels fit.
        id_field, label_field: of a label record.
    """

    def __init__(
        self, shape: EventShape, limits: Limits, kind: Kind, *, id_field: str, label_field: str
    ) -> None:
        super().__init__(replace(shape, id=id_field, label=label_field), limits, kind)
        self._places = () if shape.flat else (PARTITION, OFFSET)
        # Numbers, which have limits, go the other way.
        self._quick_types = frozenset(self._labels) & {bool, str}
        self._quick = _quick(id_field, label_field)
        self._skips_others = shape.extra == "ignore" and not shape.flat

    def among_events(self, value: bytes | None) -> LabelRecord | Rejection | None:
        """What a record of the events topic says; None: it is no label record.

        One has a label and an id (or, where features are an object of their own, a partition and an
        offset), and no features.
        """
        plain = self._plain(value)
        if plain is not None:
            return plain
        try:
            document = self._document(value)
            return self._record(document) if self._is_one(document) else None
        except Refused as refused:
            if refused.reason in (Reason.BAD_LABEL, Reason.BAD_ID, Reason.NO_ID):
                return Rejection(refused.reason, one_line(refused.detail))
            return None  # whoever reads events says what is wrong with it

    def in_topic(self, value: bytes | None) -> LabelRecord | Rejection:
        """What a record of the labels topic says; other fields than its own mean nothing here."""
        plain = self._plain(value)
        if plain is not None:
            return plain
        try:
            return self._record(self._document(value))
        except Refused as refused:
            return Rejection(refused.reason, one_line(refused.detail))

    def _plain(self, value: bytes | None) -> LabelRecord | None:
        """Read a plainly valid label record, quickly; None: the checks tell."""
        try:
            event_id, label = self._quick(value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if len(event_id) > self._limits.string_chars_max or type(label) not in self._quick_types:
            return None
        if type(label) is str and len(label) > self._limits.string_chars_max:
            return None
        found = LabelRecord(label, event_id)
        self.finish(found)
        return found

    def _is_one(self, document: dict[str, Any]) -> bool:
        shape, fields = self._shape, document.keys() - self._shape.ignore
        if shape.label not in fields or (shape.features in fields and not shape.flat):
            return False
        if shape.id not in fields and not (self._places and fields.issuperset(self._places)):
            return False
        return self._skips_others or fields <= {shape.id, shape.label, *self._places}

    def _record(self, document: dict[str, Any]) -> LabelRecord:
        """Read a label record. Raises: Refused: with the first reason that applies."""
        event_id, label = document.get(self._shape.id), document.get(self._shape.label)
        self._id(event_id)
        partition, offset = (document.get(name) for name in (PARTITION, OFFSET))
        is_placed = _is_place(partition) and _is_place(offset)
        if event_id is None and not is_placed:
            refuse(Reason.NO_ID, f'neither "{self._shape.id}" nor a partition and an offset')
        if label is None:
            refuse(Reason.BAD_LABEL, "the label is null")
        self._label(label)
        if isinstance(label, float) and float not in self._labels:
            label = int(label)
        place = (None, None) if event_id is not None else (partition, offset)
        found = LabelRecord(label, event_id, *place)
        self.finish(found)
        return found


def _quick(id_field: str, label_field: str) -> Callable[[bytes], tuple[str, bool | str]]:
    """Reads records of a string and a label, and of nothing else."""
    try:
        wire = msgspec.defstruct(
            "WireLabel", [("id", str), ("label", bool | str)],
            rename={"id": id_field, "label": label_field}, forbid_unknown_fields=True, gc=False,
        )  # fmt: skip
    except ValueError:  # a quote, backslash or control character in a field's name
        return _not_plain
    decode: Any = msgspec.json.Decoder(wire).decode

    def read(value: bytes) -> tuple[str, bool | str]:
        found = decode(value)
        return found.id, found.label

    return read


def _not_plain(_value: bytes) -> tuple[str, bool | str]:
    raise msgspec.DecodeError("not plainly valid")


def _is_place(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63
