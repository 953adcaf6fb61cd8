"""Short words for the tests of decoding: documents in, events or reasons out."""

from typing import Any

from stream.core.event import Event, Kind, Reason, Rejection
from stream.core.formats.codec import Codec
from stream.core.spec import EventShape, Limits


def decode(value: bytes | str, kind: Kind = Kind.BINARY, **shape: Any) -> Event | Rejection:
    """Decode under the default limits."""
    raw = value.encode() if isinstance(value, str) else value
    return Codec(EventShape(**shape), Limits(), kind).decode(raw)


def accepted(value: bytes | str, kind: Kind = Kind.BINARY, **shape: Any) -> Event:
    """The event of a value that must be valid."""
    event = decode(value, kind, **shape)
    assert isinstance(event, Event), event
    return event


def reason(value: bytes | str | None, kind: Kind = Kind.BINARY, **shape: Any) -> Reason | None:
    """Why a value is refused; None if it is not."""
    raw = value.encode() if isinstance(value, str) else value
    found = Codec(EventShape(**shape), Limits(), kind).decode(raw)
    return found.reason if isinstance(found, Rejection) else None


def told(found: Event | Rejection) -> Any:
    """All that there is in an event, with types, order and the sign of zero."""
    if isinstance(found, Rejection):
        return found.reason, found.detail
    return [(name, repr(value)) for name, value in found.features.items()], repr(
        (found.id, found.label)
    )


def document(features: str = '{"a": 1}', **fields: str) -> str:
    """A document of JSON texts."""
    parts = {"features": features} | fields
    return "{" + ", ".join(f'"{name}": {text}' for name, text in parts.items()) + "}"
