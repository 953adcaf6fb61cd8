"""Which partitions may begin: those that have a place in every output topic.

An output goes to the partition of its event. Somebody may add partitions to the events at any time,
and the group gives them to a worker within seconds: the others go on, and these wait for a place.
"""

import logging
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager

from stream.errors import Misconfigured, Retryable
from stream.ports import Clock
from stream.runtime.topics import Width
from stream.telemetry import LogEvent, Telemetry

LOOK_EVERY_S = 10.0
SAY_EVERY_S = 60.0
SILENT_S = 2.0
"""So long a worker says nothing while it has no partition yet."""

SETTLED_S = 5.0
"""So long after a dead member's session the group has given its partitions to others."""

UNSETTLED = (
    "if a worker ended without a word, the group waits so long yet for its session to end (the "
    "same worker.instance at its restart spares that); or others have all partitions"
)
SPARE = (
    "all partitions have a worker: this one is spare, and begins when one of them ends; events in "
    "more partitions give it work"
)

LOOK_S = 40.0
"""One look: an administrator's client is made, three topics may be widened, and shown."""


class Everywhere:
    """The room of a worker whose every partition has a place in the outputs."""

    waiting: frozenset[int] = frozenset()

    def admitted(self, assigned: Collection[int]) -> Collection[int]:
        """See `Room.admitted`."""
        return assigned

    def drop(self, gone: Collection[int]) -> None:
        """See `Room.drop`."""

    def why(self) -> str:
        """See `Room.why`."""
        return ""


class Room:
    """The partitions of a worker that wait for a place.

    Args:
        look: how many partitions have one now; widens the outputs, if it may.
        known: what the last look found.
        session_s: how long the group waits for a dead member; None: there is no group.
        deadlined: puts a deadline on calls that can hang.

    Attributes:
        waiting: the partitions that are assigned and have not begun.
    """

    def __init__(
        self,
        look: Callable[[], Width],
        *,
        known: Width,
        session_s: float | None = None,
        clock: Clock,
        telemetry: Telemetry,
        deadlined: Callable[[str, float], AbstractContextManager[None]],
    ) -> None:
        self._look = look
        self._known = known
        self._clock = clock
        self._telemetry = telemetry
        self._deadlined = deadlined
        self._look_at = self._say_at = self._began_at = clock.monotonic()
        self._session_s = session_s
        self._has_said_none_came = False
        self.waiting: set[int] = set()

    def admitted(self, assigned: Collection[int]) -> set[int]:
        """Take in what was assigned. Returns: what may begin now, also of what waited before."""
        self.waiting.update(assigned)
        if self._session_s is not None:
            self._say_none_came(self._session_s)
        if not self.waiting:
            return set()
        if max(self.waiting) >= self._known.n and self._clock.monotonic() >= self._look_at:
            self._look_again()
        ready = {partition for partition in self.waiting if partition < self._known.n}
        self.waiting -= ready
        if self.waiting and self._clock.monotonic() >= self._say_at:
            self._say()
        return ready

    def _say_none_came(self, session_s: float) -> None:
        """If no partitions come, say that the group waits for dead members, and later why."""
        waited_s = self._clock.monotonic() - self._began_at
        if self.waiting:
            self._session_s = None
        elif waited_s >= session_s + SETTLED_S:
            self._session_s = None
            self._telemetry.say(LogEvent.NO_PARTITIONS_YET, why=SPARE)
        elif waited_s >= SILENT_S and not self._has_said_none_came:
            self._has_said_none_came = True
            self._telemetry.say(
                LogEvent.NO_PARTITIONS_YET, within_s=max(0.0, session_s - waited_s), why=UNSETTLED
            )

    def drop(self, gone: Collection[int]) -> None:
        """Forget partitions that were revoked."""
        self.waiting.difference_update(gone)

    def why(self) -> str:
        """Say why partitions wait."""
        return f"partition {', '.join(map(str, sorted(self.waiting)))} waits: {self._known.why}"

    def _look_again(self) -> None:
        try:
            with self._deadlined("looking at the topics", LOOK_S):
                self._known = self._look()
        except (Retryable, Misconfigured) as error:
            self._known = Width(self._known.n, str(error))
        self._look_at = self._clock.monotonic() + LOOK_EVERY_S

    def _say(self) -> None:
        """Report which partitions wait for a place in the outputs; it is repeated now and then."""
        self._say_at = self._clock.monotonic() + SAY_EVERY_S
        self._telemetry.say(
            LogEvent.PARTITIONS_WAITING,
            level=logging.ERROR,
            partitions=frozenset(self.waiting),
            why=self._known.why,
            then="they begin as soon as every output topic has as many partitions as the events; "
            "the other partitions go on",
        )
