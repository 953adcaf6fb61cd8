"""The labels topic's partitions that a worker holds: read ahead beside the loop, by a thread.

The group subscribes to the events only: whoever holds partition p of these reads p of the labels,
from the place that is committed beside the events' offset. A look says what there is *now*, so that
of two records that were written one after the other the earlier one is never missed.
"""

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal

from stream.core.event import Channel, Record
from stream.core.formats.commands import mark_of
from stream.core.snapshots.metadata import Reached
from stream.errors import Misconfigured, StreamError
from stream.ports import Bounds, Clock, Reader
from stream.runtime import recent
from stream.runtime.seldom import Seldom
from stream.runtime.watchdog import Deadlined, without_deadline
from stream.telemetry import LogEvent, Telemetry

AHEAD_N: Final = 4_000
AHEAD_BYTES: Final = 8 << 20
"""So much of a partition is read ahead; the rest stays in the topic."""

SURE_S: Final = 10.0
"""So often it is compared whether the topic was made again, where nothing else says so."""

LOOK_S_MAX: Final = 120.0
"""The deadline of one look at one partition: every request in it has a shorter one of its own."""

MADE_AGAIN: Final = "the labels topic was made again"

THEN: Final = "events go on without labels, and these are learned when it answers again"


@dataclass(slots=True)
class _Watched:
    """One partition of the labels topic.

    Attributes:
        at: how far it was read; offset None: nowhere yet.
        end: that of the topic at the last look.
        looked_s: when that look began.
        events_end, events_s: the same of the events.
        goal: the end at the first look.
        sure_until_s: until then it is taken for the topic that it was when that was compared.
        waiting: records that are not folded yet; bytes_n: theirs.
    """

    at: Reached
    end: int = -1
    looked_s: float = -math.inf
    events_end: int = -1
    events_s: float = -math.inf
    goal: int | None = None
    sure_until_s: float = 0.0
    waiting: deque[Record] = field(default_factory=deque)
    bytes_n: int = 0

    @property
    def has_more(self) -> bool:
        """Whether the topic had more than was read."""
        return self.at.offset is None or self.at.offset < self.end


