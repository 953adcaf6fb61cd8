"""Whether states are closed to new names when they may be, for good, and from where it is told.

When a copy of a state was too large is the worker's own affair. From which step on no new name is
taken in it must say beside the offset of that very step, and never anything else afterwards.
"""

from typing import Protocol


class Closed(Protocol):
    """What a partition's records have come to, with names taken in up to `closed_n`."""

    partition: int
    n: int
    closed_n: int | None
    left_out_n: int | None


class ClosingAudit:
    """Looks at each commit of a partition.

    Attributes:
        has_ceiling: states may become too large.
    """

    def __init__(self) -> None:
        self.has_ceiling = False
        self._moved: set[int] = set()

    def expect_another(self, partition: int) -> None:
        """Somebody set its offset, and what was beside it is lost: another step is as good.

        As long as the outcomes are the same: between both no event brings a new name.
        """
        self._moved.add(partition)

    def find_problem(self, loop: Closed, *, before: int | None) -> str | None:
        """What is wrong with what a commit says of the names, which the loop has taken for true.

        Args:
            loop: all outcomes up to the commit.
            before: what the commit before it said.
        """
        closed_n, is_moved = loop.closed_n, loop.partition in self._moved
        self._moved.discard(loop.partition)
        if closed_n is not None and not self.has_ceiling:
            return f"closed to new names at record {closed_n}, without need"
        if closed_n == before:
            return None
        if is_moved and loop.left_out_n is None:
            return None
        if is_moved and before is not None and closed_n is not None:
            is_right = before <= closed_n <= (loop.left_out_n or 0)
        else:
            is_right = before is None and closed_n == loop.n
        return None if is_right else self._told(loop, before)

    @staticmethod
    def _told(loop: Closed, before: int | None) -> str:
        return f"after {loop.n} records closed at {loop.closed_n}, and {before} was told before"
