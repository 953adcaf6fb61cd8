"""Outcomes as they are told: one for each label, and for each event that got none."""

from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from stream.core.formats import canonical
from stream.core.labels.kept import Kept
from stream.core.labels.pending import Early
from stream.core.outcomes import Outcome, OutcomeKind, OutcomeValue
from stream.core.result import StepResult


class At(NamedTuple):
    """The step that an outcome belongs to.

    Attributes:
        result: what it gives.
        n: its number.
        source: what it folded: `outcomes.EVENTS` or `outcomes.LABELS`.
    """

    result: StepResult
    n: int
    source: str


class Came(NamedTuple):
    """A label as it came: its record's place and key; or what stands for one that did not.

    Attributes:
        offset, time_ms: None: there was none.
    """

    label: Any
    offset: int | None
    time_ms: int | None
    key: bytes | None


class Held(NamedTuple):
    """An event that is kept, and its offset."""

    offset: int
    kept: Kept


def came_early(early: Early) -> Came:
    """A label that has waited for its event."""
    return Came(early.label, early.offset, early.timestamp_ms, early.key)


class Found(NamedTuple):
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
    at: At, kind: OutcomeKind, came: Came, found: Found, *, partition: int, event_id: str | None
) -> OutcomeValue:
    """The outcome of a label of whose event nothing is known."""
    return OutcomeValue(
        n=at.n, input=at.source, id=event_id, kind=kind, partition=partition, offset=None,
        label_offset=came.offset, event_time_ms=None, label_time_ms=came.time_ms, delay_ms=None,
        prediction=None, probabilities=None, label=came.label, error=found.error,
        previous=found.previous, learned=found.learned, features={},
        reason=found.reason or UNSET,
    )  # fmt: skip


def add_event(value: OutcomeValue, held: Held) -> None:
    """Add to an outcome what its event was, and what was predicted of it."""
    kept = held.kept
    value.offset, value.event_time_ms = held.offset, kept.time_ms
    if value.label_time_ms is not None:
        value.delay_ms = value.label_time_ms - kept.time_ms
    value.prediction = msgspec.Raw(kept.prediction)
    if kept.probabilities is not None:
        value.probabilities = msgspec.Raw(kept.probabilities)


def written(value: OutcomeValue, came: Came, now_ms: int) -> Outcome:
    """The record of an outcome; without a label's timestamp it has the fold's time."""
    timestamp_ms = now_ms if came.time_ms is None else came.time_ms
    return Outcome(value.kind, timestamp_ms, came.key, canonical.outcome(value))
