"""The end of a topic's partition: its last records, found without reading all of it."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from stream.core.event import Channel, Record
from stream.ports import Reader

T = TypeVar("T")

SPANS = (2_500, 25_000)
"""Offsets to look back over, in turn: up to half of them may be transactions' markers."""


def last(
    reader: Reader,
    channel: Channel,
    partition: int,
    *,
    n: int,
    take: Callable[[Record], T | None],
    spans: Sequence[int] = SPANS,
) -> list[T]:
    """What `take` makes of the last records, at most `n`, oldest first; None is passed over.

    Those that lie further back than the last of `spans` (in offsets) are not found.

    Raises: Retryable, Misconfigured, LogLost.
    """
    bounds = reader.bounds(channel, partition)
    found: list[T] = []
    for span in spans:
        start = max(bounds.start, bounds.end - span)
        records = records_in(reader, channel, partition, start, bounds.end)
        found = [taken for record in records if (taken := take(record)) is not None]
        if len(found) >= n or start == bounds.start:
            break
    return found[-n:]


def records_in(
    reader: Reader, channel: Channel, partition: int, start: int, stop: int
) -> Iterator[Record]:
    """Records with start <= offset < stop, one by one. Raises: as `Reader.read`."""
    for batch in reader.read(channel, partition, start, stop):
        yield from batch
