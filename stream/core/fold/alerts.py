"""What a step tells beside its outcome: alerts, each a part of the digest."""

from collections.abc import Sequence

import xxhash

from stream.core.event import Record
from stream.core.fold.alert_values import (
    FAILING,
    FULL,
    announced,
    broken,
    detected,
    failing,
    full,
    raw,
)
from stream.core.fold.state import State
from stream.core.formats import canonical
from stream.core.monitoring import numeric
from stream.core.monitoring.detected import Alert
from stream.core.monitoring.episodes import Finding
from stream.core.monitoring.marks import Place
from stream.core.monitoring.monitors import Monitors
from stream.core.monitoring.numeric import Breaker, Harm
from stream.core.monitoring.policy import Policy
from stream.core.monitoring.rows import LabelRow
from stream.core.problems import Problem
from stream.core.result import AlertValue, StepResult

_hash = xxhash.xxh3_64_intdigest


class Alerts:
    """Adds a step's alerts to its result, before `state.n` counts it.

    Args:
        pipeline: the pipeline that the alerts belong to.
        policy: decides what is announced of what was found, when the step is over; None: all is,
            as it is found.
        monitors: what is watched beside the detectors; None: nothing is, as without a policy.
        problem: says what is wrong; with monitors there is one.
    """

    def __init__(
        self,
        pipeline: str,
        policy: Policy | None = None,
        monitors: Monitors | None = None,
        problem: Problem | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._policy, self._monitors, self._problem = policy, monitors, problem

    def close_block(self, state: State, record: Record) -> None:
        """Let the monitors look at the events they were given; they have a full block of them."""
        monitors, policy, problem = self._monitors, self._policy, self._problem
        assert monitors is not None  # noqa: S101
        assert policy is not None  # noqa: S101  # there are no monitors without it
        assert problem is not None  # noqa: S101
        for finding in monitors.close(problem):
            policy.fire(finding)
        self._watch_flow(state, record)

    def watch_labels(self, rows: Sequence[LabelRow]) -> bool:
        """Show the monitors labels that came later. Returns: whether they took them: a block."""
        monitors, policy, problem = self._monitors, self._policy, self._problem
        if monitors is None or policy is None or problem is None or len(rows) < monitors.block_n:
            return False
        for finding in monitors.close_labels(rows, problem):
            policy.fire(finding)
        return True

    def refused(self, state: State, result: StepResult, learned: int) -> None:
        """Let the monitors and the policy see a refused record, before it is counted."""
        policy = self._policy
        if policy is not None:
            self._watch_flow(state, result.record)
            if state.n >= policy.due_n:
                self.close(state, result, learned)

    def _watch_flow(self, state: State, record: Record) -> None:
        """Let the monitors see how many records were refused, if enough have come."""
        monitors, policy = self._monitors, self._policy
        if monitors is not None and policy is not None:
            for finding in monitors.flow(state.records_n, state.refused_n, record.timestamp_ms):
                policy.fire(finding)

    def alerts(
        self,
        state: State,
        result: StepResult,
        alerts: Sequence[Alert],
        learned: int,
        *,
        is_full: bool,
        harm: Harm | None,
    ) -> None:
        """Add what the detectors found; first, if so, that a new name was left out.

        Or that the model's numbers have left their bounds.
        """
        record = result.record
        if harm is not None:
            self._give(state, result, broken(record, harm), learned)
        if is_full:
            state.closed_said_n = state.n
            self._give(state, result, full(record, names_n=len(state.names)), learned)
        moved, monitors, policy = None, self._monitors, self._policy
        for alarm in alerts:
            finding = detected(record, alarm, policy)
            # A look at all features, which takes as long as hundreds of events.
            if monitors is not None and policy is not None and policy.may_announce(finding):
                moved = monitors.moved() if moved is None else moved
                finding = detected(record, alarm, policy, moved)
            self._give(state, result, finding, learned)

    def failure(self, state: State, result: StepResult, learned: int, *, is_refused: bool) -> None:
        """Count an event on which the model failed; one too many becomes an alert."""
        learner = state.line_up.serving
        before = learner.failures
        number = state.records_n - state.refused_n + before.refused_n
        learner.failures = failures = before.with_one_at(number, is_refused=is_refused)
        if failures.is_told and not (before.is_told and self._policy is None):
            self._give(state, result, failing(result.record, failures), learned)

    def close(self, state: State, result: StepResult, learned: int) -> None:
        """Add what the policy tells of the step; to be called from the step `due_n` on.

        Where there were commands that may be too early: the policy counts records.
        """
        policy, record, n = self._policy, result.record, state.records_n
        assert policy is not None  # noqa: S101
        # Time is that of the events topic: labels of another one come when they like.
        timestamp_ms = record.timestamp_ms if result.label_offset is None else None
        if n < policy.due_n or not policy.sees(n, timestamp_ms):
            return

        breaker: Breaker | None = state.extras.get(numeric.NAME)  # it may be gone since it tripped
        is_broken = breaker is not None and breaker.is_tripped

        def is_ongoing(name: str) -> bool:
            failures = state.line_up.serving.failures
            # The last valid event's: a refused record is none, but for those that the model failed.
            number = n - state.refused_n + failures.refused_n
            number -= result.refusal is not None
            return (
                (name == FULL and state.closed_said_n is not None)
                or (name == FAILING and failures.goes_on_at(number))
                or (name == numeric.ALERT and is_broken)
            )

        labelled_n = learned + state.commanded.unlearned_n
        place = Place(n, record.offset, record.timestamp_ms, labelled_n, n - state.refused_n)
        ongoing = () if self._monitors is None else self._monitors.ongoing()
        for announcement in policy.close(place, is_ongoing=is_ongoing, ongoing=ongoing):
            where = f"{self._pipeline}/{record.partition}"
            alert = announced(
                announcement, record, where=where, learned=learned, id_end=result.id_end
            )
            _add(state, result, alert)

    def _give(self, state: State, result: StepResult, finding: Finding, learned: int) -> None:
        """Tell what was found, or let the policy decide whether it is told."""
        if self._policy is None:
            alert = raw(
                result.record, finding, pipeline=self._pipeline, learned=learned,
                id_end=result.id_end,
            )  # fmt: skip
            _add(state, result, alert)
        else:
            self._policy.fire(finding)


def _add(state: State, result: StepResult, alert: AlertValue) -> None:
    state.digest = _hash(canonical.alert(alert), state.digest)
    result.alerts = (*result.alerts, alert)