class LabelsTopic:
    """Reads what is new, and says whether that is all there is.

    `look` may run in a thread of its own; the loop calls the others.

    Args:
        open_reader: opens a client of its own.
        patience_s: so long the loop waits for a topic that does not answer; once it has waited it
            waits no more until there was an answer.
        start: where a partition of which nothing is committed begins.
        clock: says how long that is.
        telemetry: told when the topic cannot be read.
        deadlined: `Watchdog.watch`, of a watchdog for the thread that looks alone.

    Attributes:
        failure: a mistake of ours that ended the thread that looks; the process ends with it.
    """

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        *,
        patience_s: float,
        start: Literal["earliest", "latest"],
        clock: Clock,
        telemetry: Telemetry,
        deadlined: Deadlined = without_deadline,
    ) -> None:
        self._open_reader = open_reader
        self._patience_s = patience_s
        self._start = start
        self._clock = clock
        self._telemetry = telemetry
        self._deadlined = deadlined
        self._unreadable = Seldom(clock)
        self._watched: dict[int, _Watched] = {}
        self._lock = threading.Condition()
        self._reader: Reader | None = None
        self._look_now: Callable[[], object] | None = None
        self._is_away = False
        self._wants_events: frozenset[int] = frozenset()
        self.failure: Exception | None = None

    def looked_at_by(self, look_now: Callable[[], object]) -> None:
        """Say that a thread looks, and how it is woken."""
        self._look_now = look_now

    def begin(self, partition: int, at: Reached) -> None:
        """Watch a partition from a place on."""
        with self._lock:
            self._watched[partition] = _Watched(at)

    def drop(self, partitions: Collection[int]) -> None:
        """Watch these no more."""
        with self._lock:
            for partition in partitions:
                self._watched.pop(partition, None)

    def first(self, partition: int) -> Record | None:
        """The next record of a partition; None: none was read that is not taken."""
        watched = self._watched.get(partition)
        return watched.waiting[0] if watched is not None and watched.waiting else None

    def has_more(self, partition: int) -> bool:
        """Whether there are records that nobody has read."""
        watched = self._watched.get(partition)
        return watched is not None and watched.has_more

    def take(self, partition: int) -> None:
        """Take the next record: it is folded, or passed by."""
        watched = self._watched[partition]
        record = watched.waiting.popleft()
        watched.bytes_n -= _bytes_of(record)
        if watched.has_more and len(watched.waiting) == AHEAD_N // 2 and self._look_now is not None:
            self._look_now()

    def began_at(self, partition: int) -> int | None:
        """Where reading a partition has begun; None: nobody has looked."""
        watched = self._watched.get(partition)
        if watched is None or watched.at.offset is None:
            return None
        return watched.waiting[0].offset if watched.waiting else watched.at.offset

    def events_end(self, partition: int) -> int | None:
        """The end of the events at the last look that was asked for it; None: there was none."""
        watched = self._watched.get(partition)
        return None if watched is None or watched.events_end < 0 else watched.events_end

    def is_through(self, partition: int) -> bool:
        """Whether all is taken that there was at the first look."""
        watched = self._watched.get(partition)
        if watched is None or watched.goal is None:
            return False
        begun = self.began_at(partition)
        return begun is not None and begun >= watched.goal

    def ask(self, partitions: Collection[int], *, events: bool = False) -> bool:
        """Look at what there is now, and wait for it, if the topic has not failed to answer.

        Args:
            partitions: of which all that is there is to be known: records that wait, or the end.
            events: the end of the events, too.

        Returns: whether that is known. Raises: what ended the thread that looks.
        """
        if self.failure is not None:
            raise self.failure
        since_s = self._clock.monotonic()
        wanted = [p for p in partitions if p in self._watched]
        if self._look_now is None:
            self._wants_events = frozenset(wanted) if events else frozenset()
            self.look()
            return self._are_known(wanted, since_s, events=events)
        with self._lock:
            self._wants_events = frozenset(wanted) if events else frozenset()
            self._look_now()
            if self._is_away:
                return False
            is_known = self._lock.wait_for(
                lambda: self._is_away or self._are_known(wanted, since_s, events=events),
                self._patience_s,
            )
            if not is_known:
                self._give_up(f"no answer within {self._patience_s:g} s")
        return is_known and not self._is_away

    def _are_known(self, partitions: Collection[int], since_s: float, *, events: bool) -> bool:
        return self.failure is not None or all(
            watched is None or ((watched.events_s if events else watched.looked_s) >= since_s)
            for watched in map(self._watched.get, partitions)
        )

    def _give_up(self, why: object) -> None:
        """Wait no more, until there was an answer."""
        self._is_away = True
        if self._unreadable.is_due():
            self._telemetry.say(
                LogEvent.LABELS_UNREADABLE, level=logging.WARNING, error=why, then=THEN
            )

    def look(self) -> None:
        """Read what is new; what keeps it from that is said, and all else goes on."""
        with self._lock:
            wanted = sorted(self._watched.items())
        try:
            with self._deadlined("opening a client for labels", LOOK_S_MAX):
                reader = self._reader = self._reader or self._open_reader()
            for partition, watched in wanted:
                with self._deadlined("looking for labels", LOOK_S_MAX):
                    self._look_at(reader, partition, watched)
        except StreamError as error:
            self.close()
            with self._lock:
                for _, watched in wanted:
                    watched.sure_until_s = 0.0
                # What is not there, or may not be read, is not waited for; nor is anything where
                # nobody could look meanwhile.
                if isinstance(error, Misconfigured) or self._look_now is None:
                    self._give_up(error)
                self._lock.notify_all()

    def _look_at(self, reader: Reader, partition: int, watched: _Watched) -> None:
        """Read what is new of one partition. Raises: StreamError."""
        began_s = self._clock.monotonic()
        bounds = reader.bounds(Channel.LABELS, partition)
        at = self._place(reader, partition, watched, bounds)
        found, at = self._read(reader, partition, watched, at, bounds.end)
        events_end = -1
        # Behind the labels: an event that was written before one of these is seen.
        if partition in self._wants_events:
            events_end = reader.bounds(Channel.EVENTS, partition).end
        with self._lock:
            if self._watched.get(partition) is watched:
                watched.waiting.extend(found)
                watched.bytes_n += sum(map(_bytes_of, found))
                watched.at, watched.end, watched.looked_s = at, bounds.end, began_s
                if watched.goal is None:
                    watched.goal = bounds.end
                if events_end >= 0:
                    watched.events_end, watched.events_s = events_end, began_s
            self._is_away = False
            self._lock.notify_all()

    def _read(
        self, reader: Reader, partition: int, watched: _Watched, at: Reached, end: int
    ) -> tuple[list[Record], Reached]:
        """Read on, up to the end or as far as it is read ahead. Raises: StreamError."""
        found: list[Record] = []
        assert at.offset is not None  # noqa: S101  # it has a place
        n, bytes_n = len(watched.waiting), watched.bytes_n
        if at.offset >= end or n >= AHEAD_N or bytes_n >= AHEAD_BYTES:
            return found, at
        for record in recent.records_in(reader, Channel.LABELS, partition, at.offset, end):
            found.append(record)
            bytes_n += _bytes_of(record)
            if n + len(found) >= AHEAD_N or bytes_n >= AHEAD_BYTES:
                return found, Reached(record.offset + 1, mark_of(record))
        return found, Reached(end, mark_of(found[-1]) if found else at.mark)

    def _place(self, reader: Reader, partition: int, watched: _Watched, bounds: Bounds) -> Reached:
        """Where to read on: where it was, unless that was in another topic of this name."""
        offset, mark, why = watched.at.offset, watched.at.mark, ""
        if offset is None:
            return Reached(bounds.start if self._start == "earliest" else bounds.end)
        now_s = self._clock.monotonic()
        if offset < bounds.start:
            why = f"the records {offset} to {bounds.start - 1} were deleted, and nobody had read "
            why += "them"
        elif offset > bounds.end:
            why = MADE_AGAIN
        elif mark and offset > bounds.start and now_s >= watched.sure_until_s:
            records = recent.records_in(reader, Channel.LABELS, partition, offset - 1, offset)
            before = next(records, None)
            watched.sure_until_s = now_s + SURE_S
            why = "" if before is None or mark_of(before) == mark else MADE_AGAIN
        if not why:
            return watched.at
        self._telemetry.say(
            LogEvent.LABELS_LOST, level=logging.WARNING, partition=partition, why=why,
            then=f"labels are read from {bounds.start} on",
        )  # fmt: skip
        return Reached(bounds.start)

    def close(self) -> None:
        """Free the client; the next look opens another one."""
        reader, self._reader = self._reader, None
        if reader is not None:
            with suppress(StreamError):
                reader.close()


def _bytes_of(record: Record) -> int:
    return len(record.value or b"") + len(record.key or b"")
