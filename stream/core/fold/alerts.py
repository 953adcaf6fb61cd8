"""What a step tells beside its outcome: alerts, each a part of the digest."""

from collections.abc import Sequence

import xxhash

from stream.core.event import Record, iso
from stream.core.fold.state import State
from stream.core.formats import canonical
from stream.core.learning.failures import Failures
from stream.core.monitoring.alert_text import describe
from stream.core.monitoring.detectors import Alert
from stream.core.result import AlertValue, Evidence, StepResult

FULL = "model:names"
"""The alert of a state that has reached its ceiling; no detector can be called so."""

_hash = xxhash.xxh3_64_intdigest


class Alerts:
    """Adds a step's alerts to its result, before `state.n` counts it.

    Args:
        pipeline: the pipeline that the alerts belong to.
    """

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline

    def alerts(
        self,
        state: State,
        result: StepResult,
        alerts: Sequence[Alert],
        learned: int,
        *,
        is_full: bool,
    ) -> None:
        """Add what the detectors found; first, if so, that a new name was left out."""
        record = result.record
        if is_full:
            state.closed_said_n = state.n
            _add(
                state,
                result,
                full(record, names_n=len(state.names), pipeline=self._pipeline, learned=learned),
            )
        for alarm in alerts:
            _add(state, result, detected(record, alarm, pipeline=self._pipeline, learned=learned))

    def failure(self, state: State, result: StepResult, learned: int, *, is_refused: bool) -> None:
        """Count an event on which the model failed; one too many becomes an alert."""
        learner = state.line_up.serving
        before = learner.failures
        number = state.n - state.refused_n + before.refused_n
        learner.failures = failures = before.with_one_at(number, is_refused=is_refused)
        if failures.is_told and not before.is_told:
            alert = failing(result.record, failures, pipeline=self._pipeline, learned=learned)
            _add(state, result, alert)


def _add(state: State, result: StepResult, alert: AlertValue) -> None:
    state.digest = _hash(canonical.alert(alert), state.digest)
    result.alerts = (*result.alerts, alert)


def detected(record: Record, alarm: Alert, *, pipeline: str, learned: int) -> AlertValue:
    """The alert of what a detector found; its id is the same in every replay.

    Args:
        record: the event after which the detector gave it.
        alarm: what it found.
        pipeline: its name begins the id.
        learned: how many events the model had learned before.
    """
    spec = alarm.spec
    return _alert(
        record, pipeline, learned, kind=alarm.kind, detector=spec.type, name=spec.name,
        signal=spec.signal, before=alarm.before, after=alarm.after,
        message=describe(alarm, record.partition, record.offset),
    )  # fmt: skip


def failing(record: Record, failures: Failures, *, pipeline: str, learned: int) -> AlertValue:
    """The alert of a model that fails too often, at the event that was one too many."""
    failed_n, of = len(failures.recent), failures.recent[-1] - failures.recent[0] + 1
    return _alert(
        record, pipeline, learned, kind="numeric", detector="failures",
        name="model:failures",  # no detector can be called so
        signal="failure", before=None, after=failed_n / of,
        message=f"the model failed on {failed_n} of the last {of} events "
        f'(partition {record.partition}, offset {record.offset}): see "fault" in predictions '
        "and model_error in the quarantine",
    )  # fmt: skip


def full(record: Record, *, names_n: int, pipeline: str, learned: int) -> AlertValue:
    """The alert of a state that has reached its ceiling, at the first name left out."""
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
) -> AlertValue:  # fmt: skip
    """What all alerts have in common: where they were made, and their id."""
    return AlertValue(
        id=f"{pipeline}/{record.partition}/{record.offset}/{name}",
        kind=kind,
        detector=detector,
        name=name,
        signal=signal,
        partition=record.partition,
        offset=record.offset,
        event_time=iso(record.timestamp_ms),
        learned=learned,
        evidence=Evidence(before, after),
        message=message,
    )
