"""The values that flow: a record comes in, an outcome goes out."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, final

import msgspec

Feature = float | int | str | bool
"""One feature's value; numbers are finite."""

_TIMESTAMP_MS_MAX = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last that ISO 8601 writes
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # UTC all through, which is written as "Z"


class Channel(StrEnum):
    """A pipeline's topics, by role; the configuration gives their names."""

    EVENTS = "events"
    PREDICTIONS = "predictions"
    ALERTS = "alerts"
    QUARANTINE = "quarantine"
    BASES = "bases"
    CONTROL = "control"
    JOURNAL = "journal"
    LEDGER = "ledger"
    OUTCOMES = "outcomes"
    LABELS = "labels"


ALWAYS = (Channel.EVENTS, Channel.PREDICTIONS, Channel.ALERTS, Channel.QUARANTINE)
"""The topics of every pipeline; the others are made when they are used, but that of labels: it is
an upstream's, and there only if the configuration names it."""

INPUTS = (Channel.EVENTS, Channel.LABELS)
"""What upstreams write."""

COMMANDED = (Channel.CONTROL, Channel.JOURNAL, Channel.LEDGER)
"""The topics of a pipeline that is given commands."""


Headers = tuple[tuple[str, bytes | None], ...]
"""A name may be there several times, and a value may be null."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of a topic, as the log holds it.

    Attributes:
        timestamp_ms: event time, milliseconds since 1970-01-01T00:00Z.
    """

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Output(msgspec.Struct, frozen=True, gc=False):
    """One record to publish; it goes to `partition` of the topic that plays `channel`."""

    channel: Channel
    partition: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Reason(StrEnum):
    """Why a record was refused: a closed set, part of the contract."""

    NOT_JSON = "not_json"
    NOT_UTF8 = "not_utf8"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FEATURES = "missing_features"
    BAD_FEATURE = "bad_feature"
    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"
    BAD_LABEL = "bad_label"
    BAD_ID = "bad_id"
    TOO_LARGE = "too_large"
    TOO_MANY_FEATURES = "too_many_features"
    UNKNOWN_FIELD = "unknown_field"
    MODEL_ERROR = "model_error"
    NO_ID = "no_id"
    DUPLICATE = "duplicate"


@final
class Rejection(msgspec.Struct, frozen=True, gc=False):
    """A refused record: the reason, and one line that says what was found."""

    reason: Reason
    detail: str


class Event(msgspec.Struct, gc=False, kw_only=True):
    """A valid record: features, and the label if it is known.

    Attributes:
        id: the one that the sender gave, or None (then `TOPIC-PARTITION-OFFSET` is published).
        features: name -> finite number, short string or bool; at least one.
        label: what the model learns from; None while unknown.
        weight: how much it is worth to learn, from 0 on; None: as much as any.
    """

    features: dict[str, Any]
    id: Any = None
    label: Any = None
    weight: float | None = None


class LabelRecord(msgspec.Struct, gc=False):
    """What a label record says.

    Attributes:
        id: the event's; None: it is named by its place.
        partition, offset: that place; None: it is named by its id.
        label: as the pipeline's models take it.
    """

    label: Any
    id: Any = None
    partition: int | None = None
    offset: int | None = None


class Kind(StrEnum):
    """What a model does; `stream.core.problems` says all that follows from it."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    ANOMALY = "anomaly"


def iso(timestamp_ms: int) -> str:
    """Event time as ISO 8601 in UTC, between 1970 (no time is -1 in Kafka) and the year 9999.

    >>> iso(1337)
    '1970-01-01T00:00:01.337Z'
    """
    since = timedelta(milliseconds=min(max(timestamp_ms, 0), _TIMESTAMP_MS_MAX))
    return f"{(_EPOCH + since).isoformat(timespec='milliseconds')}Z"


def own_id(topic: str, partition: int | None, offset: int | Literal[""] | None) -> str:
    """The id under which an event is published that brings none; with "" how all there begin.

    >>> own_id("power.events", 3, 41)
    'power.events-3-41'
    """
    return f"{topic}-{partition}-{offset}"


def partition_in(event_id: str, topic: str) -> int | None:
    """The partition in an id that `own_id` made; None: the event brought this one.

    >>> partition_in("power.events-3-41", "power.events"), partition_in("o-17", "power.events")
    (3, None)
    """
    place = event_id.removeprefix(f"{topic}-")
    partition, _, offset = place.partition("-")
    is_own = place != event_id and partition.isdecimal() and offset.isdecimal()
    return int(partition) if is_own else None
