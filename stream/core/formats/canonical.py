"""The canonical form of what a step gives: JSON as docs/TOPICS.md has it.

A partition's digest goes over these bytes, in whatever format its outputs are published.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET

from stream.core.event import Event, Kind, Record, own_id
from stream.core.formats.checks import in_words, one_line
from stream.core.outcomes import OutcomeValue
from stream.core.problems import PROBLEMS
from stream.core.result import AlertValue, NoAnswer, Prediction, PredictionValue, StepResult

_BOOLS_N = 2
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+")  # in the text of an object: others in each process


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


class Results(NamedTuple):
    """What makes the results of one partition's valid events.

    Attributes:
        answered: of a record, its event, the prediction made before learning from it, and how many
            events the model had learned before. Floats are written so that they read back exactly.
            Raises: NoAnswer: the prediction or one of its classes cannot be written as JSON.
        unanswered: the same, with why there is no prediction in its place.
    """

    answered: Callable[[Record, Event, Prediction, int], StepResult]
    unanswered: Callable[[Record, Event, str, int], StepResult]


def results(topic: str, partition: int, kind: Kind) -> Results:
    """Make the functions that give a partition's results; built once, called for each event.

    Args:
        topic: the events topic; it is a part of the id of an event that brings none.
        partition: whose events they are; the other part.
        kind: the model's kind; without an answer, an anomaly detector's has a null score.
    """
    place = own_id(topic, partition, "")
    has_score = PROBLEMS[kind].answer == "score"

    def answered(record: Record, event: Event, prediction: Prediction, learned: int) -> StepResult:
        event_id, label, score = event.id, event.label, prediction.score
        probabilities = prediction.probabilities
        if probabilities is not None and len(probabilities) == _BOOLS_N:
            (one, p), (other, q) = probabilities.items()
            if one is False and other is True:  # else `_written` is called for each of them
                probabilities = {"false": p, "true": q}
        value = PredictionValue(
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
        try:
            return StepResult(record, _encode(value))
        except (TypeError, ValueError, OverflowError) as error:
            if _is_writable(prediction):
                raise  # what is wrong is ours
            raise NoAnswer(_addressless(f"the answer is no JSON: {error}")) from error

    def unanswered(record: Record, event: Event, fault: str, learned: int) -> StepResult:
        value = PredictionValue(
            1,
            f"{place}{record.offset}" if event.id is None else event.id,
            partition,
            record.offset,
            UNSET if has_score else None,
            UNSET,
            None if has_score else UNSET,
            UNSET if event.label is None else event.label,
            learned,
            fault,
        )
        return StepResult(record, _encode(value))

    return Results(answered, unanswered)


def alert(value: AlertValue) -> bytes:
    """An alert in the canonical form."""
    return _encode(value)


def outcome(value: OutcomeValue) -> bytes:
    """An outcome in the canonical form."""
    return _encode(value)


def _is_writable(prediction: Prediction) -> bool:
    try:
        _encode([prediction.value, prediction.probabilities, prediction.score])
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def text_of(raised: BaseException) -> str:
    """What was raised, in one line that is the same in a replay as far as that is ours to see."""
    return one_line(_addressless(in_words(raised)))


def _addressless(text: str) -> str:
    return _ADDRESS.sub("0x…", text)
