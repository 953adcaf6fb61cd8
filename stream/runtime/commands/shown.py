"""What people and programs see of a record that came out: as a row of a table, and as JSON."""

import re
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from stream.config import Settings
from stream.core.event import Channel, Record, iso, own_id
from stream.core.formats.quarantine import OWN_TIMESTAMP, Refused, parse
from stream.runtime.commands import screen

DETAIL_CHARS_MAX = 1_000
"""Ours are shorter, and tell in the end what to do."""

VALUE_CHARS_MAX = 160
"""Enough to recognise a record; --json shows it whole."""

_ID_CHARS_MAX = 64

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Shown(Protocol):
    """How the records of one topic are shown."""

    columns: Sequence[str]
    """The heads of the table."""

    def take(self, record: Record) -> Any | None:
        """Parse a record for `row` and `json`; None: another writer's, or another pipeline's."""
        ...

    def row(self, record: Record, taken: Any) -> list[str]:
        """The cells of the record's row in the table."""
        ...

    def json(self, record: Record, taken: Any) -> str:
        """The record as one JSON object."""
        ...


def shown(channel: Channel, settings: Settings) -> Shown:
    """How an output topic's records are shown."""
    if channel is Channel.PREDICTIONS:
        return _Predictions(settings.topics.events)
    if channel is Channel.ALERTS:
        return _Alerts(settings.pipeline)
    if channel is Channel.OUTCOMES:
        return _Outcomes(settings.topics.events)
    return _Quarantined(settings.pipeline)


class _Predictions:
    columns: Sequence[str] = (
        "part",
        "offset",
        "time",
        "id",
        "prediction",
        "prob",
        "label",
        "result",
    )

    def __init__(self, events_topic: str) -> None:
        self._topic = events_topic

    def take(self, record: Record) -> dict[str, Any] | None:
        value = _object(record)
        return value if value is not None and "offset" in value else None

    def row(self, record: Record, taken: dict[str, Any]) -> list[str]:
        partition, offset = taken.get("partition"), taken["offset"]
        score, prediction = taken.get("score"), taken.get("prediction")
        return [
            text(partition), text(offset), _time(record), _id(taken, self._topic),
            "null" if score is None and prediction is None
            else text(prediction) if score is None else f"score {text(score)}",
            _probability(taken), text(taken.get("label")), _result(taken),
        ]  # fmt: skip

    def json(self, record: Record, taken: dict[str, Any]) -> str:  # noqa: ARG002
        return _value(record)


class _Outcomes:
    columns: Sequence[str] = (
        "part", "offset", "time", "id", "kind", "prediction", "label", "delay", "result",
    )  # fmt: skip

    def __init__(self, events_topic: str) -> None:
        self._topic = events_topic

    def take(self, record: Record) -> dict[str, Any] | None:
        value = _object(record)
        return value if value is not None and "label_offset" in value else None

    def row(self, record: Record, taken: dict[str, Any]) -> list[str]:
        partition, offset, delay_ms = (taken.get(n) for n in ("partition", "offset", "delay_ms"))
        reason = taken.get("reason")
        kind = text(taken.get("kind")) if reason is None else f"{taken.get('kind')}: {reason}"
        return [
            text(partition), text(offset), _time(record), _id(taken, self._topic), kind,
            text(taken.get("prediction")), text(taken.get("label")),
            screen.age(delay_ms / 1000) if isinstance(delay_ms, int) else "-",
            "-" if taken.get("error") is None else _result(taken),
        ]  # fmt: skip

    def json(self, record: Record, taken: dict[str, Any]) -> str:  # noqa: ARG002
        return _value(record)


class _Alerts:
    columns: Sequence[str] = ("time", "kind", "message")

    def __init__(self, pipeline: str) -> None:
        self._begins = f"{pipeline}/".encode()  # pipelines may share a topic

    def take(self, record: Record) -> dict[str, Any] | None:
        return _object(record) if (record.key or b"").startswith(self._begins) else None

    def row(self, record: Record, taken: dict[str, Any]) -> list[str]:
        kind, message = text(taken.get("kind")), str(taken.get("message", "-"))
        if (state := taken.get("state")) is not None:  # of a policy
            kind = f"{kind}, {text(taken.get('severity'))}, {text(state)}"
            if state == "firing":
                message += f": {taken.get('suggestion')}"
        return [_time(record), kind, message]

    def json(self, record: Record, taken: dict[str, Any]) -> str:  # noqa: ARG002
        return _value(record)


