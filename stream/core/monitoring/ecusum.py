"""A detector of our own: it bets that a mean rose, and promises how seldom it is wrong.

The e-CUSUM of Shin, Ramdas and Rinaldo ("E-detectors", 2022), on values in [0, 1]. With `limit`, a
mean that the stream does not exceed while nothing has changed, and d = value - limit:

    L_k <- max(L_k, 0) + log1p(rate_k d)          for eight rates; a drift when
    M    = mean of exp(L_k)   >= threshold        then it starts over

On average it takes `threshold` values or more to a false alarm, if the mean of each value, given
those before it, is at most `limit`; ties cost nothing. A value below the limit can only lose, so it
sees rises alone: the error got worse.

Where errors come in bursts, that mean is above the limit in every burst, though nothing changed. So
all gains are divided by the dispersion, and intervals widened by it: how much more the sums of
parts of a block differ, each from the one before it, than those of independent values would (1 at
least). A real stream of such a kind, elec2, with a dispersion of 6: 2 alarms instead of 30, most of
which were ten wrong answers in a row.
"""

from math import exp, fsum, log, log1p
from operator import itemgetter
from typing import Final

from stream.core.monitoring.betting import RATES_N, gains, rates_below, upper_end

Z2: Final = 2.0**2  # squared deviations between a block's mean and the limit
THRESHOLD_MIN, THRESHOLD_MAX = 10.0, 1e15  # the largest L is below 37: no overflow
WARM_UP_MIN, WARM_UP_MAX = 10, 100_000
PARTS_N: Final = 20  # of a block, to compare with each other
OUTLIERS_SHARE: Final = 1000  # one in so many values of the warm-up lies over the bound

Place = tuple[int, float]
"""How many values there had been, and their sum."""


