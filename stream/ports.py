"""What the runtime needs of the outside world.

Adapters implement these ports; the contract suite holds them to it.

Two words in every docstring: `Retryable` means the world failed and the same call may work later;
`Misconfigured` means that it never will (permissions, unknown topic, wrong version).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Annotated, Protocol

import msgspec

from stream.core.event import Channel, Headers, Output, Record
from stream.topic_settings import Accepts


class Committed(msgspec.Struct, frozen=True):
    """A committed offset: the first one not yet folded in, and what we wrote beside it."""

    offset: int
    metadata: str


class Bounds(msgspec.Struct, frozen=True):
    """`start`: first offset the log still holds; `end`: the one after the last stable record."""

    start: int
    end: int


class Polled(msgspec.Struct, frozen=True):
    """What one poll gave.

    Attributes:
        records: by partition, in offset order; only of partitions that were told to `seek`.
        revoked: partitions lost since the last poll; apply these before `assigned`.
        assigned: partitions gained. None of their records comes before `seek` was called on them.
            A partition in both was lost and won back: its uncommitted work must be dropped.
        positions: after a poll without records: where each assigned partition stands, if the log
            knows; offsets below hold no record that was not delivered (they may be markers).
    """

    records: Mapping[int, Sequence[Record]]
    revoked: frozenset[int] = frozenset()
    assigned: frozenset[int] = frozenset()
    positions: Mapping[int, int] = msgspec.field(default_factory=dict)


class Log(Protocol):
    """The group member and its writer: how a worker reads events and makes its outcome durable."""

    def poll(self, *, timeout_s: float, records_max: int) -> Polled:
        """Wait for records or for a change of assignment; the only call in which one can happen.

        Raises: Retryable: nothing is lost by it, neither records nor what a rebalance did: they
            come with the next poll; Misconfigured; Fenced: another process took our instance
            name; LogLost: the log no longer holds the offset that a partition stands at.
        """
        ...

    def seek(self, partition: int, offset: int) -> None:
        """Deliver an assigned partition from `offset` on.

        Raises: Retryable: it goes on from where it stood, which may be behind `offset`.
        """
        ...

    def pause(self, partition: int) -> None:
        """Deliver nothing more of an assigned partition until the next `seek` on it."""
        ...

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """Publish `outputs` and move the committed offsets, all or nothing (exactly-once).

        With at-least-once the outputs are durable before the offsets move. On return both are.

        Raises:
            CommitLost: nobody knows if it took effect: ask `committed`, drop what is ahead of it.
            Fenced: another process took our instance name; stop.
            Misconfigured: not permitted, topic missing.
        """
        ...

    def committed(self, partitions: Collection[int]) -> dict[int, Committed]:
        """The committed offsets, after any unfinished transaction of ours was ended.

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
        """Committed records with start <= offset < stop, in batches; ends at `stop` over any gap.

        Each batch comes within seconds or raises; an empty batch means: still waiting.

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

    def describe(self) -> dict[Channel, TopicInfo | None]:
        """All four; None for a missing one. Raises: Retryable, Misconfigured."""
        ...

    def create(
        self,
        channel: Channel,
        *,
        partitions: int,
        retention_ms: int,
        record_bytes_max: int | None = None,
    ) -> None:
        """Make a topic that takes any timestamp; fine if it is there.

        Args:
            channel: whose topic.
            partitions: how many.
            retention_ms: -1 = for ever.
            record_bytes_max: how large its records can be; None: the broker's own limit.

        Raises: Retryable, Misconfigured.
        """
        ...

    def widen(self, channel: Channel, *, partitions: int) -> None:
        """Give a topic so many partitions; fine if it has as many, or more.

        Raises: Retryable, Misconfigured.
        """
        ...

    def denied(self) -> list[str]:
        """What this user, or this client here, may not do of what a worker must, one line each.

        [] = nothing stands in a worker's way.
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
        """Wait until every queued event is acknowledged; how many were since the start.

        Raises: Retryable: some were not; Misconfigured.
        """
        ...

    def close(self) -> None:
        """Free everything; never hangs."""
        ...


SizeBytes = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
SavedAtMs = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]  # the year 9999
TopicId = Annotated[str, msgspec.Meta(max_length=64)]


class StoredSnapshot(msgspec.Struct, frozen=True):
    """One entry of the index: complete, though not yet verified.

    Whoever can write to the store may have written it, so each number has a bound, and nothing is
    decided by any of it but in which order snapshots are tried and removed.

    Attributes:
        topic_id: of the events topic that it is of; "" where that is not known.
    """

    next_offset: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    size_bytes: SizeBytes
    saved_at_ms: SavedAtMs
    topic_id: TopicId = ""


Measure = Callable[[bytes], int]
"""Gets the first `START_BYTES_MAX` bytes of what is stored as a snapshot, or all of it; says how
long the whole is, or raises: then no more of it is read, and what it raised goes through."""


class SnapshotStore(Protocol):
    """Sealed snapshots of one pipeline, by partition and offset: a cache, it may forget any.

    What stands in it may be anybody's: whatever is wrong of it is as good as gone. `BadInput` says
    that more than one snapshot is; the caller goes on without them.
    """

    def stored(self, partition: int) -> list[StoredSnapshot]:
        """The complete ones, newest offset first. Raises: Retryable, Misconfigured, BadInput."""
        ...

    def load(self, partition: int, next_offset: int, measure: Measure) -> bytes | None:
        """The sealed bytes, as many as `measure` says; None if any of them is gone.

        Takes seconds, and as many more as a slow network needs for so many bytes.

        Raises: what `measure` raises; Retryable, Misconfigured, BadInput.
        """
        ...

    def save(self, partition: int, next_offset: int, sealed: bytes, *, topic_id: str = "") -> None:
        """Store; visible in `stored` only when whole.

        Raises: Retryable, Misconfigured, BadInput.
        """
        ...

    def remove(self, partition: int, next_offset: int) -> None:
        """Forget one; fine if it is gone. Raises: Retryable, Misconfigured, BadInput."""
        ...

    def close(self) -> None:
        """Free everything; never hangs."""
        ...


class Clock(Protocol):
    """Time, so that the simulation can own it."""

    def monotonic(self) -> float:
        """Seconds that never go back; for intervals and deadlines."""
        ...

    def now_ms(self) -> int:
        """Wall clock, milliseconds since 1970; for people, never for a decision in the fold."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; a stop signal ends it early."""
        ...
