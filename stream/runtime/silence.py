"""No more events come, by the wall clock.

Its id follows from the offset at which the partition is silent, so that after a restart, which
waits once more, the same alert comes under the same id.
"""

from collections.abc import Collection, Mapping
from typing import Final

from stream.core.fold.task import Task
from stream.ports import Clock
from stream.runtime.flow_watch import Trouble


class Silence:
    """Watches how long ago each partition's last event came.

    Args:
        after_s: so long is silence.
    """

    measure: Final = "silence"
    direction: Final = "changed"
    suggestion: Final = "see whether whoever writes the events still runs"
    over: Final = "events come again"

    def __init__(self, after_s: float, *, clock: Clock) -> None:
        self._after_s = after_s
        self._clock = clock
        self._heard: dict[int, float] = {}  # partition -> when

    def heard(self, partitions: Collection[int]) -> None:
        """See `Watched.heard`."""
        self._heard.update(dict.fromkeys(partitions, self._clock.monotonic()))

    def look(self, tasks: Mapping[int, Task]) -> Mapping[int, Trouble]:
        """See `Watched.look`."""
        now, after_s = self._clock.monotonic(), self._after_s
        self._heard = {p: self._heard.get(p, now) for p in tasks}  # it begins where one is ours
        trouble = Trouble(f"no event for {after_s:g} s", None, after_s, after_s)
        return {p: trouble for p, heard in self._heard.items() if now - heard >= after_s}
