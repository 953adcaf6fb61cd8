"""Commands to a running worker: they are read beside the loop, and folded between two commits.

The group subscribes to the events only: whoever holds partition p of these reads p of the control
topic, from the offset that is committed beside the events'. A topic that is away costs nothing but
commands.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from stream.core.event import Channel, Record
from stream.core.formats.commands import mark_of
from stream.errors import Internal, Misconfigured, Missing, StreamError
from stream.ports import Bounds, Clock, Reader
from stream.runtime import recent
from stream.runtime.seldom import Seldom
from stream.runtime.watchdog import Deadlined, without_deadline
from stream.telemetry import LogEvent, Telemetry

FIRST_LOOK_S: Final = 2.0
"""So long a partition's first look is waited for: a command that is there goes before its next
record. Where the topic is away that is once in `AWAY_S`, for all partitions."""

SURE_S: Final = 10.0
"""So often it is compared whether the topic was made again, where no record and no trouble says so:
with as many records as the old one had it looks as ever."""

AWAY_S: Final = 60.0

LOOK_S_MAX: Final = 120.0
"""The deadline of one look at one partition: every request in it has a shorter one of its own."""

RECORDS_MAX: Final = 1_000
"""Of one partition, that wait to be folded; the rest stays in the topic."""


@dataclass(slots=True)
class _Watched:
    """One partition of the control topic.

    Attributes:
        position: the first offset that was not looked at.
        mark: of the record before it; "": it is not known.
        sure_until_s: until then it is taken for the topic that it was when that was compared.
        is_seen: it was looked at.
        waiting: records that are not folded yet.
    """

    position: int
    mark: str = ""
    sure_until_s: float = 0.0
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
        self._denied = ""
        self._watched: dict[int, _Watched] = {}
        self._lock = threading.Condition()
        self._reader: Reader | None = None
        self.failure: Exception | None = None
        self._looks: Callable[[], object] | None = None
        self._is_away_until_s = 0.0

    def looked_at_by(self, look_now: Callable[[], object]) -> None:
        """Say that a thread looks, and how it is woken."""
        self._looks = look_now

    def begin(self, partition: int, position: int, mark: str = "") -> None:
        """Watch a partition from an offset on; what is there already is seen by now, or soon.

        Args:
            partition: of the control topic.
            position: the first offset that was not looked at.
            mark: of the record before it (`mark_of`); another one there is of another topic.
        """
        watched = _Watched(position, mark)
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
            wanted = sorted(self._watched.items())
        try:
            with self._deadlined("opening a client for commands", LOOK_S_MAX):
                reader = self._reader = self._reader or self._open_reader()
            self._look_at_all(reader, wanted)
        except StreamError as error:
            self.close()
            self._doubt(wanted)
            if self._unreadable.is_due():
                self._say_unreadable(error)

    def _look_at_all(self, reader: Reader, wanted: Sequence[tuple[int, _Watched]]) -> None:
        """Read what is new of partitions. Raises: StreamError."""
        denied = ""
        for number, (partition, watched) in enumerate(wanted):
            if len(watched.waiting) >= RECORDS_MAX:
                continue
            try:
                with self._deadlined("looking for commands", LOOK_S_MAX):
                    self._look_at(reader, partition, watched)
            except Misconfigured as error:
                # Of this partition there is none, or none may be read: so it is with those behind.
                denied = "" if isinstance(error, Missing) else str(error)
                if denied not in ("", self._denied):
                    self._say_unreadable(error)  # once, until it was permitted
                self._doubt(wanted[number:])
                for _, each in wanted[number:]:
                    self._seen(each)
                break
        self._denied = denied

    def _doubt(self, wanted: Sequence[tuple[int, _Watched]]) -> None:
        """Compare, at the next look, whether it is the topic that it was."""
        for _, watched in wanted:
            watched.sure_until_s = 0.0

    def _say_unreadable(self, error: StreamError) -> None:
        self._telemetry.say(
            LogEvent.CONTROL_UNREADABLE, level=logging.WARNING, error=error,
            then="go on without commands, and try again",
        )  # fmt: skip

    def _look_at(self, reader: Reader, partition: int, watched: _Watched) -> None:
        """Read what is new of one partition. Raises: StreamError."""
        bounds = reader.bounds(Channel.CONTROL, partition)
        start, mark = self._start(reader, partition, watched, bounds)
        found: list[Record] = []
        if start < bounds.end:
            records = recent.records_in(reader, Channel.CONTROL, partition, start, bounds.end)
            found += islice(records, RECORDS_MAX)
        reached = bounds.end if len(found) < RECORDS_MAX else found[-1].offset + 1
        if found:
            mark = mark_of(found[-1])
        with self._lock:
            if self._watched.get(partition) is watched:
                watched.waiting += found
                watched.position, watched.mark = reached, mark
        self._seen(watched)

    def _start(
        self, reader: Reader, partition: int, watched: _Watched, bounds: Bounds
    ) -> tuple[int, str]:
        """Where to read on: where it was, unless that was in another topic of this name.

        Returns: the offset, and the mark of the record before it. Raises: StreamError.
        """
        start, mark = watched.position, watched.mark
        if start > bounds.end:
            return bounds.start, ""
        if start < bounds.start:
            self._telemetry.say(
                LogEvent.COMMAND_REFUSED, level=logging.WARNING, partition=partition, offset=start,
                why=f"the records before {bounds.start} were deleted, and nobody had read them",
            )  # fmt: skip
            return bounds.start, ""
        now_s = self._clock.monotonic()
        if start == bounds.start or (start == bounds.end and now_s < watched.sure_until_s):
            return start, mark
        records = recent.records_in(reader, Channel.CONTROL, partition, start - 1, start)
        before = next(records, None)
        told = mark if before is None else mark_of(before)
        watched.sure_until_s = now_s + SURE_S
        return (start, told) if mark in ("", told) else (bounds.start, "")

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
