"""A worker falls behind: a partition's lag has grown for so long.

It has when it was longer at each of the last ten looks than at any of the ten before. A backlog
that is worked off, and bursts that are, grow at no time so long.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Final

from stream.core.fold.task import Task
from stream.errors import Retryable
from stream.ports import Clock
from stream.runtime.flow_watch import Trouble

LOOKS_N: Final = 10
"""Looks within the time that a lag must have grown."""


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
        self._lags: dict[int, deque[int]] = {}
        self._behind: dict[int, Trouble] = {}

    def heard(self, partitions: Collection[int]) -> None:
        """See `Watched.heard`."""

    def look(self, tasks: Mapping[int, Task]) -> Mapping[int, Trouble]:
        """See `Watched.look`."""
        self._lags = {p: self._lags.get(p, deque(maxlen=2 * LOOKS_N)) for p in tasks}
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
        lags, behind = self._lags[partition], self._behind.get(partition)
        lags.append(lag)
        if behind is not None:
            if lag <= behind.threshold:
                del self._behind[partition]
            return
        if len(lags) < 2 * LOOKS_N:
            return
        before = max(list(lags)[:LOOKS_N])
        if min(list(lags)[LOOKS_N:]) > before:
            text = f"{lag} events behind; in the {self._after_s:g} s before at most {before}"
            self._behind[partition] = Trouble(text, lag, before, self._after_s)
