"""What a poll gave is folded: records into the tasks, and quiet partitions past their gaps."""

from collections.abc import Mapping, Sequence

from stream.core.event import Record
from stream.core.fold.task import Task
from stream.core.result import StepResult
from stream.ports import Polled
from stream.runtime.breaker import Breaker
from stream.runtime.commit_policy import RECORDS_MAX, CommitSchedule
from stream.runtime.labelling import Labelling
from stream.runtime.life import Life, Lives, Move
from stream.runtime.snapshotter import Snapshotter
from stream.runtime.sources import Sources
from stream.runtime.watched_log import WatchedLog
from stream.telemetry import Metric

GAP_AFTER_S = 1.0
"""Quiet this long, a partition's offset moves past markers, so that lag reaches 0."""


class Folding:
    """Steps through what was polled of the partitions that fold.

    Args:
        lives: the worker's partitions.
        results: where the outcomes are kept until a commit.
        fold_s_max: how long folding may take between two polls.
    """

    def __init__(
        self,
        lives: Lives,
        results: list[StepResult],
        *,
        log: WatchedLog,
        breaker: Breaker,
        snapshotter: Snapshotter,
        schedule: CommitSchedule,
        sources: Sources,
        fold_s_max: float,
        labelling: Labelling | None = None,
    ) -> None:
        self._lives = lives
        self._results = results
        self._log = log
        self._breaker = breaker
        self._snapshotter = snapshotter
        self._schedule = schedule
        self._clock = sources.clock
        self._telemetry = sources.telemetry
        self._fold_s_max = fold_s_max
        self._labelling = labelling
        self._quiet_since = self._clock.monotonic()

    def take(self, polled: Polled) -> None:
        """Fold what a poll gave, and what goes before it or stands behind it."""
        self.fold(polled.records)
        self.fold_labels(polled)
        self.pass_gaps(polled)

    def fold(self, batches: Mapping[int, Sequence[Record]]) -> None:
        """Step through a poll's records; past the time, the rest is left to the next poll."""
        if not batches:
            return
        clock = self._clock
        if self._labelling is not None:
            self._labelling.prepare(batches)
        started = now = clock.monotonic()
        deadline = started + self._fold_s_max
        folded, folding = 0, self._lives.tasks({Life.FOLDING})
        for partition, records in batches.items():
            task, began = folding.get(partition), now
            if task is None or partition in self._log.sought:
                continue  # in doubt since a lost commit, or resumed: `seek` delivers them again
            self._lives.move(partition, Move.FOLD)
            n = self._fold_some(task, records, deadline)
            folded += n
            now = clock.monotonic()
            self._snapshotter.spent(partition, now - began)
            if self._lives.life(partition) is Life.TRIPPED:
                self._log.pause(partition)
            elif n < len(records):
                self._log.seek(task)
        if not folded:
            if self._results:  # labels alone
                self._schedule.commit_now()
            return
        if len(self._results) >= RECORDS_MAX or self._lives.within({Life.TRIPPED}):
            self._schedule.commit_now()
        self._quiet_since = now
        self._schedule.folded(folded, took_s=now - started)
        self._telemetry.count(Metric.RECORDS, folded)

    def _fold_some(self, task: Task, records: Sequence[Record], deadline: float) -> int:
        """Step until the deadline, or until the breaker trips. Returns: how many were folded."""
        keep, monotonic = self._results.append, self._clock.monotonic
        labelling = self._labelling
        for n, record in enumerate(records, 1):
            if labelling is not None and not labelling.fold_before(task, record, deadline):
                return n - 1
            result = task.step(record)
            keep(result)
            if result.refusal is not None and self._breaker.trips(task, result.refusal):
                self._lives.move(task.partition, Move.TRIP)
                return n
            if monotonic() > deadline:
                return n
        return len(records)

    def fold_labels(self, polled: Polled) -> None:
        """Fold the labels of partitions that have no events, if labels have a topic."""
        if self._labelling is None:
            return
        folded_n = self._labelling.fold_alone(
            polled.records, polled.positions, self._snapshotter.spent
        )
        if folded_n:
            self._quiet_since = self._clock.monotonic()
            if len(self._results) >= RECORDS_MAX:
                self._schedule.commit_now()

    @property
    def is_behind(self) -> bool:
        """Whether there is more to fold without another poll's records."""
        return self._labelling is not None and self._labelling.is_behind

    def pass_gaps(self, polled: Polled) -> None:
        """Move quiet partitions past offsets that hold no record."""
        if polled.records or self._clock.monotonic() - self._quiet_since < GAP_AFTER_S:
            return
        folding = self._lives.tasks({Life.FOLDING})
        for partition, position in polled.positions.items():
            task = folding.get(partition)
            if task is not None and position > task.next_offset:
                task.advance(position)
                self._lives.move(partition, Move.FOLD)
