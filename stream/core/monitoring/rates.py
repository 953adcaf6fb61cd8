"""Whether something that is seldom became more frequent: a bet on counts, block by block.

The e-CUSUM of `ecusum`, on shares: of what is missing, of another type, out of range, refused.
A whole block is one bet (k ones of n: k times what a one gains, n - k times what a zero loses), so
that it costs nothing an event.
"""

from collections.abc import Sequence
from math import exp, fsum
from operator import itemgetter
from typing import Final

from stream.core.monitoring.betting import RATES_N, Lasting, gains, rates_below, upper_end

LIMIT_MAX: Final = 0.95
Z2: Final = 3.0**2  # squared deviations between the reference's share and the limit
_LOG_MAX: Final = 700.0  # exp() of more is too large for a float


class Rate(Lasting):
    """Finds when a share has risen above that of a reference.

    Args:
        reference: of each block of the reference, how often it was (k), of how many (n).
        threshold: blocks to a false alarm, on average, at least.

    Attributes:
        before: the share in the reference; before_n: of how many.
        limit: the highest share that is still taken for the same.
    """

    __slots__ = (
        "_blocks", "_down", "_is_up", "_logs", "_threshold", "_up", "before", "before_n", "limit",
    )  # fmt: skip

    def __init__(self, reference: Sequence[tuple[int, int]], threshold: float) -> None:
        self._threshold = threshold
        k, n = sum(each for each, _ in reference), sum(each for _, each in reference)
        self.before_n, self.before = n, k / n
        spread = max(self.before * (1.0 - self.before), 1.0 / n)
        # Where they come in bursts, blocks differ more than those of independent events.
        bursts = [(found - of * self.before) ** 2 / (of * spread) for found, of in reference if of]
        dispersion = max(1.0, fsum(bursts) / len(bursts))
        self.limit = min(LIMIT_MAX, upper_end(self.before, Z2 * dispersion / n))
        self._up, self._down = gains(rates_below(self.limit), self.limit, dispersion)
        self._start_over()

    def _start_over(self) -> None:
        self._logs, self._blocks = [0.0] * RATES_N, [0] * RATES_N
        self.since_n, self._is_up = 0, False
        super()._start_over()

    def add(self, k: int, n: int) -> bool:
        """Take in one block: k of n. Returns: whether the share has risen.

        Once it has, each block over the limit is found, until four in turn are not; then it starts
        over. What was nearly always so cannot rise.
        """
        if self.is_on:
            return self._goes_on(k > self.limit * n)
        if self.limit >= LIMIT_MAX or (not k and not self._is_up):
            return False  # the second: what was won is nothing, and is less now
        gained = [k * up + (n - k) * down for up, down in zip(self._up, self._down, strict=True)]
        logs, blocks = self._logs, self._blocks
        for each, gain in enumerate(gained):
            blocks[each] = blocks[each] + 1 if logs[each] > 0.0 else 1
            logs[each] = min(max(logs[each], 0.0) + gain, _LOG_MAX)
        self._is_up = max(logs) > 0.0
        if not self._is_up or fsum(map(exp, logs)) < RATES_N * self._threshold:
            return False
        best, _ = max(enumerate(logs), key=itemgetter(1))
        self.since_n, self.is_on = blocks[best], True
        return True
