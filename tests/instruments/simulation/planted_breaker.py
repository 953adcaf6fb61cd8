"""Deliberate mistakes in when a partition is paused, and when it goes on."""

from collections.abc import Callable, Mapping

import msgspec
import pytest

from stream.adapters.memory import MemoryLog
from stream.core.event import Rejection
from stream.core.metadata import Metadata
from stream.core.task import Task
from stream.runtime import worker as worker_module
from stream.runtime.breaker import Breaker, Verdict
from stream.runtime.worker import Worker
from tests.instruments.simulation.doubles import DeafLog
from tests.instruments.simulation.world import Parts

Plant = Callable[[pytest.MonkeyPatch], Parts]


class NeverTrips(Breaker):
    """Counts, and lets everything pass."""

    def trips(self, task: Task, refusal: Rejection) -> bool:
        """See `Breaker.trips`."""
        super().trips(task, refusal)
        task.is_paused = False
        return False


class TripsEarly(Breaker):
    """Takes as many as are allowed for one too many."""

    def trips(self, task: Task, refusal: Rejection) -> bool:
        """See `Breaker.trips`."""
        is_over = super().trips(task, refusal)
        n, limit = len(self._refused[task.partition]), self._limit
        task.is_paused = is_over or n >= limit.share * limit.window
        return task.is_paused


class CountsTwice(Breaker):
    """Counts the refusals that a lost commit held once more when they come again."""

    def adopt(self, task: Task, *, is_restored: bool) -> None:
        """See `Breaker.adopt`."""
        counted = list(self._refused.get(task.partition, ()))
        super().adopt(task, is_restored=is_restored)
        self._refused[task.partition].clear()
        self._refused[task.partition].extend(counted)


class ForgetsPauses(Breaker):
    """Goes on with what its last owner had paused."""

    def adopt(self, task: Task, *, is_restored: bool) -> None:
        """See `Breaker.adopt`."""
        task.is_paused = False
        super().adopt(task, is_restored=is_restored)


class TriesNothing(Breaker):
    """Leaves a paused partition as it is, whoever gets it."""

    def adopt(self, task: Task, *, is_restored: bool) -> None:  # noqa: ARG002  # that is the mistake
        """See `Breaker.adopt`."""
        super().adopt(task, is_restored=False)


class AlwaysBetter(Breaker):
    """Finds every rehearsal good."""

    def rehearse(self, live: Mapping[int, Task], *, budget_s: float) -> Verdict | None:
        """See `Breaker.rehearse`."""
        verdict = super().rehearse(live, budget_s=budget_s)
        return verdict and Verdict(task=verdict.task, refused_n=0, seen_n=1, is_over=False)


class ResumesInPlace(Worker):
    """Does not tell the log to deliver a partition again that was paused."""

    def _rehearse(self) -> None:
        log = self._log
        assert isinstance(log, MemoryLog)
        self._log = DeafLog(log)
        super()._rehearse()
        self._log = log


def _breaking(made: type[Breaker]) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> Parts:
        patch.setattr(worker_module, "Breaker", made)
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
    "a pause forgotten by the next owner": _breaking(ForgetsPauses),
    "a paused partition never tried again": _breaking(TriesNothing),
    "a rehearsal that is always good": _breaking(AlwaysBetter),
    "no seek after a pause": lambda _: Parts(worker=ResumesInPlace),
}
