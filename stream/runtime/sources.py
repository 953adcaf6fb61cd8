"""What states are made of, and where they come from: everything that brings partitions to life."""

from dataclasses import dataclass
from typing import Literal

from stream.core.recipe import Recipe
from stream.core.snapshots.metadata import FIRST, Generation
from stream.core.snapshots.seal import Keys
from stream.ports import Clock, Reader, SnapshotStore
from stream.telemetry import Telemetry

OnChange = Literal["refuse", "rebuild", "fresh", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a restore reads from, and the identity that a snapshot must have.

    Attributes:
        generation: the recipe's place among those of the pipeline, when this process started.
        keys: verify snapshots, and sign.
        may_repeat: at least once: after a crash outcomes may come again.
        topic_id: the id of the events topic; a topic made again under its name has another.
        labels_topic: its name; None: labels come in events, or among them.
        start: where a partition without a committed offset begins.
    """

    recipe: Recipe
    generation: Generation = FIRST
    reader: Reader
    store: SnapshotStore
    keys: Keys
    topic_id: str
    start: Literal["earliest", "latest"]
    on_change: OnChange
    clock: Clock
    telemetry: Telemetry
    may_repeat: bool = False
    labels_topic: str | None = None
