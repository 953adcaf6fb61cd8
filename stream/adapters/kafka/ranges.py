"""A range of a partition's records, read by position: the same with every client of Kafka."""

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from stream.core.event import Channel, Record
from stream.errors import LogLost, Retryable
from stream.ports import Bounds

STALL_S = 10.0
"""A range that gets nothing for this long asks whether there is something to get."""


class Source(Protocol):
    """What a range is read from."""

    def bounds(self, channel: Channel, partition: int) -> Bounds:
        """See `Reader.bounds`."""

    def next_batch(self, wanted: "Range") -> list[Record]:
        """The next records of a range; moves its position. Raises: as `Reader.read`."""


class Range:
    """Records with position <= offset < stop, in batches; of several, any one may be read next.

    Args:
        source: moves `position` on as it gives batches.
        topic: the channel's name, for messages.
        channel: the topic's role.
        partition: of the topic.
        position: where to begin.
        stop: the first offset not wanted.
    """

    def __init__(
        self,
        source: Source,
        *,
        topic: str,
        channel: Channel,
        partition: int,
        position: int,
        stop: int,
    ) -> None:
        self._source = source
        self._where = f"{topic}-{partition}"
        self._begun = False
        self._stalled_at = 0.0
        self.channel = channel
        self.partition = partition
        self.position = position
        self.stop = stop

    def __iter__(self) -> Iterator[Sequence[Record]]:
        return self

    def __next__(self) -> Sequence[Record]:
        # By position, never by "saw stop - 1": the last offsets may be a transaction's marker.
        if self.position >= self.stop:
            raise StopIteration
        if not self._begun:
            self._begin()
        before = self.position
        batch = self._source.next_batch(self)
        now = time.monotonic()
        if self.position > before:
            self._stalled_at = now + STALL_S
        elif now > self._stalled_at:
            self._stalled_at = now + STALL_S
            if self._source.bounds(self.channel, self.partition).end > self.position:
                raise Retryable(f"{self._where}: nothing came after offset {self.position}")
        return batch

    def _begin(self) -> None:
        """Make sure that the log still holds the first offset. Raises: LogLost."""
        start = self._source.bounds(self.channel, self.partition).start
        if self.position < start:
            raise LogLost(
                f"{self._where}: offset {self.position} is asked for, the log starts at {start}: "
                "retention has taken what lies before"
            )
        self._stalled_at = time.monotonic() + STALL_S
        self._begun = True
