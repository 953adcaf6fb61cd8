"""Deliberate mistakes in the fold, in its snapshots, and in how it is restored."""

import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from math import inf
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from stream.core.event import Channel, Record
from stream.core.fold import task as task_module
from stream.core.fold.task import Task
from stream.core.learning import failures as failures_module
from stream.core.learning.learner import At, Learner
from stream.core.learning.lesson import Lesson
from stream.core.result import NoAnswer, StepResult
from stream.core.snapshots import seal as snapshot_module
from stream.core.snapshots.metadata import Metadata, parse_metadata
from stream.errors import LogLost, Retryable
from stream.ports import Bounds, Committed, StoredSnapshot
from stream.runtime import journaled as journaled_module
from stream.runtime import origins as origins_module
from stream.runtime import restore as restore_module
from stream.runtime import settling as settling_module
from stream.runtime import snapshotter as snapshotter_module
from stream.runtime import storing as storing_module
from stream.runtime.candidates import Candidates
from stream.runtime.identity import Identity
from stream.runtime.replay import Look, Replay
from stream.runtime.restore import Restore
from stream.runtime.resumption import Resumption
from stream.runtime.storing import Storing
from stream.runtime.worker import Worker
from tests.instruments.simulation.cache import CachedSnapshots
from tests.instruments.simulation.world import Parts

Plant = Callable[[pytest.MonkeyPatch], Parts]


class PublishesReplays(Replay):
    """Hands on what a replay gives, as if it were live."""

    leaked: list[StepResult]

    def advance(self, stop: int, *, until_s: float = inf, look: Look | None = None) -> bool:
        """See `Replay.advance`."""
        task, step = self.task, self.task.step

        def loud(record: Record) -> StepResult:
            result = step(record)
            self.leaked.append(result)
            return result

        task.step = loud  # type: ignore[method-assign]  # that is the mistake
        try:
            return super().advance(stop, until_s=until_s, look=look)
        finally:
            del task.step


class TakesABrokenReadForTheEnd(Replay):
    """Asks a reader's generator that raised for more: it has ended, so the rest is skipped."""

    def advance(self, stop: int, *, until_s: float = inf, look: Look | None = None) -> bool:
        """See `Replay.advance`."""
        try:
            return super().advance(stop, until_s=until_s, look=look)
        except Retryable:
            self._batches = iter(())
            raise


class TakesWhatIsLeft(Restore):
    """Begins untrained where the log no longer fits what was committed."""

    def _begin(self) -> Task:
        try:
            return super()._begin()
        except LogLost:
            bounds = self._sources.reader.bounds(Channel.EVENTS, self.partition)
            self._committed, self._expected, self.changed = None, None, True
            return self._untrained(bounds.start)


class ProvesNothing(Restore):
    """Takes a replay for right without a look at its digest."""

    def _proved(self, task: Task, expected: Metadata) -> Task:  # noqa: ARG002  # that is the mistake
        return task


class TakesOffsetsAsTheyAre(Restore):
    """Does not ask how far the outcomes reach."""

    def _resumed(
        self,
        committed: Committed,
        known: Metadata | None,  # noqa: ARG002  # that is the mistake
        events: Bounds,  # noqa: ARG002
        *,
        is_ours: bool,  # noqa: ARG002
    ) -> Resumption:
        return Resumption(offset=committed.offset, reach=committed.offset)


class PassesOverEvents(Restore):
    """Goes on where a tool set the offset ahead, with a rebuild too."""

    def _resumed(
        self, committed: Committed, known: Metadata | None, events: Bounds, *, is_ours: bool
    ) -> Resumption:
        return replace(super()._resumed(committed, known, events, is_ours=is_ours), missing=None)


