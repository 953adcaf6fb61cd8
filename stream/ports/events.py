"""The log: a member of the group, a reader from outside, and an upstream."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from stream.core.event import Channel, Headers, Output, Record


class Committed(msgspec.Struct, frozen=True):
    """A committed offset: that of the next record to fold, and the line that we wrote beside it.

    Attributes:
        others: in a commit: the same of other topics that moved, for tools that show a lag. What
            counts is in the metadata, and nobody reads these back.
    """

    offset: int
    metadata: str
    others: Mapping[Channel, int] = {}


class Bounds(msgspec.Struct, frozen=True):
    """The range of a partition that can be read.

    Attributes:
        start: the first offset that the log still holds.
        end: the offset after the last stable record.
    """

    start: int
    end: int


class Polled(msgspec.Struct, frozen=True):
    """What one poll gave.

    Attributes:
        records: the new ones by partition, in the order of their offsets; a partition has none
            before `seek` was called on it.
        revoked: partitions lost since the last poll; apply these before `assigned`.
        assigned: partitions gained. One that is in both was lost and won back: its uncommitted
            work must be dropped.
        positions: after a poll without records: the next offset of each assigned partition, if the
            log knows it. Every record below was delivered; transaction markers never are.
    """

    records: Mapping[int, Sequence[Record]]
    revoked: frozenset[int] = frozenset()
    assigned: frozenset[int] = frozenset()
    positions: Mapping[int, int] = msgspec.field(default_factory=dict)


class Log(Protocol):
    """A member of the group: how a worker reads events, and makes their outcomes durable."""

    def poll(self, *, timeout_s: float, records_max: int) -> Polled:
        """Wait for records or for a change of assignment; the only call in which one can happen.

        Raises:
            Retryable: nothing is lost, records and rebalance come with the next poll.
            Misconfigured: it will never work.
            Fenced: another process took our instance name.
            LogLost: the log no longer holds the next offset of a partition.
        """
        ...

    def seek(self, partition: int, offset: int) -> None:
        """Deliver an assigned partition from `offset` on.

        Raises: Retryable: the partition goes on from where it was, which may be behind `offset`.
        """
        ...

    def pause(self, partition: int) -> None:
        """Deliver nothing more of an assigned partition until the next `seek` on it."""
        ...

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """Publish `outputs` and move the committed offsets, all or nothing (exactly-once).

        With at-least-once the outputs are durable before the offsets move. On return both are.

        Raises:
            CommitLost: nobody knows if it took effect. Ask `committed`; drop what is ahead of it.
            Fenced: another process took our instance name; stop.
            Misconfigured: not permitted, topic missing.
        """
        ...

    def committed(self, partitions: Collection[int]) -> dict[int, Committed]:
        """The committed offsets; first any unfinished transaction of ours is ended.

        Partitions without one are left out. Raises: Retryable, Fenced, Misconfigured.
        """
        ...

    def close(self) -> None:
        """Leave the group (unless the membership is static) and free everything; never hangs."""
        ...


class Reader(Protocol):
    """The topics of a pipeline as any outsider with `read_committed` sees them."""

    def bounds(self, channel: Channel, partition: int) -> Bounds:
        """The stable range of a partition. Raises: Retryable, Misconfigured."""
        ...

    def read(
        self, channel: Channel, partition: int, start: int, stop: int
    ) -> Iterator[Sequence[Record]]:
        """Committed records with start <= offset < stop, in batches.

        It ends at `stop`, even if no record has that offset. Each batch comes within seconds, or
        the call raises; an empty batch says that it still waits.

        Raises: LogLost: `start` lies before the log's start; Retryable, Misconfigured.
        """
        ...

    def committed(self) -> dict[int, Committed]:
        """The group's committed offsets (also while its workers run)."""
        ...

    def close(self) -> None:
        """Free everything; never hangs."""
        ...


class Feed(Protocol):
    """How an upstream appends records to one topic: events, or what else comes from outside."""

    def send(
        self,
        value: bytes,
        *,
        key: bytes | None,
        timestamp_ms: int | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> None:
        """Queue one record; blocks while the queue is full.

        Args:
            value: the record's.
            key: decides the partition where none is given.
            timestamp_ms: None: now.
            headers: the record's.
            partition: the one that gets it, whatever the key is; None: the key's, and without a
                key any.

        Raises: Retryable; Misconfigured: also of a partition that is not there, which may come as
            late as `flush`.
        """
        ...

    def flush(self, *, timeout_s: float) -> int:
        """Wait until every queued record is acknowledged.

        Returns: how many were acknowledged since this feed was made.
        Raises: Retryable: some were not; Misconfigured.
        """
        ...

    def close(self) -> None:
        """Free everything; never hangs."""
        ...
