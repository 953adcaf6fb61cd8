"""Time that only the simulation moves."""

from random import Random

_EPOCH_MS = 1_780_000_000_000
"""Some day in 2026: where the wall clock stands at the start."""


class ManualClock:
    """See `stream.ports.Clock`: sleeping takes no time, and looking at the clock takes a little.

    Work costs nothing in the simulation, so a look stands for what was done since the last one;
    that is what cuts batches and makes snapshots due.

    Args:
        tick_s: what a look costs on average.
        rng: makes looks of very different cost; without one all cost the same.
    """

    def __init__(self, *, tick_s: float = 0.001, rng: Random | None = None) -> None:
        self.tick_s = tick_s
        self._random = None if rng is None else rng.random
        self._elapsed_s = 0.0
        self._jumped_ms = 0

    def monotonic(self) -> float:
        """Seconds since the start."""
        if self._random is None:
            self._elapsed_s += self.tick_s
        else:
            # Mostly quick, sometimes far over the average, as a machine in use is.
            square = self._random()
            square *= square
            self._elapsed_s += 5.0 * self.tick_s * square * square
        return self._elapsed_s

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start, looked at for nothing."""
        return self._elapsed_s

    def now_ms(self) -> int:
        """Milliseconds since 1970, as far as the wall clock knows."""
        return _EPOCH_MS + self._jumped_ms + int(self._elapsed_s * 1000)

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self._elapsed_s += max(0.0, seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock; intervals do not notice."""
        self._jumped_ms += int(seconds * 1000)
