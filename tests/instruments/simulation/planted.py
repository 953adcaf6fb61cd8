"""Deliberate mistakes, each a small change of the running code: the simulation's own test."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress

import msgspec
import pytest

from stream.adapters.memory import MemoryLog
from stream.core.event import Record
from stream.core.task import Task
from stream.errors import Retryable
from stream.ports import Polled
from stream.runtime import worker as worker_module
from stream.runtime.life import LIVING, Life, Move
from stream.runtime.settling import Settled, Settling
from stream.runtime.worker import Worker
from tests.instruments.simulation import planted_breaker, planted_log, planted_state
from tests.instruments.simulation.doubles import DeafLog
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
        self._results = results


class KeepsWonBackWork(Worker):
    """Keeps uncommitted work of a partition that was lost and won back in one poll."""

    def _poll(self) -> Polled:
        polled = super()._poll()
        return msgspec.structs.replace(polled, revoked=polled.revoked - polled.assigned)


class LeavesACutBatch(Worker):
    """Does not rewind the position after a batch was cut by time."""

    def _fold(self, batches: Mapping[int, Sequence[Record]]) -> None:
        log = self._log
        assert isinstance(log, MemoryLog)
        self._log = DeafLog(log)
        super()._fold(batches)
        self._log = log


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


class IgnoresAFailedSeek(Worker):
    """Takes a seek that failed for a good one."""

    def _seek(self, task: Task) -> None:
        with suppress(Retryable):
            super()._seek(task)


class SeeksUnwatched(Worker):
    """Puts no deadline on a seek."""

    def _seek(self, task: Task) -> None:
        self._log.seek(task.partition, task.next_offset)


class PassesNoGaps(Worker):
    """Waits for a record at offsets that hold none."""

    def _pass_gaps(self, polled: Polled) -> None:
        """Do nothing."""


class CommitsUnwatched(Worker):
    """Puts no deadline on a commit."""

    def _commit(self) -> None:
        watched = self._deadlined
        self._deadlined = lambda *_: nullcontext()  # type: ignore[assignment]  # that is the mistake
        try:
            super()._commit()
        finally:
            self._deadlined = watched


def _as_worker(made: type[Worker]) -> Plant:
    return lambda _patch: Parts(worker=made)


def _in_settling(made: type[Settling]) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> Parts:
        patch.setattr(worker_module, "Settling", made)
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
    "no rewind after a cut batch": _as_worker(LeavesACutBatch),
    "a seek that failed taken for a good one": _as_worker(IgnoresAFailedSeek),
    "a seek without a deadline": _as_worker(SeeksUnwatched),
    "gaps never passed": _as_worker(PassesNoGaps),
    "a commit without a deadline": _as_worker(CommitsUnwatched),
    "a held state kept unchecked": _in_settling(KeepsHeldStates),
    "a restore forgotten when it fails": _in_settling(ForgetsAFailedRestore),
    **{name: _always(parts) for name, parts in planted_log.BUGS.items()},
    **planted_state.BUGS,
    **planted_breaker.BUGS,
}
