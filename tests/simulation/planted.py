"""Deliberate mistakes, each a small change of the running code: the simulation's own test."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
import pytest

from stream.adapters.memory import MemorySnapshots
from stream.core.event import Channel, Output, Record
from stream.core.task import Task
from stream.errors import CommitLost, Retryable
from stream.ports import Committed, Polled, StoredSnapshot
from stream.runtime import settling as settling_module
from stream.runtime import worker as worker_module
from stream.runtime.restore import Restore
from stream.runtime.settling import Settled, Settling
from stream.runtime.worker import Worker
from tests.simulation.doubles import PositionedLog
from tests.simulation.world import Parts

Plant = Callable[[pytest.MonkeyPatch], Parts]


class SnapshotsBeforeCommitting(Worker):
    """Takes a snapshot of a state that is not committed yet."""

    def _commit(self) -> None:
        self._snapshotter.consider(self._live.values())
        super()._commit()


class GoesOnAfterALostCommit(Worker):
    """Takes a commit whose fate is unknown for one that took effect."""

    def _doubt(self) -> None:
        self._outputs.clear()
        self._dirty.clear()


class CommitsForRevoked(Worker):
    """Publishes the outputs of a partition that was revoked before they were committed."""

    def _release(self, revoked: Iterable[int]) -> None:
        outputs = list(self._outputs)
        super()._release(revoked)
        self._outputs = outputs


class KeepsWonBackWork(Worker):
    """Keeps uncommitted work of a partition that was lost and won back in one poll."""

    def _poll(self) -> Polled:
        polled = super()._poll()
        return msgspec.structs.replace(polled, revoked=polled.revoked - polled.assigned)


class _Deaf(PositionedLog):
    """A log that does not hear `seek`."""

    def __init__(self) -> None:
        """Nothing is needed to be deaf."""

    def seek(self, partition: int, offset: int) -> None:
        """Ignore it."""


class LeavesACutBatch(Worker):
    """Does not rewind the position after a batch was cut by time."""

    def _fold(self, batches: Mapping[int, Sequence[Record]]) -> None:
        log, self._log = self._log, _Deaf()
        super()._fold(batches)
        self._log = log


class PublishesReplays(Restore):
    """Hands on what a replay gives, as if it were live."""

    leaked: list[Output]

    def _slice(self, task: Task, target: int, deadline: float) -> bool:
        step = task.step

        def loud(record: Record) -> list[Output]:
            outputs = step(record)
            self.leaked.extend(outputs)
            return outputs

        task.step = loud  # type: ignore[method-assign]  # that is the mistake
        try:
            return super()._slice(task, target, deadline)
        finally:
            del task.step


class TakesABrokenReadForTheEnd(Restore):
    """Asks a reader's generator that raised for more: it has ended, so the rest is skipped."""

    def _slice(self, task: Task, target: int, deadline: float) -> bool:
        try:
            return super()._slice(task, target, deadline)
        except Retryable:
            self._replay = iter(())
            raise


class KeepsHeldStates(Settling):
    """Does not compare a held state with what is committed."""

    def _look_up(self) -> Iterator[Settled]:
        for partition in sorted(self._unsettled & self._held.keys()):
            task = self._held.pop(partition)
            self._unsettled.discard(partition)
            self._log.seek(partition, task.next_offset)
            yield Settled(task=task, is_committed=True, end=None, stored_offset=task.state.genesis)
        yield from super()._look_up()


class ForgetsAFailedRestore(Settling):
    """Drops a restore that failed for a moment: its partition is in no room then."""

    def advance(self) -> Iterator[Settled]:
        """See `Settling.advance`."""
        try:
            yield from super().advance()
        except Retryable:
            self._restore = None
            raise


class StickyLog(PositionedLog):
    """Does not go back to the committed offset after an abort."""

    def seek(self, partition: int, offset: int) -> None:
        """Only the first time."""
        if partition not in self._positions:
            super().seek(partition, offset)


