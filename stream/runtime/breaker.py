"""The breaker: a partition of which too much is refused is paused, before all of it is consumed.

A flood of refusals is likelier a bad deploy upstream than bad data. What was consumed is in the
quarantine, in order and committed; what comes next stays in the log until somebody has looked.

The pause is written beside the committed offset. So it outlives the worker, and a restart does not
consume another window each time: it *rehearses* first, on a copy of the task, whether the next
records would do better, and goes on only then. Nothing of this is a part of the fold.
"""

import logging
from collections import Counter, deque
from dataclasses import dataclass

from stream.core.event import Channel, Rejection
from stream.core.fold.task import Task
from stream.core.fold.tasks import task_of
from stream.runtime.replay import Replay
from stream.runtime.sources import Sources
from stream.telemetry import LogEvent

GO_ON = (
    "nothing more of it is consumed, the other partitions go on; `stream quarantine list` shows "
    "what came, mend the cause and restart the worker; to have the rest refused too, restart it "
    "with STREAM__QUARANTINE__BREAKER_SHARE=1; `stream quarantine redrive` sends them again"
)
"""What a paused partition's owner has to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much of a partition may be refused.

    Attributes:
        window: how many of a partition's last records are looked at.
        share: if more than this part of them was refused, it is paused; 1.0 = never.
    """

    window: int
    share: float

    def is_over(self, refused_n: int, of: int) -> bool:
        """Whether so many refusals of so many records are too many.

        >>> Limit(window=10, share=0.5).is_over(5, 10), Limit(window=10, share=0.5).is_over(6, 10)
        (False, True)
        """
        return refused_n > self.share * of


NEVER = Limit(window=1, share=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a rehearsal showed: how many of the next records would be refused."""

    task: Task
    refused_n: int
    seen_n: int
    is_over: bool

    def __str__(self) -> str:
        """What it showed, in words."""
        again = " again" if self.is_over else ""
        return f"{self.refused_n} of the next {self.seen_n} records would be refused{again}"


class Breaker:
    """Counts what is refused of a worker's partitions, and rehearses what comes next.

    The count begins when this process gets a partition: what an earlier owner saw is not in it.
    """

    def __init__(self, limit: Limit, sources: Sources) -> None:
        self._limit = limit
        self._sources = sources
        self._refused: dict[int, deque[tuple[int, str]]] = {}

    def adopt(self, task: Task) -> None:
        """Watch a task that is live now."""
        refused = self._refused.setdefault(task.partition, deque())
        # After a lost commit the fold begins again further back, and refuses them again.
        while refused and refused[-1][0] > task.state.records_n:
            refused.pop()

    def trips(self, task: Task, refusal: Rejection) -> bool:
        """Count a refusal. Returns: whether it is one too many."""
        refused, n, limit = self._refused[task.partition], task.state.records_n, self._limit
        refused.append((n, refusal.reason.value))
        while refused[0][0] <= n - limit.window:
            refused.popleft()
        return limit.is_over(len(refused), limit.window)

    def found(self, partition: int) -> str:
        """Say how many of the last records were refused, and why."""
        refused = self._refused[partition]
        reasons = Counter(reason for _, reason in refused).most_common()
        listed = ", ".join(f"{n} {reason}" for reason, n in reasons)
        return f"{len(refused)} of the last {self._limit.window} records refused ({listed})"

    def say_paused(self, task: Task, why: str) -> None:
        """Report that a partition stands still until somebody has looked at its refusals."""
        self._sources.telemetry.say(
            LogEvent.PARTITION_PAUSED,
            level=logging.ERROR,
            partition=task.partition,
            next_offset=task.next_offset,
            why=why,
            then=GO_ON,
        )

    def say_resumed(self, task: Task, why: str) -> None:
        """Report that a paused partition goes on."""
        self._sources.telemetry.say(
            LogEvent.PARTITION_RESUMED,
            partition=task.partition,
            next_offset=task.next_offset,
            why=why,
        )

    def begin_anew(self, task: Task) -> None:
        """Count a task's refusals from zero again."""
        self._refused[task.partition].clear()

    def rehearse(self, task: Task, *, budget_s: float) -> Verdict | None:
        """Fold the next records of a paused task into a copy, for about `budget_s`.

        Returns: what came of it; None: no record came in time, call again.
        Raises: Retryable: call again; LogLost, Misconfigured.
        """
        sources, limit = self._sources, self._limit
        deadline_s = sources.clock.monotonic() + budget_s
        copy = task_of(sources.recipe, partition=task.partition, payload=task.keep_copy())
        before = copy.state.n, copy.state.refused_n
        end = sources.reader.bounds(Channel.EVENTS, task.partition).end
        is_at_end = Replay(sources.reader, copy, clock=sources.clock).advance(
            end, until_s=deadline_s, look=lambda _: copy.state.n - before[0] == limit.window
        )
        seen_n, refused_n = copy.state.n - before[0], copy.state.refused_n - before[1]
        if not is_at_end and not seen_n:
            return None
        return Verdict(
            task=task,
            refused_n=refused_n,
            seen_n=seen_n,
            is_over=limit.is_over(refused_n, seen_n),
        )
