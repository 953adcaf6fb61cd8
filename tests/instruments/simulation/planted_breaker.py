"""Deliberate mistakes in when a partition is paused, and when it goes on."""

from collections.abc import Callable, Mapping

import msgspec
import pytest

from stream.core.event import Rejection
from stream.core.fold.task import Task
from stream.core.snapshots.metadata import Metadata
from stream.runtime import worker as worker_module
from stream.runtime.breaker import Breaker, Verdict
from stream.runtime.life import MOVES, Life, Move
from stream.runtime.worker import Worker
from tests.instruments.simulation.doubles import deaf
from tests.instruments.simulation.world import Parts

Plant = Callable[[pytest.MonkeyPatch], Parts]


class NeverTrips(Breaker):
    """Counts, and lets everything pass."""

    def trips(self, task: Task, refusal: Rejection) -> bool:
        """See `Breaker.trips`."""
        super().trips(task, refusal)
        return False


class TripsEarly(Breaker):
    """Takes as many as are allowed for one too many."""

    def trips(self, task: Task, refusal: Rejection) -> bool:
        """See `Breaker.trips`."""
        is_over = super().trips(task, refusal)
        n, limit = len(self._refused[task.partition]), self._limit
        return is_over or n >= limit.share * limit.window


class CountsTwice(Breaker):
    """Counts the refusals that a lost commit held once more when they come again."""

    def adopt(self, task: Task) -> None:
        """See `Breaker.adopt`."""
        counted = list(self._refused.get(task.partition, ()))
        super().adopt(task)
        self._refused[task.partition].clear()
        self._refused[task.partition].extend(counted)


class AlwaysBetter(Breaker):
    """Finds every rehearsal good."""

    def rehearse(self, task: Task, *, budget_s: float) -> Verdict | None:
        """See `Breaker.rehearse`."""
        verdict = super().rehearse(task, budget_s=budget_s)
        return verdict and Verdict(task=verdict.task, refused_n=0, seen_n=1, is_over=False)


class ResumesInPlace(Worker):
    """Does not tell the log to deliver a partition again that was paused."""

    def _rehearse(self) -> None:
        with deaf(self._log):
            super()._rehearse()


def _breaking(made: type[Breaker]) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> Parts:
        patch.setattr(worker_module, "Breaker", made)
        return Parts()

    return plant


def _leading(moves: Mapping[tuple[Life, Move], Life]) -> Plant:
    """Lead moves elsewhere than the table does."""

    def plant(patch: pytest.MonkeyPatch) -> Parts:
        for at, life in moves.items():
            patch.setitem(MOVES, at, life)
        return Parts()

    return plant


def _pause_not_written(patch: pytest.MonkeyPatch) -> Parts:
    metadata = Task.metadata

    def silent(task: Task) -> Metadata:
        return msgspec.structs.replace(metadata(task), is_paused=False)

    patch.setattr(Task, "metadata", silent)
    return Parts()


BUGS: Mapping[str, Plant] = {
    "a breaker that never trips": _breaking(NeverTrips),
    "a breaker that trips too early": _breaking(TripsEarly),
    "refusals of a lost commit counted twice": _breaking(CountsTwice),
    "a pause not written beside the offset": _pause_not_written,
    "a pause forgotten by the next owner": _leading(
        {
            (Life.RESTORING, Move.RESTORED_PAUSED): Life.FOLDING,
            (Life.ASSIGNED, Move.KEEP_PAUSED): Life.FOLDING,
        }
    ),
    "a paused partition never tried again": _leading(
        {
            (Life.RESTORING, Move.RESTORED_PAUSED): Life.PAUSED,
            (Life.PAUSED, Move.OWE): Life.PAUSED,
            (Life.PAUSED, Move.COMMIT): Life.PAUSED,
        }
    ),
    "a rehearsal that is always good": _breaking(AlwaysBetter),
    "no seek after a pause": lambda _: Parts(worker=ResumesInPlace),
}
