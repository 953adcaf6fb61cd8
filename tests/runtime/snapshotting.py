"""A snapshotter in its surroundings, whose children are played."""

from collections.abc import Callable
from concurrent.futures import Executor

from stream.core.fold.task import Task
from stream.errors import Retryable
from stream.runtime.retention import Policy
from stream.runtime.snapshotter import Snapshotter
from stream.telemetry import LogEvent
from tests.instruments.simulation.doubles import Jobs
from tests.runtime.surroundings import KEYS, Surroundings, events, folded

BUDGET_S = 10.0


class Child:
    """A child that is played: it pickles at the fork, and is heard when it is asked.

    Attributes:
        fails: what it raises instead of giving its copy.
    """

    def __init__(
        self, pickled: Callable[[], bytes], took_s: float, fails: Retryable | None = None
    ) -> None:
        self._handed = pickled()
        self._took_s = took_s
        self.fails = fails
        self.is_cancelled = False

    def payload(self) -> tuple[bytes, float]:
        """See `Copy.payload`."""
        if self.fails is not None:
            raise self.fails
        return self._handed, self._took_s

    def cancel(self) -> None:
        """See `Copy.cancel`."""
        self.is_cancelled = True
        self.fails = Retryable("not wanted any more")


class Snapshots(Surroundings):
    """A snapshotter, its executor and its children."""

    def __init__(
        self,
        *,
        are_jobs_late: bool = False,
        can_fork: bool = False,
        executor: Executor | None = None,
    ) -> None:
        super().__init__()
        self.jobs = Jobs(are_late=are_jobs_late)
        self.children: list[Child] = []
        self.took_s = 1.0  # never cheap enough to be taken in line
        self.refuses: Retryable | None = None
        self.fails: Retryable | None = None
        self.snapshotter = Snapshotter(
            self.store,
            executor=executor or self.jobs,
            policy=Policy(replay_budget_s=BUDGET_S, keep=100),
            key=KEYS.signing,
            topic_id=self.topic_id,
            clock=self.clock,
            telemetry=self.diary,
            fork=self._begin if can_fork else None,
        )

    def _begin(self, pickled: Callable[[], bytes]) -> Child:
        if self.refuses is not None:
            raise self.refuses
        self.children.append(Child(pickled, self.took_s, self.fails))
        return self.children[-1]

    def adopted(self, n: int = 6, *, partition: int = 0) -> Task:
        """A task that has folded so many events since it came to life."""
        self.snapshotter.adopt(partition, stored_n=0)
        return folded(events(n), partition=partition)

    def due(self, *tasks: Task) -> None:
        """Let the budget of these be spent, and take what is due."""
        for task in tasks:
            self.snapshotter.spent(task.partition, BUDGET_S)
        self.snapshotter.consider(tasks)

    @property
    def stored(self) -> list[tuple[int, int]]:
        """Partition and next offset of each snapshot that there is."""
        return [(p, s.next_offset) for p in (0, 1) for s in reversed(self.store.stored(p))]

    def how(self) -> list[object]:
        """How each stored one was pickled."""
        return [fields["how"] for fields in self.said(LogEvent.SNAPSHOT_SAVED)]
