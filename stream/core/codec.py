"""Bytes to an event or a rejection, and outputs to bytes. Decoding *is* the validation.

The fast way is one pass of msgspec over a type that states every limit. What it refuses goes the slow
way (the standard library's parser), which finds the reason, or finds that nothing was wrong after all:
of a duplicate key only the last counts.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, NoReturn

import msgspec
from msgspec import Meta

from stream.core.event import Event, Kind, Reason, Rejection
from stream.core.spec import EventShape, Limits

DETAIL_CHARS_MAX = 200
"""Details travel in a header and in logs: short, and one line."""


class Codec:
    """Decodes one pipeline's events; built once from its configuration.

    >>> codec = Codec(EventShape(), Limits(), Kind.BINARY)
    >>> codec.decode(b'{"features": {"amount": 3.5}, "label": true}').features
    {'amount': 3.5}
    >>> codec.decode(b'oops').reason
    <Reason.NOT_JSON: 'not_json'>
    """

    def __init__(self, shape: EventShape, limits: Limits, kind: Kind) -> None:
        self._shape = shape
        self._limits = limits
        self._kind = kind
        self._value_bytes_max = limits.value_bytes_max
        self._decode = _fast_decoder(shape, limits, kind)
        self._positive = shape.positive is not None and kind in (Kind.BINARY, Kind.MULTICLASS)

    def decode(self, value: bytes | None) -> Event | Rejection:
        """Parse one record's value; never raises on bad data.

        Args:
            value: UTF-8 JSON of the shape and within the limits given at construction.

        Returns:
            The event, its numbers as the JSON types had them; or the reason why it was refused.
        """
        if value is None or len(value) > self._value_bytes_max:
            return self._explain(value)
        try:
            # msgspec does not look into what it skips, so a stray byte there must be found here.
            if not value.isascii():
                value.decode()
            event = self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._explain(value)
        return self._finish(event)

    def _finish(self, event: Event) -> Event:
        if event.id.__class__ is int:
            event.id = str(event.id)
        if self._positive and event.label is not None:
            event.label = is_positive(event.label, self._shape.positive)
        return event

    def _explain(self, value: bytes | None) -> Event | Rejection:
        try:
            return self._finish(_Slow(self._shape, self._limits, self._kind).decode(value))
        except _Refused as refused:
            return Rejection(refused.reason, one_line(refused.detail))


def is_positive(label: Any, positive: Any) -> bool:
    """Whether a label is the configured positive value; 1, "1" and 1.0 are the same to a CSV."""
    return bool(label == positive) or str(label) == str(positive)


def one_line(text: str) -> str:
    """Fit for a header or a log line: printable, no line breaks, at most 200 characters."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return clean if len(clean) <= DETAIL_CHARS_MAX else clean[: DETAIL_CHARS_MAX - 3] + "..."


def _fast_decoder(shape: EventShape, limits: Limits, kind: Kind) -> Any:
    """A function bytes -> Event that raises on anything not plainly valid."""
    high = limits.magnitude_max
    name = Annotated[str, Meta(max_length=limits.name_chars_max)]
    text = Annotated[str, Meta(max_length=limits.string_chars_max)]
    number = Annotated[float, Meta(ge=-high, le=high)]
    whole = Annotated[int, Meta(ge=-int(high), le=int(high))]
    features = dict[name, number | whole | text | bool]  # type: ignore[valid-type]  # a type made of values
    if shape.flat:
        # Which fields are features is known only after id and label were taken out.
        decode = msgspec.json.Decoder(dict[str, Any]).decode
        slow = _Slow(shape, limits, kind)

        def flat(value: bytes) -> Event:
            try:
                return slow.event(decode(value))
            except _Refused as refused:
                raise msgspec.DecodeError(refused.detail) from refused

        return flat
    if shape.ignore:
        # A closed list of fields that are dropped: accepted by name, never looked at.
        ignored = [(f"ignored_{i}", msgspec.Raw, msgspec.Raw()) for i in range(len(shape.ignore))]
        renamed = {f"ignored_{i}": field for i, field in enumerate(sorted(shape.ignore))}
    else:
        ignored, renamed = [], {}
    label: Any = {
        Kind.BINARY: bool | None,
        Kind.MULTICLASS: bool | whole | text | None,
        Kind.REGRESSION: whole | number | None,
        Kind.ANOMALY: bool | whole | number | text | None,
    }[kind]
    if shape.positive is not None and kind in (Kind.BINARY, Kind.MULTICLASS):
        label = bool | whole | number | text | None
    wire = msgspec.defstruct(
        "WireEvent",
        [
            ("features", Annotated[features, Meta(min_length=1, max_length=limits.features_max)]),
            ("id", text | int | None, None),
            ("label", label, None),
            *ignored,
        ],
        bases=(Event,),
        kw_only=True,
        gc=False,
        rename={"features": shape.features, "id": shape.id, "label": shape.label, **renamed},
        forbid_unknown_fields=shape.extra == "refuse",
    )
    return msgspec.json.Decoder(wire).decode


class _Refused(Exception):  # noqa: N818  # a jump out of the checks below, never seen outside
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def _refuse(reason: Reason, detail: str) -> NoReturn:
    raise _Refused(reason, detail)


