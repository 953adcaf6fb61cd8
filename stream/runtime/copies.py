"""What copies of a state cost, and how often a fold gets a new one to go back to."""

from math import inf

from stream.core.fold.task import Task
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


class Costs:
    """What pickling a partition's state will take, predicted from the last time.

    A model's state grows with what it learned, in the worst case as fast. Nothing is known of one
    that was never pickled since it came to life.
    """

    def __init__(self) -> None:
        self._last: dict[int, tuple[float, int]] = {}

    def note(self, partition: int, *, took_s: float, learned: int) -> None:
        """Remember how long pickling took, and after how many learned events."""
        self._last[partition] = took_s, learned

    def forget(self, partition: int) -> None:
        """Forget a partition's cost: it has another state now, or none."""
        self._last.pop(partition, None)

    def predicted_s(self, task: Task) -> float:
        """How many seconds pickling will take; infinite while nothing is known."""
        took_s, learned = self._last.get(task.partition, (inf, 1))
        return took_s * max(1.0, task.serving.learned / max(1, learned))
