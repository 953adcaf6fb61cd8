"""The checks of an event one by one, on the standard library's parser: what is wrong, in one line.

`stream.core.formats.codec` has a faster way for plainly valid events; these checks decide the rest,
and the two agree on every input.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from stream.core import problems
from stream.core.event import Event, Kind, LabelRecord, Reason, Rejection
from stream.core.formats.demands import demands
from stream.core.formats.foreign import looks_like
from stream.core.formats.positive import is_positive
from stream.core.spec import WEIGHT_MAX, EventShape, Limits

DEPTH_MAX = 100
"""A limit of our own: the parsers' depends on the depth of the stack they are called from, so a
replay could decide otherwise than the worker did."""

DETAIL_CHARS_MAX = 200
"""Details travel in a header and in logs: short, and one line."""

ID_MIN, ID_MAX = -(2**63), 2**64 - 1
"""An id may be an integer of 64 bits, signed or not; it is published as a string."""

_DIGITS_MAX = 400  # far beyond any limit of magnitude, and within what every interpreter converts
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


class Checks:
    """All checks of one pipeline's events; built once from its configuration.

    Args:
        shape: where an event's parts are.
        limits: how large they may be.
        kind: the model's kind; it decides which labels fit.
    """

    def __init__(self, shape: EventShape, limits: Limits, kind: Kind) -> None:
        self._shape = shape
        self._limits = limits
        self._own = frozenset((shape.id, shape.label, *filter(None, (shape.weight,))))
        self.has_positive = problems.has_positive(kind, shape)
        self._problem = problems.PROBLEMS[kind]
        self._misfit = demands(shape)
        self._labels = problems.label_types(kind, shape)

    def decode(self, value: bytes | None) -> Event | Rejection:
        """The event, or the first thing that is wrong with it; never raises on bad data."""
        try:
            event = self._event(self._document(value))
        except Refused as refused:
            return Rejection(refused.reason, one_line(refused.detail))
        self.finish(event)
        return event

    def finish(self, event: Event | LabelRecord) -> None:
        """Write an event's id as a string, and its label as true or false if one is `positive`."""
        if event.id.__class__ is int:
            event.id = str(event.id)
        if self.has_positive and event.label is not None:
            event.label = is_positive(event.label, self._shape.positive)

    def _document(self, value: bytes | None) -> dict[str, Any]:
        """Parse a value into a JSON object, or refuse it with the first reason that applies."""
        if value is None:
            refuse(Reason.NOT_JSON, "no value (a tombstone)")
        if not value:
            refuse(Reason.NOT_JSON, "an empty value")
        if len(value) > self._limits.value_bytes_max:
            most = self._limits.value_bytes_max
            refuse(Reason.TOO_LARGE, f"{len(value)} bytes, more than {most}")
        try:
            text = value.decode()
        except UnicodeDecodeError as error:
            refuse(Reason.NOT_UTF8, f"byte {error.start} is no UTF-8{looks_like(value)}")
        if is_deep(value):
            refuse(Reason.NOT_JSON, f"nested deeper than {DEPTH_MAX}")
        if text.startswith("\ufeff"):
            refuse(Reason.NOT_JSON, "begins with a byte order mark")
        try:
            # It accepts NaN, Infinity and 1e400, which is how `not_finite` is told from `not_json`.
            document = _read(text)
        except json.JSONDecodeError as error:
            refuse(Reason.NOT_JSON, f"{error}{looks_like(value)}")
        if not isinstance(document, dict):
            refuse(Reason.NOT_AN_OBJECT, f"a JSON {_json_type(document)}")
        return document

    def _event(self, document: dict[str, Any]) -> Event:
        """Turn a JSON object into an event, or refuse it with the first reason that applies."""
        shape = self._shape
        if shape.flat:
            features = {
                k: v for k, v in document.items() if k not in self._own and k not in shape.ignore
            }
        else:
            features = self._features(document)
        given_n = len(features)
        if shape.missing == "absent":
            features = {name: value for name, value in features.items() if value is not None}
        if not features:
            detail = "no features: all are null" if given_n else "no features"
            refuse(Reason.MISSING_FEATURES, detail)
        most = self._limits.features_max
        if len(features) > most:
            refuse(Reason.TOO_MANY_FEATURES, f"{len(features)} features, more than {most}")
        for name, feature in features.items():
            self._feature(name, feature)
        if self._misfit is not None and (detail := self._misfit(features)):
            refuse(Reason.BAD_FEATURE, detail)
        event_id, label = document.get(shape.id), document.get(shape.label)
        self._id(event_id)
        if label is not None:
            self._label(label)
            if isinstance(label, float) and float not in self._labels:
                label = int(label)
        weight = document.get(shape.weight) if shape.weight else None
        if weight is not None:
            self._weight(weight)
        return Event(features=features, id=event_id, label=label, weight=weight)

    def _features(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Find the object that holds the features, and refuse fields that nobody expects."""
        shape = self._shape
        if shape.extra == "refuse":
            for field in document:
                if field not in self._own and field != shape.features and field not in shape.ignore:
                    refuse(Reason.UNKNOWN_FIELD, f'"{field}" at the top level')
        features = document.get(shape.features)
        if not isinstance(features, dict):
            is_null = features is None and shape.features in document
            found = "absent" if features is None else f"a JSON {_json_type(features)}"
            found = "null" if is_null else found
            refuse(Reason.MISSING_FEATURES, f'"{shape.features}" is {found}, not an object')
        return features

    def _feature(self, name: str, value: Any) -> None:
        most = self._limits.name_chars_max
        if len(name) > most:
            refuse(
                Reason.BAD_FEATURE, f"a name of {len(name)} characters, more than {most}: {name}"
            )
        _unicode(name, "a feature's name")
        self._scalar(value, f'feature "{name}"', Reason.BAD_FEATURE)

    def _id(self, value: Any) -> None:
        """Refuse an id that is neither a string nor an integer of at most 64 bits."""
        what = f'"{self._shape.id}"'
        if value is None:
            return
        if isinstance(value, bool | float) or not isinstance(value, int | str):
            is_point = isinstance(value, float)
            found = "number with a point or an exponent" if is_point else _json_type(value)
            refuse(Reason.BAD_ID, f"{what} is a JSON {found}; an id is a string or an integer")
        if isinstance(value, int):
            if not ID_MIN <= value <= ID_MAX:
                refuse(Reason.BAD_ID, f"{what} is an integer of more than 64 bits")
        else:
            self._text(value, what, Reason.BAD_ID)

    def _label(self, label: Any) -> None:
        """Refuse a label that a model of this kind cannot learn from."""
        self._scalar(label, "the label", Reason.BAD_LABEL)
        if label.__class__ in self._labels:
            return
        if isinstance(label, float) and int in self._labels:  # 2.0 is an integer; JSON has one type
            if not label.is_integer():
                refuse(Reason.BAD_LABEL, "the label is a fraction, not a string, bool or integer")
            return
        found = f"the label is a JSON {_json_type(label)}"
        refuse(Reason.BAD_LABEL, f"{found}; {self._problem.needs}")

    def _weight(self, value: Any) -> None:
        """Refuse a weight that is no number from 0 to the most that there may be."""
        what = f'"{self._shape.weight}"'
        if isinstance(value, bool) or not isinstance(value, int | float):
            found = f"{what} is a JSON {_json_type(value)}"
            refuse(Reason.BAD_FEATURE, f"{found}; a weight is a number")
        self._number(value, what)
        if not 0 <= value <= WEIGHT_MAX:
            refuse(Reason.OUT_OF_RANGE, f"{what} is a weight, and not within 0 and {WEIGHT_MAX:g}")

    def _scalar(self, value: Any, what: str, reason: Reason) -> None:
        """Refuse a value that is no bool, no finite number and no string within the limits."""
        if isinstance(value, bool):
            return
        if isinstance(value, int | float):
            self._number(value, what)
        elif isinstance(value, str):
            self._text(value, what, reason)
        else:
            refuse(reason, f"{what} is a JSON {_json_type(value)}")

    def _number(self, value: float, what: str) -> None:
        most = self._limits.magnitude_max
        if not -most <= value <= most:
            if value in (float("inf"), float("-inf")) or value != value:  # noqa: PLR0124  # NaN
                refuse(Reason.NOT_FINITE, f"{what} is {value}")
            refuse(Reason.OUT_OF_RANGE, f"{what} is beyond ±{most:g}")

    def _text(self, value: str, what: str, reason: Reason) -> None:
        most = self._limits.string_chars_max
        if len(value) > most:
            refuse(reason, f"{what} has {len(value)} characters, more than {most}")
        _unicode(value, what)


def _integer(digits: str) -> int:
    """Read an integer; a very long one is slow to read, and becomes one beyond every limit."""
    if len(digits) <= _DIGITS_MAX:
        return int(digits)
    huge: int = 10**_DIGITS_MAX
    return -huge if digits.startswith("-") else huge


_read = json.JSONDecoder(parse_int=_integer).decode  # `json.loads` would make one for each event


def is_deep(value: bytes) -> bool:
    """Whether JSON is nested deeper than `DEPTH_MAX`; fast where there are few brackets."""
    if value.count(b"[") + value.count(b"{") <= DEPTH_MAX:
        return False
    depth = 0
    for match in _BRACKETS.finditer(value):
        token = match[0]
        if token in b"[{":
            depth += 1
            if depth > DEPTH_MAX:
                return True
        elif token in b"]}":
            depth -= 1
    return False


def one_line(text: str) -> str:
    """Make a text fit for a header or a log line: printable, one line, at most 200 characters."""
    clean = text[: DETAIL_CHARS_MAX + 1]
    if not clean.isprintable():
        clean = "".join(c if c.isprintable() else "?" for c in clean)
    return clean if len(clean) <= DETAIL_CHARS_MAX else clean[: DETAIL_CHARS_MAX - 3] + "..."


def in_words(error: BaseException) -> str:
    """What was raised, and what it says; an error of the user's may fail to say anything."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception as another:  # noqa: BLE001  # `__str__` is the user's code, as what raised is
        return f"{name} (its text cannot be had: {type(another).__name__})"


class Refused(Exception):
    """A jump out of the checks; whoever reads a record catches it."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def refuse(reason: Reason, detail: str) -> NoReturn:
    """Raises: Refused."""
    raise Refused(reason, detail)


def _unicode(text: str, what: str) -> None:
    r"""Refuse half of a surrogate pair ("\ud800"): JSON can hold it, but it is no Unicode text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        refuse(Reason.NOT_UTF8, f"{what} holds half a surrogate pair")


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {dict: "object", list: "array", str: "string", type(None): "null"}
    return names.get(type(value), "number")
