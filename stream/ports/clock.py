"""Time."""

from typing import Protocol


class Clock(Protocol):
    """Time, so that the simulation can own it."""

    def monotonic(self) -> float:
        """Seconds that never go back, for intervals and deadlines."""
        ...

    def now_ms(self) -> int:
        """Milliseconds since 1970, for people; nothing in the fold is decided by them."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; a stop signal ends it early."""
        ...
