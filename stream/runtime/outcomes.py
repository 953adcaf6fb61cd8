"""How far a partition's outcomes reach, told by what was published of them."""

import msgspec

from stream.core.event import Channel, Record
from stream.core.quarantine import parse
from stream.ports import Reader
from stream.runtime import recent


class _Prediction(msgspec.Struct):
    offset: int


def next_offset(reader: Reader, partition: int) -> int | None:
    """The first offset of the events after all that have an outcome; None if none has one.

    Outputs and offsets are committed together, so this and the committed offset differ by no more
    than offsets without a record.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    found = [
        offset + 1
        for channel in (Channel.PREDICTIONS, Channel.QUARANTINE)
        for offset in recent.last(reader, channel, partition, n=1, take=event_offset)
    ]
    return max(found, default=None)


def event_offset(record: Record) -> int | None:
    """The offset of the event that an output tells of; None if it is no output of ours."""
    refused = parse(record)  # a sender may have used our headers' names too
    if refused is not None:
        return refused.offset
    try:
        return msgspec.json.decode(record.value or b"", type=_Prediction).offset
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
