"""How many alerts may be published: a token bucket, in steps; and what a storm names instead."""

from collections.abc import Iterable
from typing import Final

from stream.core.monitoring.episodes import Episode

DATA: Final = frozenset({"input", "output", "flow"})
"""Kinds of what monitors see in the data. A model whose error drifts all the time must not use up
what a broken feature is told with, so these have a bucket of their own."""


class Bucket:
    """It begins full. A record costs `refill_n` steps, and each step gives one back.

    Args:
        burst_n: so many records at once.
        refill_n: one more in so many steps.
    """

    __slots__ = ("_credit", "_full", "_n", "_refill_n")

    def __init__(self, burst_n: int, refill_n: int) -> None:
        self._refill_n, self._full = refill_n, burst_n * refill_n
        self._credit, self._n = self._full, 0

    def missing(self, n: int) -> int:
        """How many steps it takes from step `n` until it is full."""
        return self._full - self._credit - (n - self._n)

    def takes(self, n: int) -> bool:
        """Take a record out at step `n`. Returns: False: there is not enough in it."""
        self._credit = self._full - max(0, self.missing(n))
        self._n = n
        if self._credit < self._refill_n:
            return False
        self._credit -= self._refill_n
        return True


def largest(episodes: Iterable[Episode], n: int) -> tuple[Episode, ...]:
    """The most severe ones, of those the most frequent; the order is the same in a replay."""
    order = sorted(episodes, key=lambda each: (-each.severity, -each.repeats, each.first.key))
    return tuple(order[:n])
