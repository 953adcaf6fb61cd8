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
from typing import Final

from stream.core.event import Channel, Record
from stream.errors import Internal, Misconfigured, StreamError
from stream.ports import Clock, Reader
from stream.runtime import recent
from stream.runtime.seldom import Seldom
from stream.telemetry import LogEvent, Telemetry

LOOK_EVERY_S: Final = 0.5
"""How late a command may be seen."""

LOOK_SHARE: Final = 0.02
"""So much of its time it may look: of many partitions less often."""

RECORDS_MAX: Final = 1_000
"""Of one partition, that wait to be folded; the rest stays in the topic."""


@dataclass(slots=True)
class _Watched:
    """One partition of the control topic; `waiting` are those not folded yet."""

    position: int
    waiting: list[Record] = field(default_factory=list)


class Control:
    """The control topic's partitions that a worker holds.

    `look` reads what is new, and may run in a thread of its own; the loop calls the others.

    Args:
        open_reader: opens a client of its own.
        clock: waits between two looks.
        telemetry: told when the topic cannot be read.
    """

    def __init__(
        self, open_reader: Callable[[], Reader], *, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._open_reader = open_reader
        self._clock = clock
        self._telemetry = telemetry
        self._unreadable = Seldom(clock)
        self._watched: dict[int, _Watched] = {}
        self._lock = threading.Lock()
        self._reader: Reader | None = None

    def begin(self, partition: int, position: int) -> None:
        """Watch a partition from an offset on."""
        with self._lock:
            self._watched[partition] = _Watched(position)

    def drop(self, partitions: Collection[int]) -> None:
        """Watch these no more."""
        with self._lock:
            for partition in partitions:
                self._watched.pop(partition, None)

    def is_waiting(self) -> bool:
        """Whether any record waits to be folded."""
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
        """Read what is new."""
        with self._lock:
            wanted = list(self._watched.items())
        for partition, watched in wanted:
            if len(watched.waiting) >= RECORDS_MAX:
                continue
            try:
                self._look_at(partition, watched)
            except Misconfigured:
                continue  # there is no such topic, or it has no such partition: no commands
            except StreamError as error:
                self.close()
                if self._unreadable.is_due():
                    self._telemetry.say(
                        LogEvent.CONTROL_UNREADABLE, level=logging.WARNING, error=error,
                        then="go on without commands, and try again",
                    )  # fmt: skip
                return

    def _look_at(self, partition: int, watched: _Watched) -> None:
        """Read what is new of one partition. Raises: StreamError."""
        if self._reader is None:
            self._reader = self._open_reader()
        bounds = self._reader.bounds(Channel.CONTROL, partition)
        start = watched.position
        if start > bounds.end:
            start = bounds.start  # the topic was made again
        start = max(start, bounds.start)  # retention takes commands whose time is long over
        if start >= bounds.end:
            return
        found: list[Record] = []
        for record in recent.records_in(
            self._reader, Channel.CONTROL, partition, start, bounds.end
        ):
            found.append(record)
            if len(found) >= RECORDS_MAX:
                break
        reached = bounds.end if len(found) < RECORDS_MAX else found[-1].offset + 1
        with self._lock:
            if self._watched.get(partition) is watched:
                watched.waiting += found
                watched.position = reached

    def close(self) -> None:
        """Free the client; the next look opens another one."""
        reader, self._reader = self._reader, None
        if reader is not None:
            with suppress(StreamError):
                reader.close()


class Looking:
    """Looks in a thread, every so often; it ends with `close`."""

    def __init__(self, control: Control, *, clock: Clock) -> None:
        self._control = control
        self._clock = clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        took_s = 0.0
        while not self._over.wait(max(LOOK_EVERY_S, took_s / LOOK_SHARE)):
            began = self._clock.monotonic()
            self._control.look()
            took_s = self._clock.monotonic() - began
        self._control.close()

    def close(self) -> None:
        """End it; a call that hangs is left behind."""
        self._over.set()
        self._thread.join(timeout=1.0)
