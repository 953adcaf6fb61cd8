"""The store of snapshots: a cache."""

from collections.abc import Callable
from typing import Annotated, Protocol

import msgspec

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

    A partition below 0 is as good as any, and so is each step up to `POSITION_MAX`: ~P holds what
    snapshots of P share.

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
