"""A pickled state whose large parts stand beside it, shared and not copied.

The segments of events that wait for their labels never change, so that many payloads hold the same
bytes; a store gets each of them once. Where a payload goes alone, it is written as a `whole`.
"""

import hashlib
from collections.abc import Mapping
from typing import Final, Self

import msgspec

_WHOLE: Final = b"SFW1"
"""What a whole begins with; a pickle begins otherwise."""


class Payload(bytes):
    """A pickled state. It is bytes: most who handle states know none that have segments.

    Attributes:
        segments: what belongs to it, by the names that it holds.
    """

    segments: Mapping[str, bytes]

    def __new__(cls, pickled: bytes, segments: Mapping[str, bytes] | None = None) -> Self:
        """Bytes are made here; without segments where one is unpickled, which then adds them."""
        made = super().__new__(cls, pickled)
        made.segments = segments or {}
        return made


def name_of(segment: bytes | bytearray) -> str:
    """What a segment is known by: a digest of its bytes."""
    return hashlib.blake2b(segment, digest_size=16).hexdigest()


def segments_of(payload: bytes) -> Mapping[str, bytes]:
    """What belongs to a payload."""
    return payload.segments if isinstance(payload, Payload) else {}


def joined(pickled: bytes, segments: Mapping[str, bytes]) -> bytes:
    """A pickled state and what belongs to it."""
    return Payload(pickled, segments) if segments else pickled


def whole(payload: bytes) -> bytes:
    """A payload with all that belongs to it, as one piece of bytes."""
    segments = segments_of(payload)
    if not segments:
        return bytes(payload)
    return _WHOLE + msgspec.msgpack.encode((bytes(payload), segments))


def parted(written: bytes) -> bytes:
    """What `whole` has written; it was verified, and so is one of ours."""
    if not written.startswith(_WHOLE):
        return written
    of = tuple[bytes, dict[str, bytes]]
    return Payload(*msgspec.msgpack.decode(written[len(_WHOLE) :], type=of))
