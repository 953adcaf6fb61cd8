"""Deliberate mistakes, each a small change of the running code: the simulation's own test."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import msgspec
import pytest

from stream.core.event import Output, Record
from stream.core.fold.task import Task
from stream.errors import Retryable
from stream.ports import Committed, Polled
from stream.runtime import worker as worker_module
from stream.runtime.folding import Folding
from stream.runtime.life import LIVING, Life, Move
from stream.runtime.settling import Settled, Settling
from stream.runtime.watched_log import WatchedLog
from stream.runtime.worker import Worker
from tests.instruments.simulation import (
    planted_acting,
    planted_alerts,
    planted_breaker,
    planted_commands,
    planted_keep,
    planted_labels,
    planted_log,
    planted_state,
)
from tests.instruments.simulation.doubles import deaf
from tests.instruments.simulation.world import Parts

Plant = Callable[[pytest.MonkeyPatch], Parts]

SEEDS_MAX = 2_000


class SnapshotsBeforeCommitting(Worker):
    """Takes a snapshot of a state that is not committed yet."""

    def _commit(self) -> None:
        self._snapshotter.consider(self._lives.tasks(LIVING).values())
        super()._commit()


class GoesOnAfterALostCommit(Worker):
    """Takes a commit whose fate is unknown for one that took effect."""

    def _doubt(self) -> None:
        self._results.clear()
        for partition in self._lives.dirty:
            self._lives.move(partition, Move.COMMIT)


class CommitsForRevoked(Worker):
    """Publishes the outputs of a partition that was revoked before they were committed."""

    def _release(self, revoked: Iterable[int]) -> None:
        results = list(self._results)
        super()._release(revoked)
        self._results[:] = results


class KeepsWonBackWork(Worker):
    """Keeps uncommitted work of a partition that was lost and won back in one poll."""

    def _poll(self) -> Polled:
        polled = super()._poll()
        return msgspec.structs.replace(polled, revoked=polled.revoked - polled.assigned)


class LeavesACutBatch(Folding):
    """Does not rewind the position after a batch was cut by time."""

    def fold(self, batches: Mapping[int, Sequence[Record]]) -> None:
        """See `Folding.fold`."""
        with deaf(self._log):
            super().fold(batches)


class KeepsHeldStates(Settling):
    """Does not compare a held state with what is committed."""

    def _look_up(self, wanted: list[int]) -> Iterator[Settled]:
        for task in self._lives.tasks({Life.ASSIGNED}).values():
            yield self._kept(task)
        yield from super()._look_up(wanted)


class ForgetsAFailedRestore(Settling):
    """Drops a restore that failed for a moment: its partition is in no room then."""

    def advance(self) -> Iterator[Settled]:
        """See `Settling.advance`."""
        try:
            yield from super().advance()
        except Retryable:
            self._restore = None
            raise


class KeepsOutputs(Worker):
    """Sends what a lost commit held along with the next one."""

    def _doubt(self) -> None:
        results = list(self._results)
        super()._doubt()
        self._results.extend(results)


class IgnoresAFailedSeek(WatchedLog):
    """Takes a seek that failed for a good one."""

    def seek(self, task: Task) -> None:
        """See `WatchedLog.seek`."""
        with suppress(Retryable):
            super().seek(task)


class SeeksUnwatched(WatchedLog):
    """Puts no deadline on a seek."""

    def seek(self, task: Task) -> None:
        """See `WatchedLog.seek`."""
        self._log.seek(task.partition, task.next_offset)


class PassesNoGaps(Folding):
    """Waits for a record at offsets that hold none."""

    def pass_gaps(self, polled: Polled) -> None:
        """Do nothing."""


class CommitsUnwatched(WatchedLog):
    """Puts no deadline on a commit."""

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """See `WatchedLog.commit`."""
        self._log.commit(outputs, offsets)


def _as_worker(made: type[Worker]) -> Plant:
    return lambda _patch: Parts(worker=made)


def _with(made: type[Folding | Settling | WatchedLog], replaced: str) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> Parts:
        patch.setattr(worker_module, replaced, made)
        return Parts()

    return plant


def _always(parts: Parts) -> Plant:
    return lambda _patch: parts


BUGS: Mapping[str, Plant] = {
    "a snapshot of an uncommitted state": _as_worker(SnapshotsBeforeCommitting),
    "a lost commit taken for a good one": _as_worker(GoesOnAfterALostCommit),
    "outputs of a lost commit kept": _as_worker(KeepsOutputs),
    "outputs of a revoked partition committed": _as_worker(CommitsForRevoked),
    "work kept of a partition won back": _as_worker(KeepsWonBackWork),
    "no rewind after a cut batch": _with(LeavesACutBatch, "Folding"),
    "a seek that failed taken for a good one": _with(IgnoresAFailedSeek, "WatchedLog"),
    "a seek without a deadline": _with(SeeksUnwatched, "WatchedLog"),
    "gaps never passed": _with(PassesNoGaps, "Folding"),
    "a commit without a deadline": _with(CommitsUnwatched, "WatchedLog"),
    "a held state kept unchecked": _with(KeepsHeldStates, "Settling"),
    "a restore forgotten when it fails": _with(ForgetsAFailedRestore, "Settling"),
    **{name: _always(parts) for name, parts in planted_log.BUGS.items()},
    **planted_state.BUGS,
    **planted_breaker.BUGS,
    **planted_keep.BUGS,
    **planted_alerts.BUGS,
    **planted_commands.BUGS,
    **planted_acting.BUGS,
    **planted_labels.BUGS,
}
