"""How far a partition is behind, from what the log holds."""

from dataclasses import dataclass

from stream.core.event import Channel
from stream.core.snapshots.metadata import parse_metadata
from stream.errors import Missing
from stream.ports import Bounds, Committed, Reader


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a partition stands.

    Attributes:
        offset: the committed one; None before a first commit.
        lag: events not yet committed; None: unknown, for it begins where the end will be.
        is_paused: whether the breaker on quarantine, or a command, stopped it there.
        labels_offset: the first offset of the labels topic that is not folded; 0: none is.
    """

    offset: int | None
    lag: int | None
    is_paused: bool = False
    labels_offset: int = 0


def lag(committed: Committed | None, bounds: Bounds, *, start: str) -> int | None:
    """How many events are not yet committed; without a commit, counted from `topics.start`."""
    if committed is not None:
        return max(0, bounds.end - committed.offset)
    # From "latest" a worker begins at what will be the end when it starts.
    return bounds.end - bounds.start if start == "earliest" else None


def is_paused(committed: Committed | None) -> bool:
    """Whether the breaker on quarantine, or a command, stopped it at its committed offset."""
    known = None if committed is None else parse_metadata(committed.metadata)
    return known is not None and (known.is_paused or known.is_stopped)


def standings(reader: Reader, *, partitions: int, start: str) -> dict[int, Standing]:
    """Where the events' partitions stand: the first so many, and later ones that have a commit.

    Raises: Retryable, Misconfigured.
    """
    committed = reader.committed()
    found = {}
    for partition in sorted({*range(partitions), *committed}):
        try:
            bounds = reader.bounds(Channel.EVENTS, partition)
        except Missing:
            if partition < partitions:
                raise
            continue  # committed in a topic of this name that had more
        at = committed.get(partition)
        behind = lag(at, bounds, start=start)
        known = None if at is None else parse_metadata(at.metadata)
        labels_offset = 0 if known is None else known.labels_topic.offset or 0
        offset = None if at is None else at.offset
        found[partition] = Standing(offset, behind, is_paused(at), labels_offset)
    return found
