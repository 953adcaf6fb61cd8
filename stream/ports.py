"""What the runtime needs of the outside world.

Adapters implement these ports; the contract suite holds them to it.

Two errors are in every docstring. `Retryable`: something outside of this process failed, and the
same call may work later. `Misconfigured`: it never will (permissions, unknown topic, old version).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Annotated, Protocol

import msgspec

from stream.core.event import ALWAYS, Channel, Headers, Output, Record
from stream.topic_settings import Accepts


class Committed(msgspec.Struct, frozen=True):
    """A committed offset: that of the next record to fold, and the line that we wrote beside it."""

    offset: int
    metadata: str


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


class TopicInfo(msgspec.Struct, frozen=True):
    """What a broker says of a topic.

    Attributes:
        topic_id: changes when a topic is deleted and made again; "" where the log has none.
        retention_ms: -1 = for ever; None where we may not ask.
        cleanup_policy: "delete", "compact" or both with a comma; None where we may not ask.
        accepts: which records it takes; None where we may not ask.
    """

    name: str
    topic_id: str
    partitions: int
    retention_ms: int | None = None
    cleanup_policy: str | None = None
    accepts: Accepts | None = None


class Topics(Protocol):
    """The pipeline's topics as an administrator sees them."""

    def describe(self, channels: Collection[Channel] = ALWAYS) -> dict[Channel, TopicInfo | None]:
        """What the broker says of some topics; None: it is missing.

        Raises: Retryable, Misconfigured.
        """
        ...

    def members(self) -> int:
        """How many members the pipeline's group has now; 0 where nobody may ask.

        Raises: Retryable, Misconfigured.
        """
        ...

    def create(
        self,
        channel: Channel,
        *,
        partitions: int,
        retention_ms: int,
        record_bytes_max: int | None = None,
    ) -> None:
        """Make a topic that takes any timestamp; does nothing if it is there.

        Args:
            channel: which of the four topics.
            partitions: how many it has.
            retention_ms: -1 = for ever.
            record_bytes_max: how large its records can be; None: the broker's own limit.

        Raises: Retryable, Misconfigured.
        """
        ...

    def widen(self, channel: Channel, *, partitions: int) -> None:
        """Give a topic so many partitions; does nothing if it has as many, or more.

        Raises: Retryable, Misconfigured.
        """
        ...

    def denied(self) -> list[str]:
        """What a worker must do, and this user or this client may not; one line each.

        []: nothing keeps a worker from its work.
        """
        ...

    def close(self) -> None:
        """Free everything; never hangs."""
        ...


class Feed(Protocol):
    """How an upstream appends events."""

    def send(
        self, value: bytes, *, key: bytes | None, timestamp_ms: int | None, headers: Headers = ()
    ) -> None:
        """Queue one event; blocks while the queue is full. Raises: Retryable, Misconfigured."""
        ...

    def flush(self, *, timeout_s: float) -> int:
        """Wait until every queued event is acknowledged.

        Returns: how many were acknowledged since this feed was made.
        Raises: Retryable: some were not; Misconfigured.
        """
        ...

    def close(self) -> None:
        """Free everything; never hangs."""
        ...


POSITION_MAX = 2**63 - 1
Position = Annotated[int, msgspec.Meta(ge=0, le=POSITION_MAX)]
SizeBytes = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
SavedAtMs = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]  # the year 9999
TopicId = Annotated[str, msgspec.Meta(max_length=64)]


class StoredSnapshot(msgspec.Struct, frozen=True):
    """What the store says of a snapshot: it is complete, and nobody has verified it yet.

    Whoever can write to the store may have written this. So each number has a bound, and decides
    only in which order snapshots are tried and removed.

    Attributes:
        n: the step of its fold, by which it is known: an offset comes again in a topic made again.
        next_offset: first offset not yet folded in.
        topic_id: the id of the events topic whose state it holds; "" where that is not known.
    """

    n: Position
    next_offset: Position
    size_bytes: SizeBytes
    saved_at_ms: SavedAtMs
    topic_id: TopicId = ""


Measure = Callable[[bytes], int]
"""Says how long a stored snapshot is, by its first `START_BYTES_MAX` bytes, or by all of it.
Where it raises, no more is read, and `load` raises the same."""


class SnapshotStore(Protocol):
    """Sealed snapshots of one pipeline, by partition and step: a cache, it may lose any of them.

    Anybody may have written to it: a snapshot that is not as it should be counts as lost.
    `BadInput` says that more than one snapshot is; the caller goes on without them.
    """

    def stored(self, partition: int) -> list[StoredSnapshot]:
        """The complete snapshots, the highest n first.

        Raises: Retryable, Misconfigured, BadInput.
        """
        ...

    def load(self, partition: int, n: int, measure: Measure) -> bytes | None:
        """The sealed bytes, as many as `measure` says; None: some of them are lost.

        Takes seconds, and longer where a slow network needs longer for so many bytes.

        Raises: what `measure` raises; Retryable, Misconfigured, BadInput.
        """
        ...

    def save(
        self, partition: int, n: int, sealed: bytes, *, next_offset: int, topic_id: str = ""
    ) -> None:
        """Store a snapshot; `stored` shows it only when it is complete.

        Raises: Retryable, Misconfigured, BadInput.
        """
        ...

    def remove(self, partition: int, n: int) -> None:
        """Remove a snapshot, if it is there. Raises: Retryable, Misconfigured, BadInput."""
        ...

    def close(self) -> None:
        """Free everything; never hangs."""
        ...


class Clock(Protocol):
    """Time, so that the simulation can own it."""

    def monotonic(self) -> float:
        """Seconds that never go back, for intervals and deadlines."""
        ...

    def now_ms(self) -> int:
        """Milliseconds since 1970, for people; nothing in the fold is decided by them."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; a stop signal ends it early."""
        ...
