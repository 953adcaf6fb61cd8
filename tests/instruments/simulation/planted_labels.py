"""Deliberate mistakes in labels that come later: whose they are, in which order, how often."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from stream.core.commands import Entry
from stream.core.event import Channel, Event, Feature, LabelRecord, Record, Rejection
from stream.core.fold.labelling import LabellingTask
from stream.core.fold.late_learning import LateLearningTask
from stream.core.fold.repeating import repeat
from stream.core.fold.task import Task
from stream.core.formats import quarantine
from stream.core.labels.kept import Kept
from stream.core.labels.pending import EXPIRED_N_MAX, Pending
from stream.core.labels.segment import WAITING
from stream.core.learning.lesson import Lesson
from stream.core.snapshots.metadata import NOWHERE, Metadata, Reached
from stream.ports import Committed
from stream.runtime import beside as beside_module
from stream.runtime import journaled as journaled_module
from stream.runtime import published as published_module
from stream.runtime import recent
from stream.runtime import worker as worker_module
from stream.runtime.beside import Beside
from stream.runtime.journaled import Journaled
from stream.runtime.labelling import Labelling
from stream.runtime.labels_look import LabelsLook
from stream.runtime.labels_topic import LabelsTopic
from stream.runtime.life import LIVING, Life, Lives
from stream.runtime.replay import Replay
from stream.runtime.uncommitted import Uncommitted
from stream.telemetry import Telemetry
from tests.instruments.simulation import world as world_module
from tests.instruments.simulation.planted_commands import outside, patched
from tests.instruments.simulation.world import Parts

Plant = Callable[[pytest.MonkeyPatch], Parts]

_learn_late, _learn_again = LateLearningTask._learn_late, LateLearningTask._learn_again
_step, _place, _metadata, _state = (
    Uncommitted.step, Journaled.place, Task.metadata, Pending.__getstate__,
)  # fmt: skip
_event_offset = published_module.event_offset


class CommitsWhatIsRead(Beside):
    """Says to have folded all labels that it has read."""

    def to_commit(self, tasks: Mapping[int, Task]) -> tuple[dict[int, Committed], Sequence[Any]]:
        """See `Beside.to_commit`."""
        committed, told = super().to_commit(tasks)
        labelling = self.labelling
        for partition, task in tasks.items() if labelling is not None else ():
            watched = labelling._topic._watched.get(partition) if labelling else None
            if watched is not None and watched.at.offset is not None:
                task.reached[Channel.LABELS] = Reached(watched.at.offset)
                metadata = task.metadata().encode()
                committed[partition] = msgspec.structs.replace(
                    committed[partition], metadata=metadata
                )
        return committed, told


class WatchesForEver(LabelsTopic):
    """Goes on behind the labels that it had read before a commit was lost, or others had them."""

    def drop(self, partitions: Collection[int]) -> None:
        """Do nothing."""

    def begin(self, partition: int, at: Reached) -> None:
        """Only once."""
        if partition not in self._watched:
            super().begin(partition, at)


_look_place = LabelsLook._place


def _silently(self: LabelsLook, *arguments: Any) -> Reached:
    """Labels that retention took are passed over without a word."""
    telemetry, self._telemetry = self._telemetry, Telemetry()
    try:
        return _look_place(self, *arguments)
    finally:
        self._telemetry = telemetry


class LabelsFirst(Labelling):
    """Of a label and an event of one time the label goes first."""

    def fold_before(self, task: Task, record: Record, deadline_s: float) -> bool:
        """See `Labelling.fold_before`."""
        later = msgspec.structs.replace(record, timestamp_ms=record.timestamp_ms + 1)
        return super().fold_before(task, later, deadline_s)


class LabelsLast(Labelling):
    """Folds labels where there is no event."""

    def fold_before(self, *_: object) -> bool:
        """Fold none."""
        return True


class AllLabelsFirst(Labelling):
    """Folds all labels before any event."""

    def fold_before(self, task: Task, record: Record, deadline_s: float) -> bool:
        """See `Labelling.fold_before`."""
        last = msgspec.structs.replace(record, timestamp_ms=1 << 60)
        return super().fold_before(task, last, deadline_s)


class WaitsForNoEvent(Labelling):
    """Folds labels of partitions that have no event in a poll, whatever waits in the log."""

    def _has_waited(self, _partition: int) -> bool:
        return True


class RefusesTwice(Labelling):
    """Sends a refused label into the quarantine twice."""

    def _refuse(self, record: Record, why: Rejection) -> None:
        super()._refuse(record, why)
        super()._refuse(record, why)


class _AllFold(Lives):
    """Takes what lives for what folds."""

    def __init__(self, lives: Lives) -> None:
        self._known = lives._known

    def tasks(self, lives: Collection[Life]) -> dict[int, Task]:  # noqa: ARG002  # the mistake
        """See `Lives.tasks`."""
        return super().tasks(LIVING)


class FoldsWhatStands(Labelling):
    """Folds labels of partitions that a command has paused."""

    def fold_alone(
        self,
        batches: Collection[int],
        positions: Mapping[int, int],
        spent: Callable[[int, float], None],
    ) -> int:
        """See `Labelling.fold_alone`."""
        lives, self._lives = self._lives, _AllFold(self._lives)
        try:
            return super().fold_alone(batches, positions, spent)
        finally:
            self._lives = lives


class ReadsTheTopic(Replay):
    """Repeats labels as they lie in their topic, which the journal was to keep."""

    def _fold(self, entry: Entry) -> None:
        if entry.input != Channel.LABELS.value:
            super()._fold(entry)
            return
        partition, at = self.task.partition, entry.offset
        bounds = self._reader.bounds(Channel.LABELS, partition)
        record = None
        if bounds.start <= at < bounds.end:
            records = recent.records_in(self._reader, Channel.LABELS, partition, at, at + 1)
            record = next(records, None)
        if record is not None:
            repeat(self.task, msgspec.structs.replace(entry, key=record.key, value=record.value))


def _of_the_latest(self: LateLearningTask, value: bytes) -> dict[str, Feature]:
    """A label is learned with the features of the event that came last."""
    pending = self._pending
    newest = max((offset for offset, _ in pending._events.live()), default=None)
    kept = None if newest is None else pending.find(newest)
    event = self._reread(value if kept is None else kept.value)
    assert isinstance(event, Event)
    return event.features


def _scored_again(
    self: LateLearningTask, result: Any, kept: Kept, label: Any, *, is_scored: bool
) -> Any:
    """A correction is scored, too."""
    del is_scored
    return _learn_late(self, result, kept, label, is_scored=True)


def _by_arrival(self: Pending) -> Iterator[tuple[int, Kept]]:
    """What came first expires first, and holds back what came later."""
    over_ms = self.time.now_ms - self._spec.wait_ms
    for offset in _waiting(self)[:EXPIRED_N_MAX]:
        kept = self.find(offset)
        assert kept is not None
        if kept.time_ms > over_ms:
            return
        yield offset, self._take(offset)


def _newest_out(self: Pending) -> None:
    """What came last has no room."""
    if self._labelled:
        self._take(next(iter(self._labelled)))
    elif waiting := _waiting(self):
        self.dropped.append((waiting[-1], self._take(waiting[-1])))


def _waiting(pending: Pending) -> list[int]:
    """The offsets of the events that wait, in their order."""
    events = pending._events
    found = ((offset, events.find(offset)) for offset, _ in events.live())
    return [offset for offset, event in found if event is not None and event[0] == WAITING]


def _but_every_third(patch: pytest.MonkeyPatch) -> Parts:
    """One of three labels is not written into the journal."""
    seen = [0]

    def step(self: Uncommitted, task: Task, record: Record, source: Channel) -> None:
        seen[0] += source is Channel.LABELS
        if source is not Channel.LABELS or seen[0] % 3:
            _step(self, task, record, source)

    patch.setattr(Uncommitted, "step", step)
    return Parts()


def _one_further(self: Uncommitted, task: Task, record: Record, source: Channel) -> None:
    """A label is written down behind the event that it was folded before."""
    _step(self, task, record, source)
    if source is Channel.LABELS:
        entries = self._entries[task.partition]
        further = entries[-1].next_offset + 1
        entries[-1] = msgspec.structs.replace(entries[-1], next_offset=further)


def _from_the_start(self: Journaled, task: Task, committed: Committed | None) -> None:
    """Whoever takes over reads the labels from their start on."""
    _place(self, task, committed)
    task.reached[Channel.LABELS] = NOWHERE


def _without_place(task: Task) -> Metadata:
    """No commit tells how far the labels were read."""
    return msgspec.structs.replace(_metadata(task), labels_topic=NOWHERE)


def _without_early(self: Pending) -> list[Any]:
    """A snapshot has no labels that came before their events."""
    early, self._early = self._early, {}
    try:
        return _state(self)
    finally:
        self._early = early


def _no_lessons(self: LateLearningTask, record: Record | Lesson, *, is_detected: bool) -> None:
    """Whoever goes back to a copy does not learn again what labels taught since."""
    if not isinstance(record, Lesson):
        _learn_again(self, record, is_detected=is_detected)


def _any_id(self: LabellingTask, value: bytes | None) -> Event | Rejection:
    """An event with the id of one that waits is as good as any."""
    return self._reread(value)


def _of_any_topic(record: Record, *, topic: str) -> int | None:  # noqa: ARG001
    """A label that was refused is an outcome of the event at its offset."""
    refused = quarantine.parse(record)
    return _event_offset(record, topic="" if refused is None else refused.topic)


def _all_are_events(patch: pytest.MonkeyPatch) -> Parts:
    """A label moves the fold on, and is counted as an event."""
    fold_label = LabellingTask._fold_label

    def counted(self: LabellingTask, at: Any, record: Record, label: LabelRecord) -> Any:
        harm = fold_label(self, at, record, label)
        self.state.commanded.folded_n -= 1
        return harm

    patch.setattr(LabellingTask, "_fold_label", counted)
    return Parts()


def _one_early(patch: pytest.MonkeyPatch) -> Parts:
    """Of two labels that wait for one event one is lost."""
    take = Pending.take_early
    patch.setattr(Pending, "take_early", lambda *arguments: [*take(*arguments)][:1])
    return Parts()


def _times_of_labels(patch: pytest.MonkeyPatch) -> Parts:
    """The fold's time is that of the labels topic, too."""
    step_label = LabellingTask.step_label

    def seeing(self: LabellingTask, record: Record, label: LabelRecord) -> Any:
        self._pending.time.see(record.timestamp_ms)
        return step_label(self, record, label)

    patch.setattr(LabellingTask, "step_label", seeing)
    return Parts()


