"""Whether partitions are paused when they must be, and only then: told from the outcomes alone.

A worker counts from when it got a partition, so an outsider knows the latest moment for a pause,
and whether one was due at all. Of a pause that ends it knows what the next records are.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from stream.runtime.breaker import Limit
from tests.instruments.simulation.control_topic import Sent

_MOVES = ("pause", "resume")


class Outcomes(Protocol):
    """What a partition's records have come to: how many, and which of them were refused."""

    partition: int
    records_n: int
    refused: list[int]


class BreakerAudit:
    """Looks at each commit of a partition.

    Args:
        limit: of all workers.
        owner: whoever commits now.
    """

    def __init__(self, limit: Limit, owner: Callable[[], object]) -> None:
        self._limit = limit
        self._owner = owner
        self._since: dict[int, tuple[object, int]] = {}
        self._paused: dict[int, bool] = {}

    def forget(self, partition: int) -> None:
        """Somebody else set its offset."""
        self._since.pop(partition, None)
        self._paused.pop(partition, None)

    def hear(self, partition: int, told: Iterable[tuple[int, Sent]]) -> None:
        """An operator paused a partition, or let it go on: that needs no rehearsal."""
        if any(sent.command and sent.command["what"] in _MOVES for _, sent in told):
            self.forget(partition)

    def expect_other_records(self) -> None:
        """The log was changed: what lies beyond a pause is not what it was."""
        self._paused = dict.fromkeys(self._paused, False)

    def find_problem(
        self,
        loop: Outcomes,
        *,
        before_n: int,
        is_paused: bool,
        has_more: bool,
        ahead: Callable[[], Outcomes],
    ) -> str | None:
        """What is wrong with a commit that moved a partition on from `before_n` records.

        Args:
            loop: all outcomes up to the commit.
            before_n: records that had an outcome before.
            is_paused: it says that the partition is.
            has_more: whether there are records beyond it by now.
            ahead: gives the outcomes as far as the log reaches.
        """
        partition, owner = loop.partition, self._owner()
        had_more = self._paused.pop(partition, None)
        if had_more is not None and not self._may_resume(ahead(), before_n, had_more=had_more):
            return f"a pause after {before_n} records ended, and the next are no better"
        if had_more is not None or self._since.get(partition, (None, 0))[0] is not owner:
            self._since[partition] = owner, before_n
        since_n = self._since[partition][1]
        for n in _beyond(loop.refused, before_n):
            if (n < loop.records_n or not is_paused) and self._is_over(loop, n, since_n):
                return f"too many refused at record {n}, and no pause there"
        if is_paused:
            self._paused[partition] = has_more
            if not self._is_over(loop, loop.records_n, 0):
                return f"a pause after {loop.records_n} records, without need"
        return None

    def may_stay(self, ahead: Outcomes, n: int) -> bool:
        """Whether a partition paused after `n` records can be so yet, after another try."""
        return any(refused_n > self._limit.share * k for k, refused_n in self._next(ahead, n))

    def _may_resume(self, ahead: Outcomes, n: int, *, had_more: bool) -> bool:
        better = any(refused_n <= self._limit.share * k for k, refused_n in self._next(ahead, n))
        return better or not had_more  # of none at all none is refused

    def _next(self, ahead: Outcomes, n: int) -> list[tuple[int, int]]:
        """How many of the next 1, 2, ... records are refused: time may cut a rehearsal anywhere."""
        most = min(self._limit.window, ahead.records_n - n)
        return [
            (k, sum(n < refused <= n + k for refused in ahead.refused)) for k in range(1, most + 1)
        ]

    def _is_over(self, loop: Outcomes, n: int, since_n: int) -> bool:
        first_n = max(since_n, n - self._limit.window)
        refused_n = sum(first_n < refused <= n for refused in loop.refused)
        return refused_n > self._limit.share * self._limit.window


def _beyond(refused: Sequence[int], n: int) -> list[int]:
    return [each for each in refused if each > n]