class _Slow:
    """The checks one by one, in the order in which a reader would want to be told."""

    def __init__(self, shape: EventShape, limits: Limits, kind: Kind) -> None:
        self._shape = shape
        self._limits = limits
        self._kind = kind
        self._own = frozenset((shape.id, shape.label))

    def decode(self, value: bytes | None) -> Event:
        if value is None:
            _refuse(Reason.NOT_JSON, "no value (a tombstone)")
        if len(value) > self._limits.value_bytes_max:
            most = self._limits.value_bytes_max
            _refuse(Reason.TOO_LARGE, f"{len(value)} bytes, more than {most}")
        try:
            text = value.decode()
        except UnicodeDecodeError as error:
            _refuse(Reason.NOT_UTF8, f"byte {error.start} is no UTF-8")
        try:
            # It accepts NaN, Infinity and 1e400, which is how `not_finite` is told from `not_json`.
            document = json.loads(text)
        except RecursionError:
            _refuse(Reason.NOT_JSON, "nested too deeply")
        except ValueError as error:  # JSONDecodeError, or an integer of over 4,300 digits
            _refuse(Reason.NOT_JSON, str(error))
        if not isinstance(document, dict):
            _refuse(Reason.NOT_AN_OBJECT, f"a JSON {_json_type(document)}")
        return self.event(document)

    def event(self, document: dict[str, Any]) -> Event:
        """An event of a decoded object. Raises: _Refused."""
        shape = self._shape
        if shape.flat:
            features = {
                k: v for k, v in document.items() if k not in self._own and k not in shape.ignore
            }
        else:
            if shape.extra == "refuse":
                self._known_fields(document)
            features = document.get(shape.features)
            if not isinstance(features, dict):
                found = "absent" if features is None else f"a JSON {_json_type(features)}"
                _refuse(Reason.MISSING_FEATURES, f'"{shape.features}" is {found}, not an object')
        if not features:
            _refuse(Reason.MISSING_FEATURES, "no features")
        most = self._limits.features_max
        if len(features) > most:
            _refuse(Reason.TOO_MANY_FEATURES, f"{len(features)} features, more than {most}")
        for name, feature in features.items():
            self._feature(name, feature)
        self._id(document.get(shape.id))
        label = document.get(shape.label)
        if label is not None:
            self._label(label)
        return Event(features=features, id=document.get(shape.id), label=label)

    def _known_fields(self, document: Mapping[str, Any]) -> None:
        shape = self._shape
        for field in document:
            if field not in self._own and field != shape.features and field not in shape.ignore:
                _refuse(Reason.UNKNOWN_FIELD, f'"{field}" at the top level')

    def _feature(self, name: str, value: Any) -> None:
        limits = self._limits
        if len(name) > limits.name_chars_max:
            most = limits.name_chars_max
            _refuse(Reason.BAD_FEATURE, f"a name of {len(name)} characters, more than {most}")
        _unicode(name, "a feature's name")
        if isinstance(value, bool):
            return
        if isinstance(value, int | float):
            self._number(value, f'feature "{name}"')
        elif isinstance(value, str):
            if len(value) > limits.string_chars_max:
                _refuse(
                    Reason.BAD_FEATURE,
                    f'feature "{name}": {len(value)} characters, more than '
                    f"{limits.string_chars_max}",
                )
            _unicode(value, f'feature "{name}"')
        else:
            _refuse(Reason.BAD_FEATURE, f'feature "{name}" is a JSON {_json_type(value)}')

    def _number(self, value: float, what: str) -> None:
        if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124  # NaN
            _refuse(Reason.NOT_FINITE, f"{what} is {value}")
        most = self._limits.magnitude_max
        if not -most <= value <= most:
            _refuse(Reason.OUT_OF_RANGE, f"{what} is beyond ±{most:g}")

    def _id(self, value: Any) -> None:
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return
        if not isinstance(value, str):
            _refuse(Reason.BAD_FEATURE, f'"{self._shape.id}" is a JSON {_json_type(value)}')
        if len(value) > self._limits.string_chars_max:
            most = self._limits.string_chars_max
            _refuse(Reason.BAD_FEATURE, f'"{self._shape.id}": {len(value)} characters over {most}')
        _unicode(value, f'"{self._shape.id}"')

    def _label(self, label: Any) -> None:
        if isinstance(label, dict | list):
            _refuse(Reason.BAD_LABEL, f"a JSON {_json_type(label)}")
        if isinstance(label, str):
            if len(label) > self._limits.string_chars_max:
                _refuse(Reason.BAD_LABEL, f"{len(label)} characters")
            _unicode(label, "the label")
        if isinstance(label, int | float) and not isinstance(label, bool):
            self._number(label, "the label")
        if self._kind is Kind.ANOMALY:
            return
        if self._kind is Kind.REGRESSION:
            if isinstance(label, bool | str):
                _refuse(Reason.BAD_LABEL, f"a JSON {_json_type(label)}; a regressor needs a number")
        elif self._shape.positive is not None:
            return
        elif self._kind is Kind.BINARY:
            if not isinstance(label, bool):
                _refuse(
                    Reason.BAD_LABEL,
                    f"a JSON {_json_type(label)}; this model knows true and false "
                    "(events.positive names another value for true)",
                )
        elif isinstance(label, float):
            _refuse(Reason.BAD_LABEL, "a fraction; a class is a string, bool or integer")


def _unicode(text: str, what: str) -> None:
    r"""Half of a surrogate pair ("\ud800") is a JSON string that is no Unicode text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse(Reason.NOT_UTF8, f"{what} holds half a surrogate pair")


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {dict: "object", list: "array", str: "string", type(None): "null"}
    return names.get(type(value), "number")
