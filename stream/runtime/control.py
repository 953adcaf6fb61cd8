"""Commands to a running worker: they are read beside the loop, and folded between two commits.

The group subscribes to the events only: whoever holds partition p of these reads p of the control
topic, from the offset that is committed beside the events'. A topic that is away costs nothing but
commands.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from stream.core.event import Channel, Record
from stream.errors import Internal, Misconfigured, StreamError
from stream.ports import Clock, Reader
from stream.runtime import recent
from stream.runtime.seldom import Seldom
from stream.runtime.watchdog import Deadlined, without_deadline
from stream.telemetry import LogEvent, Telemetry

LOOK_EVERY_S: Final = 0.5
"""How late a command may be seen."""

LOOK_SHARE: Final = 0.02
"""So much of its time it may look: of many partitions less often."""

LOOK_EVERY_S_MAX: Final = 2.0
"""However long a look took: a broker that answers late is no reason to ask it later."""

FIRST_LOOK_S: Final = 2.0
"""So long a partition's first look is waited for: a command that is there goes before its next
record. Where the topic is away that is once in `AWAY_S`, for all partitions."""

AWAY_S: Final = 60.0

LOOK_S_MAX: Final = 120.0
"""The deadline of one look at one partition: every request in it has a shorter one of its own."""

RECORDS_MAX: Final = 1_000
"""Of one partition, that wait to be folded; the rest stays in the topic."""


@dataclass(slots=True)
class _Watched:
    """One partition of the control topic; `waiting` are those not folded yet."""

    position: int
    is_seen: bool = False
    waiting: list[Record] = field(default_factory=list)


class Control:
    """The control topic's partitions that a worker holds.

    `look` reads what is new, and may run in a thread of its own; the loop calls the others.

    Args:
        open_reader: opens a client of its own.
        clock: waits between two looks.
        telemetry: told when the topic cannot be read.
        deadlined: `Watchdog.watch`, of a watchdog for the thread that looks alone.

    Attributes:
        failure: a mistake of ours that ended the thread that looks; the process ends with it.
    """

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        *,
        clock: Clock,
        telemetry: Telemetry,
        deadlined: Deadlined = without_deadline,
    ) -> None:
        self._open_reader = open_reader
        self._deadlined = deadlined
        self._clock = clock
        self._telemetry = telemetry
        self._unreadable = Seldom(clock)
        self._watched: dict[int, _Watched] = {}
        self._lock = threading.Condition()
        self._reader: Reader | None = None
        self.failure: Exception | None = None
        self._looks: Callable[[], object] | None = None
        self._is_away_until_s = 0.0

    def looked_at_by(self, look_now: Callable[[], object]) -> None:
        """Say that a thread looks, and how it is woken."""
        self._looks = look_now

    def begin(self, partition: int, position: int) -> None:
        """Watch a partition from an offset on; what is there already is seen by now, or soon."""
        watched = _Watched(position)
        with self._lock:
            self._watched[partition] = watched
        if self._looks is None or self._clock.monotonic() < self._is_away_until_s:
            return
        self._looks()
        with self._lock:
            if not self._lock.wait_for(lambda: watched.is_seen, FIRST_LOOK_S):
                self._is_away_until_s = self._clock.monotonic() + AWAY_S

    def drop(self, partitions: Collection[int]) -> None:
        """Watch these no more."""
        with self._lock:
            for partition in partitions:
                self._watched.pop(partition, None)

    def is_waiting(self) -> bool:
        """Whether any record waits to be folded. Raises: what ended the thread that looks."""
        if self.failure is not None:
            raise self.failure
        return any(watched.waiting for watched in self._watched.values())

    def waiting(self, among: Collection[int]) -> Mapping[int, list[Record]]:
        """What waits of some partitions; it is waited for until it is taken."""
        with self._lock:
            return {
                p: list(w.waiting) for p, w in self._watched.items() if w.waiting and p in among
            }

    def take(self, partition: int, n: int) -> None:
        """Take the first that wait: they are folded."""
        with self._lock:
            watched = self._watched.get(partition)
            if watched is None:
                raise Internal(f"commands of partition {partition}, which is not watched")
            del watched.waiting[:n]

    def look(self) -> None:
        """Read what is new; what keeps it from that is said, and all else goes on."""
        with self._lock:
            wanted = list(self._watched.items())
        try:
            with self._deadlined("opening a client for commands", LOOK_S_MAX):
                reader = self._reader = self._reader or self._open_reader()
            for partition, watched in wanted:
                if len(watched.waiting) < RECORDS_MAX:
                    with self._deadlined("looking for commands", LOOK_S_MAX):
                        self._look_at(reader, partition, watched)
        except StreamError as error:
            self.close()
            if self._unreadable.is_due():
                self._telemetry.say(
                    LogEvent.CONTROL_UNREADABLE, level=logging.WARNING, error=error,
                    then="go on without commands, and try again",
                )  # fmt: skip

    def _look_at(self, reader: Reader, partition: int, watched: _Watched) -> None:
        """Read what is new of one partition. Raises: StreamError."""
        try:
            bounds = reader.bounds(Channel.CONTROL, partition)
        except Misconfigured:  # there is no such topic, or no such partition: no commands
            self._seen(watched)
            return
        start = watched.position
        if start > bounds.end:
            start = bounds.start  # the topic was made again
        start = max(start, bounds.start)  # retention takes commands whose time is long over
        found: list[Record] = []
        if start < bounds.end:
            records = recent.records_in(reader, Channel.CONTROL, partition, start, bounds.end)
            found += islice(records, RECORDS_MAX)
        reached = bounds.end if len(found) < RECORDS_MAX else found[-1].offset + 1
        with self._lock:
            if self._watched.get(partition) is watched:
                watched.waiting += found
                watched.position = reached
        self._seen(watched)

    def _seen(self, watched: _Watched) -> None:
        with self._lock:
            watched.is_seen = True
            self._lock.notify_all()

    def close(self) -> None:
        """Free the client; the next look opens another one."""
        reader, self._reader = self._reader, None
        if reader is not None:
            with suppress(StreamError):
                reader.close()


class Looking:
    """Looks in a thread, every so often, and at once where a partition begins."""

    def __init__(self, control: Control, *, clock: Clock) -> None:
        self._control = control
        self._clock = clock
        self._is_over = False
        self._now = threading.Event()
        control.looked_at_by(self._now.set)
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        """Look until it is closed."""
        try:
            while not self._is_over:
                self._now.clear()
                began = self._clock.monotonic()
                self._control.look()
                took_s = self._clock.monotonic() - began
                self._now.wait(min(max(LOOK_EVERY_S, took_s / LOOK_SHARE), LOOK_EVERY_S_MAX))
        except Exception as error:  # noqa: BLE001  # the loop raises it
            self._control.failure = error
        self._control.close()

    def close(self) -> None:
        """End it; a call that hangs is left behind."""
        self._is_over = True
        self._now.set()
        self._thread.join(timeout=1.0)
