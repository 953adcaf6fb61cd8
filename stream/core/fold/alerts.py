"""What a step tells beside its outcome: alerts, each a part of the digest."""

from collections.abc import Sequence

import xxhash

from stream.core.fold.alert_values import FAILING, FULL, announced, detected, failing, full, raw
from stream.core.fold.state import State
from stream.core.formats import canonical
from stream.core.monitoring.detectors import Alert
from stream.core.monitoring.episodes import Finding
from stream.core.monitoring.marks import Place
from stream.core.monitoring.policy import Policy
from stream.core.result import AlertValue, StepResult

_hash = xxhash.xxh3_64_intdigest


class Alerts:
    """Adds a step's alerts to its result, before `state.n` counts it.

    Args:
        pipeline: the pipeline that the alerts belong to.
        policy: decides what is announced of what was found, when the step is over; None: all is,
            as it is found.
    """

    def __init__(self, pipeline: str, policy: Policy | None = None) -> None:
        self._pipeline = pipeline
        self._policy = policy

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
            self._give(state, result, full(record, names_n=len(state.names)), learned)
        for alarm in alerts:
            self._give(state, result, detected(record, alarm, self._policy), learned)

    def failure(self, state: State, result: StepResult, learned: int, *, is_refused: bool) -> None:
        """Count an event on which the model failed; one too many becomes an alert."""
        learner = state.line_up.serving
        before = learner.failures
        number = state.n - state.refused_n + before.refused_n
        learner.failures = failures = before.with_one_at(number, is_refused=is_refused)
        if failures.is_told and not (before.is_told and self._policy is None):
            self._give(state, result, failing(result.record, failures), learned)

    def close(self, state: State, result: StepResult, learned: int) -> None:
        """Add what the policy tells of the step; to be called at its `due_n` and later."""
        policy, record = self._policy, result.record
        assert policy is not None  # noqa: S101
        if not policy.sees(state.n, record.timestamp_ms):
            return

        def is_ongoing(name: str) -> bool:
            failures = state.line_up.serving.failures
            # The last valid event's: a refused record is none, but for those that the model failed.
            number = state.n - state.refused_n + failures.refused_n
            number -= result.refusal is not None
            return (name == FULL and state.closed_said_n is not None) or (
                name == FAILING and failures.goes_on_at(number)
            )

        place = Place(
            state.n, record.offset, record.timestamp_ms, learned, state.n - state.refused_n
        )
        for announcement in policy.close(place, is_ongoing=is_ongoing):
            where = f"{self._pipeline}/{record.partition}"
            _add(state, result, announced(announcement, record, where=where, learned=learned))

    def _give(self, state: State, result: StepResult, finding: Finding, learned: int) -> None:
        if self._policy is None:
            alert = raw(result.record, finding, pipeline=self._pipeline, learned=learned)
            _add(state, result, alert)
        else:
            self._policy.fire(finding)


def _add(state: State, result: StepResult, alert: AlertValue) -> None:
    state.digest = _hash(canonical.alert(alert), state.digest)
    result.alerts = (*result.alerts, alert)
