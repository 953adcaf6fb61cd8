"""A worker folds labels of a topic of their own: the older record goes first, while both are there.

Any order is right, for it is written down; this one is what people expect, and what a backfill of
the same history gives, too.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from stream.core.event import Channel, LabelRecord, Record, Rejection
from stream.core.fold.labelling import LabellingTask
from stream.core.fold.task import Task
from stream.core.formats.records import quarantined
from stream.core.result import StepResult
from stream.core.snapshots.metadata import NOWHERE, Reached
from stream.runtime.commit_policy import RECORDS_MAX
from stream.runtime.labels_topic import LabelsTopic
from stream.runtime.life import Life, Lives, Move
from stream.runtime.sources import Sources
from stream.runtime.uncommitted import Uncommitted
from stream.telemetry import Metric

ALONE_S_MAX: Final = 0.1
"""Of a partition without events, so long labels are folded between two polls: a commit may be due,
and a signal to stop may have come."""


class Labels(NamedTuple):
    """The labels topic.

    Attributes:
        topic: reads it.
        name: its name, for labels that are refused.
        patience_s: so long labels wait for events that are on their way.
    """

    topic: LabelsTopic
    name: str
    patience_s: float


class Labelling:
    """Folds labels between events.

    Args:
        labels: where they come from.
        results: takes what steps gave.
        uncommitted: takes what else is to be committed.
    """

    def __init__(
        self,
        labels: Labels,
        *,
        lives: Lives,
        results: list[StepResult],
        uncommitted: Uncommitted,
        sources: Sources,
    ) -> None:
        self._topic, self._name, self._patience_s = labels
        self._lives = lives
        self._results = results
        self._uncommitted = uncommitted
        self._recipe, self._telemetry = sources.recipe, sources.telemetry
        self._clock = sources.clock
        self._alone_since: dict[int, float] = {}
        self.is_behind = False
        """More labels can be folded at once, without any event."""

    def adopt(self, task: Task) -> None:
        """Read labels for a task that is live now."""
        self._topic.begin(task.partition, task.reached.get(Channel.LABELS, NOWHERE))

    def drop(self, partitions: Collection[int]) -> None:
        """Read none for these any more."""
        self._topic.drop(partitions)
        for partition in partitions:
            self._alone_since.pop(partition, None)

    def are_through(self, partitions: Collection[int]) -> bool:
        """Whether all labels are folded that there were when these began."""
        return all(map(self._topic.is_through, partitions))

    def prepare(self, batches: Mapping[int, Sequence[Record]]) -> None:
        """Know, before these events are folded, which labels there are by now.

        Where they were read up to the time of the last event nothing more is to be known.
        """
        unknown = []
        for partition, records in batches.items():
            self._alone_since.pop(partition, None)
            waiting = self._topic.waiting(partition)
            if not waiting or waiting[-1].timestamp_ms < records[-1].timestamp_ms:
                unknown.append(partition)
        if unknown:
            self._topic.ask(unknown)

    def fold_before(self, task: Task, record: Record, deadline_s: float) -> bool:
        """Fold the labels that are older than an event.

        Returns: whether these are all; else the deadline came, or it was as much as one commit
            takes.
        """
        topic, partition, before_ms = self._topic, task.partition, record.timestamp_ms
        waiting, results = topic.waiting(partition), self._results
        if waiting and waiting[0].timestamp_ms >= before_ms:
            return True
        while True:
            while waiting and waiting[0].timestamp_ms < before_ms:
                self._fold(task, waiting.popleft())
                if len(results) >= RECORDS_MAX or self._clock.monotonic() > deadline_s:
                    return False
            topic.refill(partition)
            if waiting or not topic.has_more(partition):
                return True
            if not topic.ask([partition]) or not waiting:
                return True

    def fold_alone(
        self,
        batches: Collection[int],
        positions: Mapping[int, int],
        spent: Callable[[int, float], None],
    ) -> int:
        """Fold the labels of partitions of which the last poll had no event, if there is none.

        Args:
            batches: the partitions that had some.
            positions: where the log is, if it knows.
            spent: is told how long that took, of each partition.

        Returns: how many were folded.
        """
        self.is_behind, folded_n = False, 0
        folding = self._lives.tasks({Life.FOLDING})
        idle = [p for p in folding if p not in batches and self._topic.waiting(p)]
        if not idle or len(self._results) >= RECORDS_MAX:
            return 0
        known = self._topic.ask(idle, events=True)
        for partition in idle:
            task = folding[partition]
            end = self._topic.events_end(partition) if partition in known else None
            reached = max(task.next_offset, positions.get(partition, 0))
            if (end is None or reached < end) and not self._has_waited(partition):
                continue
            self._lives.move(partition, Move.FOLD)
            waiting, began_s = self._topic.waiting(partition), self._clock.monotonic()
            deadline_s = began_s + ALONE_S_MAX
            while waiting and len(self._results) < RECORDS_MAX:
                self._fold(task, waiting.popleft())
                folded_n += 1
                if self._clock.monotonic() > deadline_s:
                    break
            spent(partition, self._clock.monotonic() - began_s)
            self.is_behind |= bool(waiting) or self._topic.has_more(partition)
        return folded_n

    def _has_waited(self, partition: int) -> bool:
        """Whether labels have waited long enough for events that are on their way."""
        now_s = self._clock.monotonic()
        since_s = self._alone_since.setdefault(partition, now_s)
        return now_s - since_s >= self._patience_s

    def _fold(self, task: Task, record: Record) -> None:
        """Fold one record of the labels topic, or refuse it for its bytes."""
        assert isinstance(task, LabellingTask)  # noqa: S101  # the configuration has labels
        label = task.read_label(record)
        self._telemetry.count(Metric.LABELS)
        if isinstance(label, LabelRecord):
            self._uncommitted.step(task, record, Channel.LABELS)
            self._results.append(task.step_label(record, label))
        else:
            self._refuse(record, label)
        self._uncommitted.pass_by(task, record, Channel.LABELS)

    def _refuse(self, record: Record, why: Rejection) -> None:
        """Quarantine a record whose bytes alone say that it is no label; that is no step."""
        recipe = self._recipe
        self._uncommitted.tell(
            quarantined(
                record, why, pipeline=recipe.pipeline, topic=self._name, limits=recipe.limits
            )
        )
        self._telemetry.count(Metric.REJECTED)
        self._telemetry.reasons[why.reason.value] += 1

    def place(self, tasks: Collection[Task]) -> None:
        """Note, before a commit, where reading began of those of which none was folded yet."""
        for task in tasks:
            if task.reached.get(Channel.LABELS, NOWHERE).offset is None:
                begun = self._topic.began_at(task.partition)
                if begun is not None:
                    task.reached[Channel.LABELS] = Reached(begun)
