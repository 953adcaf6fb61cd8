"""What became of events whose labels come later, as values; docs/TOPICS.md tells of each field."""

from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from stream.core.event import Channel

LABELS, EVENTS = Channel.LABELS.value, Channel.EVENTS.value
"""What a step folded: a label, or an event or a refused record that set something off."""


class OutcomeKind(StrEnum):
    """What became of an event, or of a label: a closed set, part of the contract."""

    LABELED = "labeled"
    EARLY = "early"
    EXPIRED = "expired"
    DROPPED = "dropped"
    CORRECTED = "corrected"
    REPEATED = "repeated"
    UNKNOWN = "unknown"
    REFUSED = "refused"


VERSION: Final = 1
"""Of an outcome's fields."""


class OutcomeValue(msgspec.Struct, gc=False):
    """One outcome, with the fields of its record.

    Attributes:
        n: the step that it belongs to; input: what that folded.
        offset: the event's; None: there is no event yet, or none is kept.
        prediction, probabilities: what was published of the event, as it was written.
        error: as detectors are told it; None: it was not scored.
        learned: how many events the model had learned before.
        reason: of a refused one: why.
    """

    v: int
    n: int
    input: str
    id: str | None
    kind: OutcomeKind
    partition: int
    offset: int | None
    label_offset: int | None
    event_time_ms: int | None
    label_time_ms: int | None
    delay_ms: int | None
    prediction: msgspec.Raw | None
    probabilities: msgspec.Raw | None
    label: Any
    error: float | None
    previous: Any
    learned: int
    features: dict[str, Any]
    reason: str | UnsetType = UNSET


class Outcome(msgspec.Struct, gc=False):
    """An outcome, written, with what else its record has."""

    kind: OutcomeKind
    timestamp_ms: int
    key: bytes | None
    value: bytes
