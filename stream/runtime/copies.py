"""How often a fold gets a new copy to go back to, in place of the records since the last one."""

from stream.core.task import Task
from stream.ports import Clock

SHARE_MAX = 0.02
"""Of the time, that copies for undoing alone may take of a core."""

UNDO_LONG = 0.06
"""From here on a copy is taken, as far as its share allows: some thousand records, 4 MB."""


class CopyPace:
    """When the next copy for undoing may be taken."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._from_s = 0.0

    def took(self, seconds: float) -> None:
        """Take note of what a copy has just cost, or would have cost."""
        self._from_s = self._clock.monotonic() + seconds / SHARE_MAX

    def is_due(self, task: Task) -> bool:
        """Whether the way back is long, and the last copy's price is paid off."""
        return task.undo_length >= UNDO_LONG and self._clock.monotonic() >= self._from_s
