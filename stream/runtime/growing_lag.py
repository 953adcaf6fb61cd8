"""A worker falls behind: a partition's lag has grown for so long.

It has when it was longer all that time than at any moment of the same time before. A backlog that
is worked off, and bursts that are, grow at no time so long.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Final

from stream.core.fold.task import Task
from stream.errors import Retryable
from stream.ports import Clock
from stream.runtime.flow_watch import Trouble

LOOKS_N: Final = 10
"""Looks, at most, within the time that a lag must have grown; none between two commits."""


TOLERANCE_S: Final = 1e-6


class GrowingLag:
    """Watches how many events there are behind each partition's position.

    Args:
        after_s: for so long it must have grown.
        end_of: a partition's end offset in the log. It may raise Retryable: then nobody looks.
    """

    measure: Final = "lag"
    direction: Final = "worse"
    suggestion: Final = "start more workers, or use a quicker model: events come faster than it"
    over: Final = "it has caught up to where it began to fall behind"

    def __init__(self, after_s: float, *, end_of: Callable[[int], int], clock: Clock) -> None:
        self._after_s = after_s
        self._end_of = end_of
        self._clock = clock
        self._looked_at = clock.monotonic()
        self._lags: dict[int, deque[tuple[float, int]]] = {}  # when, and how long
        self._behind: dict[int, Trouble] = {}

    def heard(self, partitions: Collection[int]) -> None:
        """See `Watched.heard`."""

    def look(self, tasks: Mapping[int, Task]) -> Mapping[int, Trouble]:
        """See `Watched.look`."""
        self._lags = {p: self._lags.get(p, deque()) for p in tasks}
        self._behind = {p: each for p, each in self._behind.items() if p in tasks}
        now = self._clock.monotonic()
        if now - self._looked_at >= self._after_s / LOOKS_N:
            self._looked_at = now
            try:
                for partition, task in tasks.items():
                    self._see(partition, max(0, self._end_of(partition) - task.next_offset))
            except Retryable:
                pass  # what commits and polls will find out, and say
        return self._behind

    def _see(self, partition: int, lag: int) -> None:
        """Take one look at a partition: it falls behind, or has caught up."""
        now, after_s = self._looked_at, self._after_s
        begun_at = now - 2.0 * after_s + TOLERANCE_S
        lags, behind = self._lags[partition], self._behind.get(partition)
        lags.append((now, lag))
        while len(lags) > 1 and lags[1][0] <= begun_at:
            lags.popleft()
        if behind is not None:
            if lag <= behind.threshold:
                del self._behind[partition]
            return
        if lags[0][0] > begun_at:
            return
        before = max(lag for at, lag in lags if at <= now - after_s)
        if min(lag for at, lag in lags if at > now - after_s) > before:
            text = f"{lag} events behind: for {after_s:g} s always more than the {before} of before"
            self._behind[partition] = Trouble(text, lag, before, after_s)