def _shifted(by: int) -> type[PositionedLog]:
    class Shifted(PositionedLog):
        def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
            """Off by one."""
            super().commit(
                outputs,
                {p: Committed(max(0, c.offset + by), c.metadata) for p, c in offsets.items()},
            )

    return Shifted


class CommitsTwice(PositionedLog):
    """Outputs in one transaction, offsets in another."""

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """See `Log.commit`."""
        super().commit(outputs, {})
        super().commit((), offsets)


class RepeatsALostCommit(PositionedLog):
    """Sends a commit again that may have taken effect."""

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """See `Log.commit`."""
        try:
            super().commit(outputs, offsets)
        except CommitLost:
            super().commit(outputs, offsets)


class IndexFirst(MemorySnapshots):
    """Tells of a snapshot before it is whole."""

    def save(self, partition: int, next_offset: int, sealed: bytes) -> None:
        """See `SnapshotStore.save`."""
        half = sealed[: len(sealed) // 2]
        entry = StoredSnapshot(next_offset, len(half), self._broker.clock.now_ms())
        self._held(partition)[next_offset] = entry, half
        super().save(partition, next_offset, sealed)


def _replay_that_publishes(patch: pytest.MonkeyPatch) -> Parts:
    leaked: list[Output] = []

    class Publishing(Worker):
        def _commit(self) -> None:
            self._outputs.extend(o for o in leaked if o.partition in self._dirty)
            leaked.clear()
            super()._commit()

    patch.setattr(PublishesReplays, "leaked", leaked, raising=False)
    patch.setattr(settling_module, "Restore", PublishesReplays)
    return Parts(worker=Publishing)


def _in_settling(name: str, made: type) -> Plant:
    module = settling_module if name == "Restore" else worker_module

    def plant(patch: pytest.MonkeyPatch) -> Parts:
        patch.setattr(module, name, made)
        return Parts()

    return plant


def _half_mutated(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr(Task, "_undo", lambda _task: None)
    return Parts()


def _any_identity(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr(Restore, "_identity", lambda *_: ())
    return Parts()


def _silent_output(channel: Channel) -> type[PositionedLog]:
    class Silent(PositionedLog):
        def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
            """Lose one channel's records."""
            super().commit([o for o in outputs if o.channel is not channel], offsets)

    return Silent


BUGS: Mapping[str, Plant] = {
    "a snapshot of an uncommitted state": lambda _: Parts(worker=SnapshotsBeforeCommitting),
    "a lost commit taken for a good one": lambda _: Parts(worker=GoesOnAfterALostCommit),
    "outputs of a revoked partition committed": lambda _: Parts(worker=CommitsForRevoked),
    "work kept of a partition won back": lambda _: Parts(worker=KeepsWonBackWork),
    "no rewind after a cut batch": lambda _: Parts(worker=LeavesACutBatch),
    "no rewind after an abort": lambda _: Parts(log=StickyLog),
    "committed offset one too low": lambda _: Parts(log=_shifted(-1)),
    "committed offset one too high": lambda _: Parts(log=_shifted(1)),
    "outputs and offsets in two transactions": lambda _: Parts(log=CommitsTwice),
    "a lost commit sent again": lambda _: Parts(log=RepeatsALostCommit),
    "alerts never sent": lambda _: Parts(log=_silent_output(Channel.ALERTS)),
    "index before manifest": lambda _: Parts(store=IndexFirst),
    "a replay that publishes": _replay_that_publishes,
    "a broken read taken for the end": _in_settling("Restore", TakesABrokenReadForTheEnd),
    "a held state kept unchecked": _in_settling("Settling", KeepsHeldStates),
    "a restore forgotten when it fails": _in_settling("Settling", ForgetsAFailedRestore),
    "a half-changed model kept": _half_mutated,
    "a snapshot under another's key loaded": _any_identity,
}