def _labelling(made: type[Labelling]) -> Plant:
    return patched(beside_module, "Labelling", made)


def _topic(made: type[LabelsTopic]) -> Plant:
    return patched(world_module, "LabelsTopic", made)


BUGS: Mapping[str, Plant] = {
    "a label learned with today's features": patched(
        LateLearningTask, "_features_of", _of_the_latest
    ),
    "an outcome outside the transaction": outside(Channel.OUTCOMES),
    "labels passed over that were only read": patched(worker_module, "Beside", CommitsWhatIsRead),
    "labels of a lost commit not read again": _topic(WatchesForEver),
    "labels lost without a word": patched(LabelsLook, "_place", _silently),
    "events that expire in the order of their arrival": patched(Pending, "expired", _by_arrival),
    "a correction scored": patched(LateLearningTask, "_learn_late", _scored_again),
    "a journal without one label": _but_every_third,
    "a label journaled behind its event": patched(Uncommitted, "step", _one_further),
    "labels read again by whoever takes over": patched(Journaled, "place", _from_the_start),
    "the place in the labels topic not committed": patched(Task, "metadata", _without_place),
    "a label refused twice": _labelling(RefusesTwice),
    "an id that is kept taken a second time": patched(LabellingTask, "_decode_new", _any_id),
    "the newest event dropped": patched(Pending, "_make_room", _newest_out),
    "early labels not in the snapshot": patched(Pending, "__getstate__", _without_early),
    "a label before an event of its time": _labelling(LabelsFirst),
    "labels behind all events": _labelling(LabelsLast),
    "labels before all events": _labelling(AllLabelsFirst),
    "labels that wait for no event": _labelling(WaitsForNoEvent),
    "labels of a paused partition folded": _labelling(FoldsWhatStands),
    "a replay that reads the labels topic": patched(journaled_module, "Replay", ReadsTheTopic),
    "labels not learned again after an undo": patched(
        LateLearningTask, "_learn_again", _no_lessons
    ),
    "a label counted as an event": _all_are_events,
    "one of two early labels lost": _one_early,
    "a refused label taken for an event's outcome": patched(
        published_module, "event_offset", _of_any_topic
    ),
    "the fold's time of the labels topic": _times_of_labels,
}  # fmt: skip
"""Where labels come in a topic, or among the events."""
