"""What goes out, as bytes: predictions, alerts, quarantined records; docs/TOPICS.md tells users."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from stream.core import sizes
from stream.core.answers import NoAnswer, Prediction
from stream.core.checks import one_line
from stream.core.detectors import Alert, describe
from stream.core.event import Channel, Event, Kind, Output, Record, Rejection, iso
from stream.core.failures import Failures
from stream.core.quarantine import QUARANTINE_HEADERS
from stream.core.spec import Limits

FULL = "model:names"
"""The alert of a state that has reached its ceiling; no detector can be called so."""

_BOOLS_N = 2
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+")  # in the text of an object: others in each process


class _PredictionValue(msgspec.Struct, gc=False):
    v: int
    id: str
    partition: int
    offset: int
    prediction: Any
    probabilities: dict[Any, float] | UnsetType
    score: float | UnsetType | None
    label: Any
    learned: int
    fault: str | UnsetType = UNSET


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


def _written(value: Any) -> Any:
    """Help msgspec with what it cannot write: bools as keys (classes), and numpy's scalars."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"the model's answer holds a {type(value).__name__}, which is no JSON")


_encode = msgspec.json.Encoder(enc_hook=_written).encode


def prediction_writer(topic: str, partition: int, kind: Kind) -> Callable[..., bytes]:
    """Make the function that writes a partition's predictions; built once, called for each event.

    Args:
        topic: the events topic; it is a part of the id of an event that brings none.
        partition: whose events they are; the other part.
        kind: the model's kind; without an answer, an anomaly detector's has a null score.

    Returns: a function of an event's record, the event itself, the prediction made before learning
        from it, and how many events the model had learned before. It gives the prediction record;
        floats are written so that they read back exactly. It raises NoAnswer: the prediction or
        one of its classes cannot be written as JSON.
    """
    place = f"{topic}-{partition}-"

    def write(record: Record, event: Event, prediction: Prediction, learned: int) -> bytes:
        event_id, label, score = event.id, event.label, prediction.score
        probabilities = prediction.probabilities
        if probabilities is not None and len(probabilities) == _BOOLS_N:
            (one, p), (other, q) = probabilities.items()
            if one is False and other is True:  # else `_written` is called for each of them
                probabilities = {"false": p, "true": q}
        value = _PredictionValue(
            1,
            f"{place}{record.offset}" if event_id is None else event_id,
            partition,
            record.offset,
            prediction.value if score is None else UNSET,
            UNSET if probabilities is None else probabilities,
            UNSET if score is None else score,
            UNSET if label is None else label,
            learned,
        )
        if prediction.fault is not None:
            value.fault = prediction.fault
            if kind is Kind.ANOMALY:
                value.prediction, value.score = UNSET, None
        try:
            return _encode(value)
        except (TypeError, ValueError, OverflowError) as error:
            if _is_writable(prediction):
                raise  # what is wrong is ours
            raise NoAnswer(_addressless(f"the answer is no JSON: {error}")) from error

    return write


def _is_writable(prediction: Prediction) -> bool:
    try:
        _encode([prediction.value, prediction.probabilities, prediction.score])
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def text_of(raised: BaseException) -> str:
    """What was raised, in one line that is the same in a replay as far as that is ours to see."""
    return one_line(_addressless(f"{type(raised).__name__}: {raised}"))


def _addressless(text: str) -> str:
    return _ADDRESS.sub("0x…", text)


def alert(record: Record, alarm: Alert, *, pipeline: str, learned: int) -> Output:
    """The alert record of a detector's alarm; its id is the same in every replay.

    Args:
        record: the event after which the detector gave it.
        alarm: what it found.
        pipeline: its name begins the key and the id.
        learned: how many events the model had learned before.
    """
    spec = alarm.spec
    return _alert(
        record, pipeline, learned, kind=alarm.kind, detector=spec.type, name=spec.name,
        signal=spec.signal, before=alarm.before, after=alarm.after,
        message=describe(alarm, record.partition, record.offset),
    )  # fmt: skip


def failing(record: Record, failures: Failures, *, pipeline: str, learned: int) -> Output:
    """The alert record of a model that fails too often, at the event that was one too many."""
    failed_n, of = len(failures.recent), failures.recent[-1] - failures.recent[0] + 1
    return _alert(
        record, pipeline, learned, kind="numeric", detector="failures",
        name="model:failures",  # no detector can be called so
        signal="failure", before=None, after=failed_n / of,
        message=f"the model failed on {failed_n} of the last {of} events "
        f'(partition {record.partition}, offset {record.offset}): see "fault" in predictions '
        "and model_error in the quarantine",
    )  # fmt: skip


def full(record: Record, *, names_n: int, pipeline: str, learned: int) -> Output:
    """The alert record of a state that has reached its ceiling, at the first name left out."""
    return _alert(
        record, pipeline, learned, kind="input", detector="state_bytes",
        name=FULL,
        signal="names", before=None, after=float(names_n),
        message=f"the state is over limits.state_bytes_max with {names_n} feature names, so "
        f"new ones are left out (partition {record.partition}, offset {record.offset}): does "
        "an upstream invent names?",
    )  # fmt: skip


def _alert(
    record: Record, pipeline: str, learned: int, *, kind: str, detector: str, name: str,
    signal: str, before: float | None, after: float | None, message: str,
) -> Output:  # fmt: skip
    """What all alerts have in common: where they were made, and their id."""
    where = f"{pipeline}/{record.partition}"
    value = _AlertValue(
        id=f"{where}/{record.offset}/{name}",
        kind=kind,
        detector=detector,
        name=name,
        signal=signal,
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


def with_headers(output: Output, record: Record, names: frozenset[str]) -> Output:
    """An output with those of its event's headers that travel, in their order."""
    headers = tuple(header for header in record.headers if header[0] in names)
    return msgspec.structs.replace(output, headers=headers)


def quarantined(
    record: Record, rejection: Rejection, *, pipeline: str, topic: str, limits: Limits
) -> Output:
    """The record as it came, cut to the limits, with the reason in its headers."""
    left = sizes.cut(
        record,
        value_bytes_max=limits.value_bytes_max,
        key_and_headers_bytes_max=limits.key_and_headers_bytes_max,
    )
    texts = (
        rejection.reason.value, rejection.detail + left.said, topic, str(record.partition),
        str(record.offset), pipeline,
    )  # fmt: skip
    own = zip(QUARANTINE_HEADERS, map(str.encode, texts), strict=True)
    return Output(
        Channel.QUARANTINE, record.partition, record.timestamp_ms, left.key, left.value,
        (*left.headers, *own),
    )  # fmt: skip
