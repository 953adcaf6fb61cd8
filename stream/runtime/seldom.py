"""How often the same trouble is said again."""

from stream.ports import Clock

SAY_EVERY_S = 60.0


class Seldom:
    """Lets a line pass at most once in `SAY_EVERY_S`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said_at = -SAY_EVERY_S

    def is_due(self) -> bool:
        """Whether the line may be said now; then it counts as said."""
        now = self._clock.monotonic()
        if now - self._said_at < SAY_EVERY_S:
            return False
        self._said_at = now
        return True