class KnowsNoTopicId(Candidates):
    """Does not ask which topic of that name a snapshot is of."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._identity = replace(self._identity, topic_id=None)


class SavesLoudly(Storing):
    """Lets a store that is away end the worker."""

    def _say_unreachable(self, error: Exception) -> None:
        raise error


class IndexFirst(CachedSnapshots):
    """Tells of a snapshot before it is there."""

    def save(
        self,
        partition: int,
        n: int,
        sealed: bytes,
        *,
        next_offset: int,
        topic_id: str = "",  # noqa: ARG002  # nobody misses it
    ) -> None:
        """See `SnapshotStore.save`."""
        self._connection.call = "save"
        manifest = msgspec.json.encode(
            {
                "write": "w",
                "chunks": 1,
                "next_offset": next_offset,
                "size_bytes": len(sealed),
                "saved_at_ms": 0,
            }
        )
        self._redis.zadd(self._index(partition), {f"n{n}": n})
        self._redis.set(self._manifest(partition, n), manifest)
        self._redis.set(f"{self._manifest(partition, n)}:w:0", sealed)


class RemovesNothing(CachedSnapshots):
    """Takes a snapshot out of the index and leaves its bytes."""

    def remove(self, partition: int, n: int) -> None:
        """See `SnapshotStore.remove`."""
        self._connection.call = "remove"
        self._redis.zrem(self._index(partition), f"n{n}")


def _replay_that_publishes(patch: pytest.MonkeyPatch) -> Parts:
    leaked: list[StepResult] = []

    class Publishing(Worker):
        def _commit(self) -> None:
            self._results.extend(r for r in leaked if r.record.partition in self._lives.dirty)
            leaked.clear()
            super()._commit()

    patch.setattr(PublishesReplays, "leaked", leaked, raising=False)
    patch.setattr(journaled_module, "Replay", PublishesReplays)
    return Parts(worker=Publishing)


def _replaying(made: type[Replay]) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> Parts:
        patch.setattr(journaled_module, "Replay", made)
        return Parts()

    return plant


def _restoring(made: type[Restore]) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> Parts:
        patch.setattr(settling_module, "Restore", made)
        return Parts()

    return plant


def _half_mutated(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr(Task, "_go_back", lambda *_: None)
    return Parts()


def _gaps_refused(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr(Learner, "_ask_first", lambda learner, features: learner._answer(features))
    return Parts()


def _nan_refused(patch: pytest.MonkeyPatch) -> Parts:
    def refuse(gap: str) -> str:
        raise NoAnswer(gap)

    patch.setattr(task_module, "one_line", refuse)
    return Parts()


def _failures_uncounted(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr(failures_module, "FAILED_MAX", 1000)
    return Parts()


def _failures_forgotten(patch: pytest.MonkeyPatch) -> Parts:
    become = Learner.become

    def forgetful(learner: Learner, copy: Learner) -> list[Record | Lesson]:
        learner.failures = copy.failures
        return become(learner, copy)

    patch.setattr(Learner, "become", forgetful)
    return Parts()


def _detector_first(patch: pytest.MonkeyPatch) -> Parts:
    fail = Task._fail

    def seen(task: Task, *args: Any, at: At) -> StepResult:
        task.state.detectors.update(1, None, None, {})
        return fail(task, *args, at=at)

    patch.setattr(Task, "_fail", seen)
    return Parts()


def _not_learned_again(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr(Task, "_learn_again", lambda *_, **__: None)
    return Parts()


def _poison_ends_it(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr(task_module, "CRASHES", (Exception,))
    return Parts()


def _offsets_counted(patch: pytest.MonkeyPatch) -> Parts:
    metadata = Task.metadata

    def counting(task: Task) -> Metadata:
        n = task.next_offset - task.state.genesis
        return msgspec.structs.replace(metadata(task), n=n)

    patch.setattr(Task, "metadata", counting)
    return Parts()


def _names_forgotten(patch: pytest.MonkeyPatch) -> Parts:
    keep_copy = Task.keep_copy

    def kept(task: Task) -> bytes:
        names, task.state.names = task.state.names, set()
        try:
            return keep_copy(task)
        finally:
            task.state.names = names

    patch.setattr(Task, "keep_copy", kept)
    return Parts()


def _no_topic_id(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr(origins_module, "Candidates", KnowsNoTopicId)
    return Parts()


def _any_identity(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr(Identity, "problem", lambda *_: None)
    return Parts()


def _begins_again(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr(restore_module, "second_look", lambda *_, **__: None)
    return Parts()


def _any_signature(patch: pytest.MonkeyPatch) -> Parts:
    trusting = SimpleNamespace(digest=hmac.digest, compare_digest=lambda _one, _other: True)
    patch.setattr(snapshot_module, "hmac", trusting)
    return Parts()


def _newest_removed(patch: pytest.MonkeyPatch) -> Parts:
    def oldest_kept(stored: Iterable[StoredSnapshot], *, keep: int, **_: object) -> list[int]:
        return sorted(each.n for each in stored)[keep:]

    patch.setattr(storing_module, "superfluous", oldest_kept)
    return Parts()


def _loudly(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr(snapshotter_module, "Storing", SavesLoudly)
    return Parts()


def _writes_mixed(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr(CachedSnapshots, "_name_of_write", lambda _store: "same")
    return Parts()


def _ceiling_forgotten(patch: pytest.MonkeyPatch) -> Parts:
    def parsed(text: str) -> Metadata | None:
        known = parse_metadata(text)
        return known and msgspec.structs.replace(known, closed_n=None)

    patch.setattr(restore_module, "parse_metadata", parsed)
    return Parts()


def _ceiling_undone(patch: pytest.MonkeyPatch) -> Parts:
    fail = Task._fail

    def reopened(task: Task, *args: Any, at: At) -> StepResult:
        task.state.closed_n = None
        return fail(task, *args, at=at)

    patch.setattr(Task, "_fail", reopened)
    return Parts()


def _ceiling_not_looked_for(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr(Restore, "_find_closing", lambda *_: None)
    return Parts()


BUGS: Mapping[str, Plant] = {
    "a replay that publishes": _replay_that_publishes,
    "a broken read taken for the end": _replaying(TakesABrokenReadForTheEnd),
    "a log that lost records taken as it is": _restoring(TakesWhatIsLeft),
    "a replay that is not proved": _restoring(ProvesNothing),
    "a snapshot of another topic loaded": _no_topic_id,
    "a snapshot under another's key loaded": _any_identity,
    "a lost offset begins again": _begins_again,
    "an offset that was set back taken as it is": _restoring(TakesOffsetsAsTheyAre),
    "events passed over in silence": _restoring(PassesOverEvents),
    "a signature not checked": _any_signature,
    "the newest snapshots removed": _newest_removed,
    "Redis away ends the worker": _loudly,
    "index before manifest": lambda _: Parts(store=IndexFirst),
    "chunks left when a snapshot is removed": lambda _: Parts(store=RemovesNothing),
    "chunks of two writes under one name": _writes_mixed,
    "a half-changed model kept": _half_mutated,
    "a detector updated before learning": _detector_first,
    "what an undone model had learned since its copy not learned again": _not_learned_again,
    "an event refused for a gap of the model's": _gaps_refused,
    "NaN ends the worker": _nan_refused,
    "failures of the model not counted": _failures_uncounted,
    "failures forgotten when a fold goes back": _failures_forgotten,
    "poison ends the worker": _poison_ends_it,
    "offsets counted for records": _offsets_counted,
    "feature names not in the snapshot": _names_forgotten,
    "a replay that forgets since when no name is new": _ceiling_forgotten,
    "a closed state opened when a fold goes back": _ceiling_undone,
    "names left out looked for in no alert": _ceiling_not_looked_for,
}
