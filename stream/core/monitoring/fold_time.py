"""The time of a fold: it follows from the records' timestamps alone, so a replay repeats it.

It is the running maximum of the median of the last five timestamps: one or two records of a clock
that is wrong do not move it. Where it did run ahead (three such records), it is set back: once 100
records have come since it last rose and their median lies more than an hour behind.
"""

from collections import deque
from typing import Final

MEDIAN_N: Final = 5
BACK_N: Final = 100
BACK_MS: Final = 3_600_000


class FoldTime:
    """The time of one partition; a deterministic fold that can be pickled at any point.

    Attributes:
        now_ms: milliseconds since 1970; 0 before the first record.
        was_ms: what it was before the last record set it back; None if that did not.
    """

    __slots__ = ("_last", "_since", "now_ms", "was_ms")

    def __init__(self) -> None:
        self.now_ms = 0
        self.was_ms: int | None = None
        self._last: deque[int] = deque(maxlen=MEDIAN_N)
        self._since: list[int] = []  # those that came since it last rose

    def see(self, timestamp_ms: int) -> int:
        """Take in the timestamp of a record, valid or not. Returns: the time after it.

        >>> time = FoldTime()
        >>> [time.see(ms) for ms in (1000, 2000, 9_000_000, 3000, 4000)]
        [1000, 1000, 2000, 2000, 3000]
        """
        last, self.was_ms = self._last, None
        last.append(timestamp_ms)
        # The median was not above the time; only what is above it can have lifted it.
        if timestamp_ms > self.now_ms:
            median = sorted(last)[(len(last) - 1) // 2]
            if median > self.now_ms:
                self.now_ms = median
                if self._since:
                    self._since = []
                return median
        since = self._since
        since.append(timestamp_ms)
        if len(since) == BACK_N:
            self._since = []
            median = sorted(since)[(BACK_N - 1) // 2]
            if median < self.now_ms - BACK_MS:
                self.was_ms, self.now_ms = self.now_ms, max(median, 0)
                last.clear()
        return self.now_ms
