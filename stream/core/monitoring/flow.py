"""How records come: how many are refused, and how fast they follow each other in event time."""

from collections import deque
from collections.abc import Collection, Iterator
from typing import Final

from stream.core.monitoring.episodes import Severity
from stream.core.monitoring.found import Found
from stream.core.monitoring.rates import Rate

BLOCKS_N: Final = 20
IN_TURN_N: Final = 2
TIMES: Final = 3.0
"""So many times faster, or slower, than any of the last blocks that were as usual."""

MUCH: Final = 10.0
"""So many times as fast, or as slow, is worth a warning; less may be a day and a night."""


class Flow:
    """Blocks of records, against the first twenty.

    Args:
        blocks: to a false alarm of one measure, on average.

    Attributes:
        begun_n: the record at which the present block began; None: none was seen.
    """

    __slots__ = (
        "_began_ms", "_blocks", "_fast_n", "_rate", "_refused", "_refused_n", "_slow_n", "_spans",
        "begun_n",
    )  # fmt: skip

    def __init__(self, blocks: float) -> None:
        self._blocks = blocks
        self._refused: list[tuple[int, int]] = []
        self._spans: deque[float] = deque(maxlen=BLOCKS_N)
        self._rate: Rate | None = None
        self.begun_n: int | None = None
        self._refused_n = 0
        self._began_ms: int | None = None
        self._fast_n = self._slow_n = 0

    @property
    def holding(self) -> Collection[str]:
        """Measures that are not over yet, whether or not they found anything in the last block."""
        return {"quarantine_rate"} if self._rate is not None and self._rate.is_on else ()

    def close(self, n: int, refused_n: int, timestamp_ms: int) -> Iterator[Found]:
        """End a block; the first call only begins one.

        Args:
            n: how many records there were.
            refused_n: how many records were refused.
            timestamp_ms: of the last record.
        """
        begun_n, was_n, began_ms = self.begun_n, self._refused_n, self._began_ms
        self.begun_n, self._refused_n, self._began_ms = n, refused_n, timestamp_ms
        if begun_n is None:
            return
        block = refused_n - was_n, n - begun_n
        yield from self._refusals(*block)
        if began_ms is not None and timestamp_ms > began_ms:
            yield from self._speed(block[1] / (timestamp_ms - began_ms) * 1000.0, block[1])

    def _refusals(self, k: int, n: int) -> Iterator[Found]:
        """Compare how many of a block were refused with the first blocks."""
        if self._rate is None:
            self._refused.append((k, n))
            if len(self._refused) == BLOCKS_N:
                self._rate, self._refused = Rate(self._refused, self._blocks), []
        elif self._rate.add(k, n):
            rate = self._rate
            yield Found(
                "quarantine_rate", k / n, rate.limit, rate.before, k / n, rate.before_n, n,
                rate.since_n,
                f"{k / n:.1%} of {n} records were refused, {rate.before:.1%} of "
                f"{rate.before_n} before",
            )  # fmt: skip

    def _speed(self, speed: float, n: int) -> Iterator[Found]:
        """Compare how many events there are in a second of event time."""
        if len(self._spans) < BLOCKS_N:
            self._spans.append(speed)
            return
        least, most = min(self._spans), max(self._spans)
        self._fast_n = self._fast_n + 1 if speed > TIMES * most else 0
        self._slow_n = self._slow_n + 1 if speed < least / TIMES else 0
        is_much = speed > MUCH * most or speed * MUCH < least
        for name, in_turn, limit in (("rate_up", self._fast_n, TIMES * most),
                                     ("rate_down", self._slow_n, least / TIMES)):  # fmt: skip
            if in_turn >= IN_TURN_N:
                usual = sum(self._spans) / BLOCKS_N
                yield Found(
                    "rate", speed, limit, usual, speed, BLOCKS_N * n, n, in_turn,
                    f"{speed:.4g} events a second of event time, {least:.4g} to {most:.4g} before",
                    name, Severity.WARNING if is_much else Severity.INFO,
                )  # fmt: skip
        if not self._fast_n and not self._slow_n:
            self._spans.append(speed)
