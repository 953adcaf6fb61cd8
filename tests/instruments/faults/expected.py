"""What must come out of a partition: river in a plain loop, which knows nothing of the worker."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from types import MappingProxyType
from typing import Any

from tests.end_to_end import plain_loop

InputRecord = tuple[int, bytes]
"""Offset and value."""

IsEvent = Callable[[bytes], dict[str, Any] | None]
"""The event in a record; None: it is to be quarantined."""

Commands = Mapping[int, Sequence[str]]
"""What was done before the event at an offset, in order; nothing else is known of it."""

NO_COMMANDS: Commands = MappingProxyType({})

VALUE_BYTES_MAX = 65_536
"""A larger value is cut when it is quarantined."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The answer for one partition.

    Attributes:
        predictions: input offset -> what the prediction record says.
        quarantined: input offset -> the record's value.
        drifts: (detector, input offset).
    """

    predictions: dict[int, dict[str, Any]]
    quarantined: dict[int, bytes]
    drifts: list[tuple[str, int]]


def event_of(value: bytes) -> dict[str, Any] | None:
    """The event that a record of ours holds; None: it is to be quarantined."""
    try:
        found = json.loads(value)
    except ValueError:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("features"), dict):
        return None
    if "poison" in found["features"]:
        return None
    found["features"].pop("slow", None)
    return found


def of(
    records: Sequence[InputRecord],
    model: Callable[[], Any],
    is_event: IsEvent,
    commands: Commands = NO_COMMANDS,
) -> Expected:
    """Fold the records of a partition, in order, and do what was commanded on the way."""
    events = [(offset, event) for offset, value in records if (event := is_event(value))]
    if commands:
        answers, begins = _commanded(events, model, commands)
    else:
        answers, begins = plain_loop.classify(model(), (event for _, event in events)), []
    predictions = {offset: answer for (offset, _), answer in zip(events, answers, strict=True)}
    offsets = list(predictions)
    errors = [int(a["prediction"] != a["label"]) for a in answers]
    drifts = [
        (name, offsets[begin + index])
        for begin, end in pairwise([0, *begins, len(errors)])  # a reset makes new detectors
        for name, index in plain_loop.drifts(errors[begin:end])
    ]
    quarantined = {
        offset: value[:VALUE_BYTES_MAX] for offset, value in records if offset not in predictions
    }
    return Expected(predictions, quarantined, sorted(drifts, key=itemgetter(1)))


def _commanded(
    events: Sequence[tuple[int, dict[str, Any]]], model: Callable[[], Any], commands: Commands
) -> tuple[list[dict[str, Any]], list[int]]:
    """The answers of a loop that is told of commands, and before which of them it began anew."""
    answers, begins, ahead = [], [], sorted(commands)
    loop, learned, learns = model(), 0, True
    for number, (offset, event) in enumerate(events):
        while ahead and ahead[0] <= offset:
            for what in commands[ahead.pop(0)]:
                if what == "reset":
                    loop, learned = model(), 0
                    begins.append(number)
                elif what in ("freeze", "unfreeze"):
                    learns = what == "unfreeze"
        (answer,) = plain_loop.classify(_Asked(loop, learns=learns), [event])
        answers.append({**answer, "learned": learned})
        learned += learns
    return answers, begins


class _Asked:
    """A model that learns, or does not."""

    def __init__(self, model: Any, *, learns: bool) -> None:
        self.predict_one, self.predict_proba_one = model.predict_one, model.predict_proba_one
        self.learn_one = model.learn_one if learns else self._pass

    def _pass(self, features: Any, label: Any) -> None:
        """Learn nothing."""