class ECUSUM:
    """Finds when the mean of values >= 0 has risen; used as river's drift detectors are.

    The first `warm_up` values are its reference: the limit is the upper end of their mean's
    confidence interval (Wilson's). While a model learns, its error falls: each later block of as
    many values lowers the limit, if its own interval ends lower, and so does the second half of all
    values whenever their number has doubled. Blocks are ever more, and so their intervals ever
    wider; halves are few and long, which brings the limit close to a mean that stays.

    Values that are not all 0 and 1 (a regressor's errors) are measured by a bound, and what is
    beyond it counts as the bound: the 99.9 % quantile of the warm-up, twice its mean at least. Only
    the warm-up's values are kept, and only until it ends.

    After a drift it starts over with a new warm-up: the model goes on learning, and what is usual
    now is what the next change is to be seen against.

    Args:
        threshold: values to a false alarm, on average, at least.
        warm_up: how many values make a reference; it cannot find anything while it has none.

    Attributes:
        drift_detected: after the last update. The others are of that drift, until the next update.
        before: the mean of the block, or half, that set the limit.
        after: the mean since the change, always larger.
        since_n: the change probably began so many values ago (1: with the last one). It is where
            the largest L was 0 last.

    Raises: ValueError: an argument out of its range.
    """

    __slots__ = (
        "_block", "_bound", "_dispersion", "_dispersions", "_down", "_first", "_half", "_jumps",
        "_jumps_n", "_last", "_limit", "_logs", "_n", "_next_n", "_part", "_rates", "_reference",
        "_starts", "_total", "_up", "_zeros_n", "after", "before", "drift_detected", "since_n",
        "threshold", "warm_up",
    )  # fmt: skip

    def __init__(self, threshold: float = 200_000.0, warm_up: int = 1000) -> None:
        if not THRESHOLD_MIN <= threshold <= THRESHOLD_MAX:
            raise ValueError(f"threshold must be from 10 to 1e15, not {threshold}")
        if not WARM_UP_MIN <= warm_up <= WARM_UP_MAX:
            raise ValueError(f"warm_up must be from 10 to 100000, not {warm_up}")
        self.threshold = threshold
        self.warm_up = warm_up
        self._start_over()

    def _start_over(self) -> None:
        """Forget everything, and begin a warm-up."""
        self.drift_detected = False
        self.before = self.after = 0.0
        self.since_n = self._n = self._zeros_n = 0
        self._first: list[float] = []
        self._bound = 1.0
        self._total = self._block = self._half = 0.0
        self._begin_parts()
        self._dispersions, self._dispersion = 0.0, 1.0
        self._limit, self._reference = 2.0, 0.0  # the first interval ends lower, whatever it is
        self._rates: list[float] = []
        self._up: list[float] = []
        self._down: list[float] = []
        self._logs = [0.0] * RATES_N
        self._starts: list[Place] = []

    def update(self, x: float) -> None:
        """Take in one value: 0 or more, and finite."""
        if self.drift_detected:
            self._start_over()
        if not self._rates:
            self._first.append(x)
            if len(self._first) == self.warm_up:
                self._end_warm_up()
            return
        if x == 0.0:  # most errors are; what a run of them takes away is reckoned at its end
            self._zeros_n += 1
        else:
            self._bet(1.0 if x >= self._bound else x / self._bound)
        self._n += 1
        if self._n == self._next_n and not self.drift_detected:
            self._close_part()

    def _end_warm_up(self) -> None:
        """Find the bound, measure the first values by it, and make a reference of them."""
        values, self._first = self._first, []
        if any(x not in (0.0, 1.0) for x in values):
            quantile = sorted(values)[-(self.warm_up // OUTLIERS_SHARE) - 1]
            self._bound = max(quantile, 2.0 * fsum(values) / self.warm_up) or max(values)
            values = [1.0 if x >= self._bound else x / self._bound for x in values]
        for x in values:
            self._total += x
            self._n += 1
            if self._n == self._next_n:
                self._close_part()
        self._starts = [(self._n, self._total)] * RATES_N

    def _bet(self, x: float) -> None:
        """Let what each rate has won grow or shrink by a value of (0, 1]."""
        self._lose_zeros()
        self._total += x
        if x == 1.0:
            gained = self._up
        else:
            d = x - self._limit
            gained = [log1p(rate * d) / self._dispersion for rate in self._rates]
        if x <= self._limit:
            self._lose(gained, self._n + 1)
            return
        logs = self._logs = _changed(self._logs, gained)
        # The mean of exponentials is at most the largest, and nothing but a gain lets it rise.
        if exp(max(logs)) >= self.threshold and fsum(map(exp, logs)) >= RATES_N * self.threshold:
            self._detect()

    def _lose_zeros(self) -> None:
        zeros_n = self._zeros_n
        if zeros_n:
            self._zeros_n = 0
            self._lose([zeros_n * each for each in self._down], self._n)

    def _lose(self, losses: list[float], n: int) -> None:
        """Let what each rate has won shrink; where nothing is left after `n` values, it begins."""
        logs = self._logs = _changed(self._logs, losses)
        if min(logs) <= 0.0:
            self._starts = _begun(self._starts, logs, (n, self._total))

    def _detect(self) -> None:
        self.drift_detected = True
        best, _ = max(enumerate(self._logs), key=itemgetter(1))
        n, total = self._starts[best]
        self.since_n = self._n + 1 - n
        self.before = self._reference * self._bound
        self.after = (self._total - total) / self.since_n * self._bound

    def _begin_parts(self) -> None:
        """Begin a block: nothing is known yet of how its parts differ."""
        self._part, self._last = self._total, -1.0
        self._jumps, self._jumps_n = 0.0, 0
        self._next_n = self._n + max(1, self.warm_up // PARTS_N)

    def _close_part(self) -> None:
        """Compare a part of a block with the one before it; at the end of a block, close that."""
        part, length_n = self._total - self._part, max(1, self.warm_up // PARTS_N)
        in_block_n = self._n % self.warm_up
        if self._last >= 0.0 and in_block_n % length_n == 0:
            self._jumps += (part - self._last) ** 2
            self._jumps_n += 1
        self._part, self._last = self._total, part
        if in_block_n:
            self._next_n += min(length_n, self.warm_up - in_block_n)
        else:
            self._lose_zeros()
            self._close_block(length_n)
            self._begin_parts()

    def _close_block(self, part_n: int) -> None:
        """See how parts differ, and lower the limit to what the last block, or half, allows."""
        blocks_n, total = self._n // self.warm_up, self._total - self._block
        mean = total / self.warm_up
        expected = 2.0 * self._jumps_n * part_n * mean * (1.0 - mean)
        self._dispersions += self._jumps / expected if expected > 0.0 else 1.0
        self._dispersion = max(1.0, self._dispersions / blocks_n)
        # Summed over all blocks ever, the chances that an interval lies too low have an end.
        self._lower_limit(total, self.warm_up, Z2 + 4.0 * log(blocks_n))
        if blocks_n & (blocks_n - 1) == 0:
            since_n = self.warm_up if blocks_n == 1 else self._n // 2
            self._lower_limit(self._total - self._half, since_n, Z2)
            self._half = self._total
        self._block = self._total
        self._rates = rates_below(self._limit)
        self._up, self._down = gains(self._rates, self._limit, self._dispersion)

    def _lower_limit(self, total: float, n: int, z2: float) -> None:
        """Take the upper end of the interval around the mean of `n` values, if it is lower."""
        mean, q = total / n, z2 * self._dispersion / n
        limit = upper_end(mean, q)
        if limit < self._limit:
            self._limit, self._reference = limit, mean


# One rate after the other, since a loop over them takes four times as long.


def _changed(logs: list[float], changes: list[float]) -> list[float]:
    """What each rate has won, if anything, and what it wins or loses now."""
    a, b, c, d, e, f, g, h = logs
    i, j, k, l, m, n, o, p = changes  # noqa: E741
    return [
        a + i if a > 0.0 else i,
        b + j if b > 0.0 else j,
        c + k if c > 0.0 else k,
        d + l if d > 0.0 else l,
        e + m if e > 0.0 else m,
        f + n if f > 0.0 else n,
        g + o if g > 0.0 else o,
        h + p if h > 0.0 else p,
    ]


def _begun(starts: list[Place], logs: list[float], here: Place) -> list[Place]:
    """Where each rate began: here, if it has nothing."""
    a, b, c, d, e, f, g, h = starts
    i, j, k, l, m, n, o, p = logs  # noqa: E741
    return [
        a if i > 0.0 else here,
        b if j > 0.0 else here,
        c if k > 0.0 else here,
        d if l > 0.0 else here,
        e if m > 0.0 else here,
        f if n > 0.0 else here,
        g if o > 0.0 else here,
        h if p > 0.0 else here,
    ]
