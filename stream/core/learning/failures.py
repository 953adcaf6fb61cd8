"""When a model fails too often: on its own account, not the events'.

An event fails for the model's sake where its prediction has a fault, or the model raised on it and
it was refused. One such event is told where it happens; many of them are told as an alert, once
until it is over. Nothing here is asked while a model does not fail.
"""

from typing import NamedTuple

CRASHES = (MemoryError, RecursionError, OSError, KeyboardInterrupt)
"""Failures of the process, not of an event: they must crash, or a replay would decide otherwise."""

WINDOW_N = 100
"""Valid events that are looked back over."""

FAILED_MAX = 10
"""Of them, that may fail without an alert: a tenth."""

CALM_N = 5
"""With no more than these it is over, and would be told again."""


class Failures(NamedTuple):
    """A model's failures; a value, so that whoever goes back to a copy can keep it.

    Attributes:
        recent: the last events that failed, by number among the valid ones.
        refused_n: events that were refused because the model raised.
        is_told: there are too many, and there was an alert.
    """

    recent: tuple[int, ...] = ()
    refused_n: int = 0
    is_told: bool = False

    def with_one_at(self, number: int, *, is_refused: bool) -> "Failures":
        """Count one more failure: that of the valid event with this number."""
        recent = (*self.recent[-FAILED_MAX:], number)
        # Since the last failure their number only fell, so the event before this one had the least.
        goes_on = self.is_told and _within(self.recent, number - 1) > CALM_N
        return Failures(
            recent=recent,
            refused_n=self.refused_n + is_refused,
            is_told=goes_on or _within(recent, number) > FAILED_MAX,
        )

    def goes_on_at(self, number: int) -> bool:
        """Whether what was told is not over yet at the valid event with this number."""
        return self.is_told and _within(self.recent, number) > CALM_N


def _within(recent: tuple[int, ...], number: int) -> int:
    return sum(each > number - WINDOW_N for each in recent)
