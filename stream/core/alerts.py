"""What a step tells beside its outcome: alerts, each a part of the digest."""

from collections.abc import Sequence

import xxhash

from stream.core import outputs
from stream.core.detectors import Alert
from stream.core.event import Output, Record
from stream.core.state import State

_hash = xxhash.xxh3_64_intdigest


class Alerts:
    """Adds a step's alerts to what is published of it, before `state.n` counts it.

    Args:
        pipeline: the pipeline that the alerts belong to.
    """

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline

    def alerts(
        self,
        state: State,
        record: Record,
        published: list[Output],
        alerts: Sequence[Alert],
        learned: int,
        *,
        is_full: bool,
    ) -> None:
        """Publish what the detectors found; first, if so, that a new name was left out."""
        if is_full:
            state.closed_said_n = state.n
            alert = outputs.full(
                record, names_n=len(state.names), pipeline=self._pipeline, learned=learned
            )
            _add(state, published, alert)
        for alarm in alerts:
            alert = outputs.alert(record, alarm, pipeline=self._pipeline, learned=learned)
            _add(state, published, alert)

    def failure(
        self,
        state: State,
        record: Record,
        published: list[Output],
        learned: int,
        *,
        is_refused: bool,
    ) -> None:
        """Count an event on which the model failed; one too many becomes an alert."""
        before = state.failures
        number = state.n - state.refused_n + before.refused_n
        state.failures = before.with_one_at(number, is_refused=is_refused)
        if state.failures.is_told and not before.is_told:
            alert = outputs.failing(
                record, state.failures, pipeline=self._pipeline, learned=learned
            )
            _add(state, published, alert)


def _add(state: State, published: list[Output], alert: Output) -> None:
    state.digest = _hash(alert.value or b"", state.digest)
    published.append(alert)
