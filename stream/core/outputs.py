"""What goes out, as bytes: predictions, alerts, quarantined records (CONTRACT 4)."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from stream.core.event import Channel, Event, Output, Record, Rejection
from stream.core.learner import Prediction

_encode = msgspec.json.Encoder().encode

_TIMESTAMP_MS_MAX = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last that ISO 8601 writes


class _PredictionValue(msgspec.Struct, gc=False):
    v: int
    id: str
    partition: int
    offset: int
    prediction: Any
    probabilities: dict[str, float] | UnsetType
    score: float | None | UnsetType
    label: Any
    learned: int


class _AlertValue(msgspec.Struct, gc=False, kw_only=True):
    v: int = 1
    id: str
    kind: str
    detector: str
    name: str
    signal: str
    partition: int
    offset: int
    event_time: str
    learned: int
    evidence: dict[str, float | None]
    message: str


def prediction_value(
    record: Record, event: Event, prediction: Prediction, topic: str, learned: int
) -> bytes:
    """The prediction record of an event; floats are written so that they read back exactly."""
    probabilities: dict[str, float] | UnsetType = UNSET
    if prediction.probabilities is not None:
        probabilities = {_class_name(c): p for c, p in prediction.probabilities.items()}
    scored = prediction.score is not None
    return _encode(
        _PredictionValue(
            1,
            f"{topic}-{record.partition}-{record.offset}" if event.id is None else event.id,
            record.partition,
            record.offset,
            UNSET if scored else prediction.value,
            probabilities,
            prediction.score if scored else UNSET,
            UNSET if event.label is None else event.label,
            learned,
        )
    )


def _class_name(label: Any) -> str:
    """A class as a JSON key: true and false as JSON writes them, others as they print."""
    if label.__class__ is str:
        return label  # type: ignore[no-any-return]
    if label is True:
        return "true"
    return "false" if label is False else str(label)


def alert(
    *, record: Record, pipeline: str, kind: str, spec: Any, learned: int,
    before: float | None, after: float | None, message: str,
) -> Output:  # fmt: skip
    """The alert record of a detector's alarm; its id is the same in every replay."""
    where = f"{pipeline}/{record.partition}"
    value = _AlertValue(
        id=f"{where}/{record.offset}/{spec.name}",
        kind=kind,
        detector=spec.type,
        name=spec.name,
        signal=spec.signal,
        partition=record.partition,
        offset=record.offset,
        event_time=iso(record.timestamp_ms),
        learned=learned,
        evidence={"before": before, "after": after},
        message=message,
    )
    return Output(
        Channel.ALERTS, record.partition, record.timestamp_ms, where.encode(), _encode(value)
    )


def quarantined(
    record: Record, rejection: Rejection, *, pipeline: str, topic: str, value_bytes_max: int
) -> Output:
    """The record as it came, with the reason in its headers."""
    value, detail = record.value, rejection.detail
    if value is not None and len(value) > value_bytes_max:
        detail = f"{detail}; the value was cut to its first {value_bytes_max}"
        value = value[:value_bytes_max]
    headers = (
        *record.headers,
        ("stream.reason", rejection.reason.value.encode()),
        ("stream.detail", detail.encode()),
        ("stream.topic", topic.encode()),
        ("stream.partition", str(record.partition).encode()),
        ("stream.offset", str(record.offset).encode()),
        ("stream.pipeline", pipeline.encode()),
    )
    return Output(
        Channel.QUARANTINE, record.partition, record.timestamp_ms, record.key, value, headers
    )


def iso(timestamp_ms: int) -> str:
    """Event time as ISO 8601 in UTC; what no calendar holds becomes the nearest that it does.

    >>> iso(1337)
    '1970-01-01T00:00:01.337Z'
    """
    seconds, ms = divmod(min(max(timestamp_ms, 0), _TIMESTAMP_MS_MAX), 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"
