"""What the bets of an e-CUSUM have in common: the limit, the rates, and what each gains.

Shin, Ramdas and Rinaldo ("E-detectors", 2022). `ecusum` bets on values one by one, `rates` on
blocks of counts.
"""

from collections.abc import Sequence
from math import log1p, sqrt
from typing import Final

RATES_N: Final = 8
RATE_MAX: Final = 5.0  # a larger one gains little, and makes much of a limit that is a bit too low
STAKE_MAX: Final = 0.95  # of what was won, on one value: a value of 0 must leave something


def upper_end(mean: float, q: float) -> float:
    """The upper end of Wilson's interval around a mean of values in [0, 1].

    Args:
        mean: of n values.
        q: squared deviations to that end, over n.
    """
    return (mean + q / 2.0 + sqrt(q * (mean * (1.0 - mean) + q / 4.0))) / (1.0 + q)


def rates_below(limit: float) -> list[float]:
    """The rates that are bet with against a limit in (0, 1], the highest first."""
    highest = min(RATE_MAX, STAKE_MAX / limit)
    return [highest * 0.5**k for k in range(RATES_N)]


def gains(
    rates: Sequence[float], limit: float, dispersion: float
) -> tuple[list[float], list[float]]:
    """What a one, and what a zero, adds to the logarithm of what each rate has won."""
    up = [log1p(rate * (1.0 - limit)) / dispersion for rate in rates]
    down = [log1p(-rate * limit) / dispersion for rate in rates]
    return up, down


USUAL_N: Final = 4
"""Blocks in turn that are not over the limit, after which what was found is over."""


class Lasting:
    """What a bet found goes on until it is over.

    Attributes:
        since_n: of the last finding: so many blocks ago, the present one included, it began.
        is_on: it was found, and was not as usual for long enough since.
    """

    __slots__ = ("_usual_n", "is_on", "since_n")
    since_n: int

    def _start_over(self) -> None:
        self.is_on, self._usual_n = False, 0

    def _goes_on(self, is_over: bool) -> bool:
        """Take in one more block, of which only is known whether it is over the limit."""
        self.since_n += 1
        self._usual_n = 0 if is_over else self._usual_n + 1
        if self._usual_n == USUAL_N:
            self._start_over()
        return is_over
