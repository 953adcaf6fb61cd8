"""Bytes to an event or a rejection. Decoding *is* the validation.

The fast way is one pass of msgspec over a type that states every limit. What it refuses goes to
`stream.core.formats.checks`, which finds the reason, or finds that nothing was wrong after all: of
a duplicate key, for example, only the last counts.
"""

from collections.abc import Callable
from functools import cache, cached_property
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from stream.core import problems
from stream.core.event import Event, Kind, Rejection
from stream.core.formats.checks import ID_MAX, ID_MIN, Checks, is_deep
from stream.core.formats.demands import Misfit, demands
from stream.core.spec import WEIGHT_MAX, EventShape, Limits

_INT64_MAX = 2**63 - 1
_NAMES_MAX = 10_000  # how many checked names are remembered; then the memory starts over


class Codec:
    """Decodes one pipeline's events; built once from its configuration.

    Args:
        shape: where an event's parts are.
        limits: how large they may be.
        kind: the model's kind; it decides which labels fit.

    >>> codec = Codec(EventShape(), Limits(), Kind.BINARY)
    >>> codec.decode(b'{"features": {"amount": 3.5}, "label": true}').features
    {'amount': 3.5}
    >>> codec.decode(b'oops').reason
    <Reason.NOT_JSON: 'not_json'>
    """

    def __init__(self, shape: EventShape, limits: Limits, kind: Kind) -> None:
        self._checks = Checks(shape, limits, kind)
        self._bytes_max = limits.value_bytes_max
        self._name_chars_max = limits.name_chars_max
        self._read = _flat(shape, limits, kind) if shape.flat else _nested(shape, limits, kind)
        self._arguments = shape, limits, kind
        self._features_max = limits.features_max
        self._drops_nulls = shape.missing == "absent" and not shape.flat
        self._names: set[str] = set()  # names that were short enough; a cache, so it may forget
        self._has_positive = self._checks.has_positive
        self._misfit = demands(shape)
        if self._misfit is not None:
            self._read = _demanding(self._read, self._misfit)
        # Whatever a reader skips may be nested at any depth.
        self._skips = shape.flat or bool(shape.ignore) or shape.extra == "ignore"

    def decode(self, value: bytes | None) -> Event | Rejection:
        """Parse one record's value; never raises on bad data.

        Args:
            value: UTF-8 JSON of the shape and within the limits given at construction.

        Returns:
            The event, its numbers as the JSON types had them; or the reason why it was refused.
        """
        if value is None or len(value) > self._bytes_max or (self._skips and is_deep(value)):
            return self._checks.decode(value)
        try:
            # msgspec does not look into what it skips, so a stray byte there must be found here.
            if not value.isascii():
                value.decode()
            event = self._read(value)
        except UnicodeDecodeError:
            return self._checks.decode(value)
        except msgspec.DecodeError:
            sparse = self._sparse(value)
            if sparse is None:
                return self._checks.decode(value)
            event = sparse
        if not self._names.issuperset(event.features) and not self._short(event.features):
            return self._checks.decode(value)
        if event.id.__class__ is int:
            if not ID_MIN <= event.id <= ID_MAX:
                return self._checks.decode(value)
            self._checks.finish(event)
        elif self._has_positive:
            self._checks.finish(event)
        return event

    @cached_property  # a type of its own, which most streams never need
    def _read_nulls(self) -> Callable[[bytes], Event]:
        return _nested(*self._arguments, with_nulls=True)

    def _sparse(self, value: bytes) -> Event | None:
        """Read an event without those features that are null; None: it is not plainly valid.

        It is tried only after the type without nulls was refused, so other events pay nothing.
        """
        if not self._drops_nulls or b"null" not in value:
            return None
        try:
            event = self._read_nulls(value)
        except msgspec.DecodeError:
            return None
        event.features = {k: v for k, v in event.features.items() if v is not None}
        if self._misfit is not None and self._misfit(event.features):
            return None
        return event if 1 <= len(event.features) <= self._features_max else None

    def _short(self, features: dict[str, Any]) -> bool:
        # Not a part of the type: with limits on keys, msgspec makes new strings for each event.
        if max(map(len, features)) > self._name_chars_max:
            return False
        if len(self._names) > _NAMES_MAX:
            self._names.clear()
        self._names.update(features)
        return True


