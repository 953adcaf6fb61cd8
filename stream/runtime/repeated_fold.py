"""What each of the two processes that are compared does: folds the first events, and answers.

See `repeating`, which starts the two and says how their answers differ.
"""

import pickle
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stream.core.event import Channel, Record
from stream.core.fold.task import Task
from stream.core.fold.tasks import task_of
from stream.core.formats.canonical import alert
from stream.core.formats.checks import in_words
from stream.core.result import StepResult
from stream.errors import StreamError
from stream.runtime import generators
from stream.runtime.forking import CAN_FORK, ForkedCopy

EVENTS_MIN = 10
FOLD_S = 0.3
"""How much CPU each process may take to fold; of a slow model fewer events are compared, and of the
slowest so many in each half."""

DEADLINE_S = 60
"""To start an interpreter and load river takes a second, on a machine that is busy ten."""

CRASHES = (MemoryError, OSError)
"""Failures of a process and not of the model: they end it, and so nothing is known of the model."""

Outcome = tuple[tuple[str, bytes], ...]
"""What one event gave, as far as the digest goes over it: channel and value, or the reason."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one process answers.

    Attributes:
        outcomes: the outcomes of the first events, as many as there was time for.
        generators: those of the untrained model, see `generators.py`.
        half: how many of the outcomes came before the state was read back from its pickle.
        raised: what ended it, if that was the model.
        unreadable: why the pickled state could not be read back.
    """

    outcomes: tuple[Outcome, ...] = ()
    generators: tuple[tuple[str, str], ...] = ()
    half: int | None = None
    raised: str | None = None
    unreadable: str | None = None


def fold_all(job: Mapping[str, Any]) -> Answer:
    """Fold the records one after another, as a worker does."""
    records = job["records"]
    try:
        task = task_of(job["recipe"], partition=_partition(records))
        found = tuple(generators.generators(task.serving.model))
        return Answer(_folded(task, records, FOLD_S), found)
    except Exception as error:  # noqa: BLE001  # the model's; what it was is told
        return _ended_by(error)


def fold_in_two_halves(job: Mapping[str, Any]) -> Answer:
    """Fold the first half in a process of its own, and the second from its pickled state."""
    if CAN_FORK:
        pickled, _ = ForkedCopy(lambda: _first_half(job), deadline_s=DEADLINE_S).payload()
    else:
        pickled = _first_half(job)
    first: Answer
    first, payload = pickle.loads(pickled)
    if first.raised is not None:
        return first
    half, records = len(first.outcomes), job["records"]
    try:
        task = task_of(job["recipe"], partition=_partition(records), payload=payload)
    except pickle.UnpicklingError as error:
        return replace(first, unreadable=str(error))
    _unseed()
    try:
        rest = _folded(task, records[half:], FOLD_S / 2)
    except CRASHES:
        raise
    except Exception as error:  # noqa: BLE001  # as above
        return replace(first, raised=in_words(error))
    return replace(first, outcomes=first.outcomes + rest)


def _first_half(job: Mapping[str, Any]) -> bytes:
    """Fold the first half of the events. Returns: the pickled answer, with the state."""
    records = job["records"]
    half = records[: (len(records) + 1) // 2]
    try:
        task = task_of(job["recipe"], partition=_partition(records))
        found = tuple(generators.generators(task.serving.model))
        _unseed()
        outcomes, payload = _folded(task, half, FOLD_S / 2), task.pickled()
    except Exception as error:  # noqa: BLE001  # as above
        return pickle.dumps((_ended_by(error), b""))
    return pickle.dumps((Answer(outcomes, found, half=len(outcomes)), payload))


def _ended_by(error: Exception) -> Answer:
    """Answer that the model raised. Raises: the error itself, if the process failed."""
    if isinstance(error, CRASHES):
        raise error
    of_ours = isinstance(error, StreamError)
    return Answer(raised=str(error) if of_ours else in_words(error))


def _unseed() -> None:
    """Seed the global generators anew: what a module seeded when it was loaded is gone."""
    random.seed()
    np.random.seed()  # noqa: NPY002  # that is the one


def _folded(task: Task, records: Sequence[Record], budget_s: float) -> tuple[Outcome, ...]:
    # CPU, so that a busy machine does not look less closely.
    outcomes, until_s = [], time.process_time() + budget_s
    for n, record in enumerate(records, 1):
        outcomes.append(_outcome(task.step(record)))
        if n >= EVENTS_MIN and time.process_time() > until_s:
            break
    return tuple(outcomes)


def _outcome(result: StepResult) -> Outcome:
    """What the digest goes over: a refusal's detail may hold an address, and is left out."""
    refusal = result.refusal
    if result.is_of_label:
        first = Channel.OUTCOMES.value, b""
    elif refusal is None:
        first = Channel.PREDICTIONS.value, result.canonical
    else:
        first = Channel.QUARANTINE.value, refusal.reason.value.encode()
    outcomes = ((Channel.OUTCOMES.value, each.value) for each in result.outcomes)
    return (first, *((Channel.ALERTS.value, alert(each)) for each in result.alerts), *outcomes)


def _partition(records: Sequence[Record]) -> int:
    return records[0].partition if records else 0
