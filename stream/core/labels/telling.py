"""Outcomes as they are told: one for each label, and for each event that got none."""

from typing import Any

import msgspec
from msgspec import UNSET

from stream.core.formats import canonical
from stream.core.labels.kept import Early, Kept
from stream.core.outcomes import VERSION, Outcome, OutcomeKind, OutcomeValue
from stream.core.result import StepResult


class At(msgspec.Struct, gc=False):
    """The step that an outcome belongs to.

    Attributes:
        result: what it gives.
        n: its number.
        source: what it folded: `outcomes.EVENTS` or `outcomes.LABELS`.
    """

    result: StepResult
    n: int
    source: str


class Came(msgspec.Struct, gc=False):
    """A label as it came: its record's place and key; or what stands for one that did not.

    Attributes:
        offset, time_ms: None: there was none.
    """

    label: Any
    offset: int | None
    time_ms: int | None
    key: bytes | None


class Held(msgspec.Struct, gc=False):
    """An event that is kept, and its offset."""

    offset: int
    kept: Kept


def came_early(early: Early) -> Came:
    """A label that has waited for its event."""
    return Came(early.label, early.offset, early.timestamp_ms, early.key)


class Found(msgspec.Struct, gc=False):
    """What a step found out of a label.

    Attributes:
        error: None: it was not scored.
        previous: the label before; None: it is the first.
        reason: why it was refused; "": it was not.
        learned: how many events the model had learned before.
    """

    learned: int
    error: float | None = None
    previous: Any = None
    reason: str = ""


def value_of(
    at: At, kind: OutcomeKind, came: Came, found: Found, held: Held | None,
    *, partition: int, event_id: str | None,
) -> OutcomeValue:  # fmt: skip
    """The outcome of a label; with what was predicted of its event, if that is known."""
    offset = event_time_ms = delay_ms = prediction = probabilities = None
    if held is not None:
        kept, offset = held.kept, held.offset
        event_time_ms, prediction = kept.time_ms, msgspec.Raw(kept.prediction)
        if came.time_ms is not None:
            delay_ms = came.time_ms - event_time_ms
        if kept.probabilities is not None:
            probabilities = msgspec.Raw(kept.probabilities)
    # By position: by name it takes four times as long.
    return OutcomeValue(
        VERSION, at.n, at.source, event_id, kind, partition, offset, came.offset, event_time_ms,
        came.time_ms, delay_ms, prediction, probabilities, came.label, found.error, found.previous,
        found.learned, {}, found.reason or UNSET,
    )  # fmt: skip


def written(value: OutcomeValue, came: Came, now_ms: int) -> Outcome:
    """The record of an outcome; without a label's timestamp it has the fold's time."""
    timestamp_ms = now_ms if came.time_ms is None else came.time_ms
    return Outcome(value.kind, timestamp_ms, came.key, canonical.outcome(value))