def _types(limits: Limits) -> tuple[Any, Any, Any]:
    """The types of a whole number, of any number and of a string within the limits."""
    high = limits.magnitude_max
    most = min(int(high), _INT64_MAX)  # msgspec takes no longer bounds; the checks know the rest
    whole = Annotated[int, Meta(ge=-most, le=most)]
    number = whole | Annotated[float, Meta(ge=-high, le=high)]
    return whole, number, Annotated[str, Meta(max_length=limits.string_chars_max)]


@cache  # a type made at run time costs more than all else that a task is made of
def _nested(
    shape: EventShape, limits: Limits, kind: Kind, *, with_nulls: bool = False
) -> Callable[[bytes], Event]:
    """Reads events whose features are an object of their own; raises on all not plainly valid.

    Features may be null only if `with_nulls`; then their number is not looked at.
    """
    whole, number, text = _types(limits)
    features: Any = Annotated[
        dict[str, number | text | bool],  # type: ignore[valid-type]  # made of values
        Meta(min_length=1, max_length=limits.features_max),
    ]
    if with_nulls:
        features = dict[str, number | text | bool | None]  # type: ignore[valid-type]  # as above
    types = {bool: bool, int: whole, float: number, str: text}
    label: Any = None
    for each in problems.label_types(kind, shape):
        label = types[each] if label is None else label | types[each]
    label = label | None
    names = {"features": shape.features, "id": shape.id, "label": shape.label}
    weight: list[Any] = []
    if shape.weight:
        weight = [("weight", Annotated[float, Meta(ge=0, le=WEIGHT_MAX)] | None, None)]
        names["weight"] = shape.weight
    dropped = {f"ignored_{i}": field for i, field in enumerate(sorted(shape.ignore))}
    try:
        wire = msgspec.defstruct(
            "WireEvent",
            [
                ("features", features),
                ("id", text | int | None, None),
                ("label", label, None),
                *weight,
                *((name, msgspec.Raw, msgspec.Raw()) for name in dropped),
            ],
            bases=(Event,),
            kw_only=True,
            gc=False,
            rename=names | dropped,
            forbid_unknown_fields=shape.extra == "refuse",
        )
    except ValueError:  # a quote, backslash or control character in a field's name
        return _not_plain
    read: Any = msgspec.json.Decoder(wire).decode
    return read  # type: ignore[no-any-return]  # `wire` is an Event


def _flat(shape: EventShape, limits: Limits, kind: Kind) -> Callable[[bytes], Event]:
    """Reads events whose features are the other top-level fields; raises as `_nested` does."""
    _, number, text = _types(limits)
    scalars = dict[str, number | text | bool | None]  # type: ignore[valid-type]  # made of values
    decode: Any = msgspec.json.Decoder(scalars).decode
    labels = frozenset((*problems.label_types(kind, shape), type(None)))
    ids = frozenset((str, int, type(None)))
    ignored = tuple(shape.ignore)

    def read(value: bytes) -> Event:
        features = decode(value)
        event_id = features.pop(shape.id, None)
        label = features.pop(shape.label, None)
        weight: Any = features.pop(shape.weight, None) if shape.weight else None
        for field in ignored:
            features.pop(field, None)
        if None in features.values():
            if shape.missing == "refuse":
                return _not_plain(value)
            features = {k: v for k, v in features.items() if v is not None}
        plain = (
            1 <= len(features) <= limits.features_max
            and event_id.__class__ in ids
            and label.__class__ in labels
            and (weight is None or _is_weight(weight))
        )
        if not plain:
            return _not_plain(value)
        return Event(features=features, id=event_id, label=label, weight=weight)

    return read


def _demanding(read: Callable[[bytes], Event], misfit: Misfit) -> Callable[[bytes], Event]:
    """Reads events as `read` does; raises on those that a pipeline's demands refuse, too."""

    def demanding(value: bytes) -> Event:
        event = read(value)
        return _not_plain(value) if misfit(event.features) else event

    return demanding


def _is_weight(value: Any) -> bool:
    return value.__class__ in (int, float) and 0 <= value <= WEIGHT_MAX


def _not_plain(_value: bytes) -> Event:
    raise msgspec.DecodeError("not plainly valid")
