"""How long to wait after a failure of the outside world."""

from collections.abc import Callable

from stream.ports import Clock

FIRST_S = 0.1
MOST_S = 5.0
CALM_S = 2 * MOST_S
"""Without a failure for this long the next wait is short again."""

NAP_S = 0.25
"""Longest sleep at once: a worker must go on polling, or it loses its membership."""


class BackOff:
    """Waits that double with each failure.

    Args:
        jitter: a number in [0, 1); it spreads the waits of workers that failed together.
    """

    def __init__(self, clock: Clock, jitter: Callable[[], float]) -> None:
        self._clock = clock
        self._jitter = jitter
        self._failures_n = 0
        self._failed_at = 0.0
        self._until = 0.0

    def left_s(self) -> float:
        """Seconds until the next attempt; 0 = now."""
        return max(0.0, self._until - self._clock.monotonic())

    def failed(self) -> None:
        """Wait longer than the last time: sleep for some of it, `left_s` is the rest."""
        now = self._clock.monotonic()
        self._failures_n = 0 if now - self._failed_at > CALM_S else self._failures_n
        self._failed_at = now
        wait_s = min(MOST_S, FIRST_S * 2 ** min(self._failures_n, 10))
        wait_s *= 0.5 + self._jitter() / 2
        self._failures_n += 1
        self._until = now + wait_s
        self._clock.sleep(min(wait_s, NAP_S))

    def succeeded(self) -> None:
        """Make the next wait short again."""
        self._failures_n = 0