class _Quarantined:
    columns: Sequence[str] = ("part", "offset", "time", "reason", "event", "detail", "value")

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline

    def take(self, record: Record) -> Refused | None:
        refused = parse(record)
        return refused if refused is not None and refused.pipeline == self._pipeline else None

    def row(self, record: Record, taken: Refused) -> list[str]:
        document = document_of(taken)
        return [
            str(record.partition), str(record.offset), _time(record),
            taken.reason, document["event"], *long_cells(document),
        ]  # fmt: skip

    def json(self, record: Record, taken: Refused) -> str:  # noqa: ARG002
        return msgspec.json.encode(document_of(taken)).decode()


def document_of(refused: Refused) -> dict[str, Any]:
    """A quarantined record for programs: where it lies, and what it says."""
    record = refused.record
    return {
        "partition": record.partition,
        "offset": record.offset,
        "reason": refused.reason,
        "detail": refused.detail,
        "event": own_id(refused.topic, refused.partition, refused.offset),
        "event_time": iso(refused.timestamp_ms),
        "key": None if record.key is None else record.key.decode(errors="replace"),
        "value": None if record.value is None else record.value.decode(errors="replace"),
    }


def long_cells(document: dict[str, Any]) -> tuple[str, str]:
    """The detail and the value of a quarantined record, for people."""
    detail, value = document["detail"], document["value"]
    return (
        screen.cut(detail, DETAIL_CHARS_MAX),
        "(none)" if value is None else screen.cut(value, VALUE_CHARS_MAX),
    )


def text(value: Any) -> str:
    """A value of a record for people.

    >>> [text(value) for value in (True, None, 0.1234567, 7, "UP")]
    ['true', '-', '0.123457', '7', 'UP']
    """
    if value is None:
        return "-"
    if isinstance(value, str):
        return screen.cut(value, _ID_CHARS_MAX)
    if isinstance(value, float):
        return f"{value:.6g}"
    return screen.cut(msgspec.json.encode(value).decode(), _ID_CHARS_MAX)


def _object(record: Record) -> dict[str, Any] | None:
    try:
        return _decode(record.value or b"")
    except msgspec.DecodeError:
        return None


def _value(record: Record) -> str:
    return (record.value or b"").decode()


def _time(record: Record) -> str:
    """The event's time; a header holds it where the topic does not accept it."""
    own = dict(record.headers).get(OWN_TIMESTAMP) or b""
    timestamp_ms = int(own) if re.fullmatch(rb"-?\d{1,18}", own) else record.timestamp_ms
    return clock_time(iso(timestamp_ms))


def clock_time(iso_time: str) -> str:
    """A time for people, to the second and in UTC.

    >>> clock_time("2026-03-01T09:30:00.125Z")
    '2026-03-01 09:30:00'
    """
    return iso_time[:19].replace("T", " ")


def _probability(prediction: dict[str, Any]) -> str:
    """The probability of the class that was predicted."""
    known, value = prediction.get("probabilities"), prediction.get("prediction")
    name = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    found = known.get(name) if isinstance(known, dict) else None
    return "-" if not isinstance(found, float | int) else f"{found:.3f}"


def _id(taken: dict[str, Any], topic: str) -> str:
    """The id of an event, if it brought one: else its place says the same."""
    named = taken.get("id")
    is_own = named == own_id(topic, taken.get("partition"), taken.get("offset"))
    return text(None if is_own else named)


def _result(prediction: dict[str, Any]) -> str:
    """Whether a prediction was right, or how far off."""
    value, label = prediction.get("prediction"), prediction.get("label")
    if (fault := prediction.get("fault")) is not None:
        return f"fault: {fault}"
    if label is None or "score" in prediction:
        return "-"
    if _is_number(value) and _is_number(label) and prediction.get("probabilities") is None:
        return f"off by {abs(value - label):.4g}"
    same = value == label and isinstance(value, bool) == isinstance(label, bool)
    return "right" if same else "wrong"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
