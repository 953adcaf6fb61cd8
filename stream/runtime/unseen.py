"""What was committed and cannot be seen yet: transactions end in each partition by themselves."""

from typing import Final

from stream.ports import Clock

UNSEEN_S_MAX: Final = 90.0
"""So long it is waited for. Whoever died while publishing hides all that others published behind
it, until the brokers end the transaction: no `recovery_time_s` makes that take longer."""


class Unseen:
    """One thing that is waited for, from when it was missed first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._missed_at: float | None = None

    def is_gone(self) -> bool:
        """Whether it was waited for long enough; to be asked each time it is missed."""
        now = self._clock.monotonic()
        self._missed_at = now if self._missed_at is None else self._missed_at
        return now - self._missed_at >= UNSEEN_S_MAX
