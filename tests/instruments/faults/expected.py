"""What must come out of a partition: river in a plain loop, which knows nothing of the worker."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.end_to_end import plain_loop

InputRecord = tuple[int, bytes]
"""Offset and value."""

IsEvent = Callable[[bytes], dict[str, Any] | None]
"""The event in a record; None: it is to be quarantined."""

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
) -> Expected:
    """Fold the records of a partition, in order."""
    events = [(offset, event) for offset, value in records if (event := is_event(value))]
    answers = plain_loop.classify(model(), (event for _, event in events))
    predictions = {offset: answer for (offset, _), answer in zip(events, answers, strict=True)}
    offsets = list(predictions)
    errors = [int(a["prediction"] != a["label"]) for a in answers]
    drifts = [(name, offsets[index]) for name, index in plain_loop.drifts(errors)]
    quarantined = {
        offset: value[:VALUE_BYTES_MAX] for offset, value in records if offset not in predictions
    }
    return Expected(predictions, quarantined, drifts)
