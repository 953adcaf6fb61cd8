"""What the runtime needs of the outside world.

Adapters implement these ports; the contract suite holds them to it.

Two errors are in every docstring. `Retryable`: something outside of this process failed, and the
same call may work later. `Misconfigured`: it never will (permissions, unknown topic, old version).
"""

from stream.ports.clock import Clock
from stream.ports.events import Bounds, Committed, Feed, Log, Polled, Reader
from stream.ports.snapshots import (
    POSITION_MAX,
    Measure,
    Position,
    SavedAtMs,
    SizeBytes,
    SnapshotStore,
    StoredSnapshot,
    TopicId,
)
from stream.ports.topics import Operation, TopicInfo, Topics

__all__ = [
    "POSITION_MAX",
    "Bounds",
    "Clock",
    "Committed",
    "Feed",
    "Log",
    "Measure",
    "Operation",
    "Polled",
    "Position",
    "Reader",
    "SavedAtMs",
    "SizeBytes",
    "SnapshotStore",
    "StoredSnapshot",
    "TopicId",
    "TopicInfo",
    "Topics",
]
