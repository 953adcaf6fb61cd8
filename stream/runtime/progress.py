"""What a worker says of itself every so often: counts, and the scores of its partitions."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from stream.core.fold.task import Task
from stream.core.result import StepResult
from stream.ports import Clock
from stream.telemetry import LogEvent, Metric, Telemetry

if TYPE_CHECKING:
    from stream.core.monitoring.monitors_spec import WatchedFeatures

PROGRESS_EVERY_S = 10.0


class Progress:
    """Reports progress, at most once in `PROGRESS_EVERY_S`."""

    def __init__(self, clock: Clock, telemetry: Telemetry) -> None:
        self._clock = clock
        self._telemetry = telemetry
        self._said_at = clock.monotonic()
        self._watched: dict[int, WatchedFeatures] = {}  # as it was said of a partition

    def say_if_due(self, live: Mapping[int, Task]) -> None:
        """Report counts and scores of the live partitions, if the last report is old enough."""
        now = self._clock.monotonic()
        if now - self._said_at < PROGRESS_EVERY_S:
            return
        self._said_at = now
        scores = [(p, s) for p, t in sorted(live.items()) if (s := t.score()) is not None]
        self._telemetry.say(
            LogEvent.PROGRESS,
            **self._telemetry.counted(),
            paused=[p for p, task in live.items() if task.is_halted],
            scores=[f"{p}:{s.metric}={s.value:.4f}/{s.baseline:.4f}" for p, s in scores],
        )

    def committed(self, tasks: Iterable[Task]) -> None:
        """Say which features are watched, when it is known, and when it has changed."""
        for task in tasks:
            _, monitors, _ = task.state.watchers_and_others()
            features = None if monitors is None else monitors.watched()
            if features is not None and features != self._watched.get(task.partition):
                self._watched[task.partition] = features
                self._telemetry.say(
                    LogEvent.FEATURES_WATCHED,
                    partition=task.partition,
                    features=features.n,
                    not_watched=len(task.state.names) - features.n,
                    not_monitorable=list(features.not_monitorable),
                )


def count_sent(telemetry: Telemetry, results: Iterable[StepResult]) -> None:
    """Count what was published of some steps: refusals, by their reason, and alerts."""
    for result in results:
        if result.refusal is not None:
            telemetry.count(Metric.REJECTED)
            telemetry.reasons[result.refusal.reason.value] += 1
        if result.alerts:
            telemetry.count(Metric.ALERTS, len(result.alerts))
