"""Looking at the labels topic: what is new is read ahead, and it is known whether that is all."""

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal

from stream.core.event import Channel, Record
from stream.core.formats.commands import mark_of
from stream.core.snapshots.metadata import Reached
from stream.errors import Misconfigured, StreamError
from stream.ports import Bounds, Clock, Reader
from stream.runtime import recent
from stream.runtime.watchdog import Deadlined
from stream.telemetry import LogEvent, Telemetry

AHEAD_N: Final = 20_000
AHEAD_BYTES: Final = 8 << 20
"""So much of a partition is read ahead; the rest stays in the topic. Each look has its price: with
4,000 labels, confluent-kafka gave 4,200 events and labels a second; with these it gives 10,900."""

SURE_S: Final = 10.0
"""So often it is compared whether the topic was made again, where nothing else says so."""

LOOK_S_MAX: Final = 120.0
"""The deadline of one look at one partition: every request in it has a shorter one of its own."""

MADE_AGAIN: Final = "the labels topic was made again"

Start = Literal["earliest", "latest"]


@dataclass(slots=True)
class Watched:
    """One partition of the labels topic.

    Attributes:
        at: how far it was read; offset None: nowhere yet.
        end: that of the topic at the last look; looked_s: when that began.
        wants_events: whether the end of the events is to be known, too.
        events_end, events_s: that end, and when it was looked at.
        goal: the topic's end at the first look.
        sure_until_s: until then it is taken for the topic that it was when that was compared.
        is_away: it did not answer in time, and is waited for no more until it does.
        trouble: why.
        waiting: records that are not folded yet.
    """

    at: Reached
    end: int = -1
    looked_s: float = -math.inf
    wants_events: bool = False
    events_end: int | None = None
    events_s: float = -math.inf
    goal: int | None = None
    sure_until_s: float = 0.0
    is_away: bool = False
    trouble: object = ""
    waiting: deque[Record] = field(default_factory=deque)

    @property
    def has_more(self) -> bool:
        """Whether the topic had more than was read."""
        return self.at.offset is None or self.at.offset < self.end

    def is_fresh(self, since_s: float) -> bool:
        """Whether all that was asked for was looked at since a moment."""
        return (self.events_s if self.wants_events else self.looked_s) >= since_s


class LabelsLook:
    """Looks at partitions, in a thread of its own or wherever it is called.

    Args:
        open_reader: opens a client of its own.
        watched: by partition; others look there, too.
        changed: guards what is told of them, and is notified when something is.
        of_those_away: it looks at those that do not answer, for each of these takes its time; or
            at the others.
        start: where a partition of which nothing is committed begins.
        clock: says when something was looked at.
        telemetry: told what is lost.
        deadlined: `Watchdog.watch`, of a watchdog for this thread alone.

    Attributes:
        failure: a mistake of ours that ended the thread; the process ends with it.
        look_now: wakes the thread; None: there is none.
    """

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        watched: Mapping[int, Watched],
        changed: threading.Condition,
        *,
        of_those_away: bool,
        start: Start,
        clock: Clock,
        telemetry: Telemetry,
        deadlined: Deadlined,
    ) -> None:
        self._open_reader = open_reader
        self._watched = watched
        self._changed = changed
        self._of_those_away = of_those_away
        self._start = start
        self._clock = clock
        self._telemetry = telemetry
        self._deadlined = deadlined
        self._reader: Reader | None = None
        self.failure: Exception | None = None
        self.look_now: Callable[[], object] | None = None

    def looked_at_by(self, look_now: Callable[[], object]) -> None:
        """Say that a thread looks, and how it is woken."""
        self.look_now = look_now

    def look(self) -> None:
        """Read what is new of each partition; what keeps it from one costs the others nothing."""
        with self._changed:
            wanted = [
                each for each in sorted(self._watched.items())
                if each[1].is_away == self._of_those_away
            ]  # fmt: skip
        for partition, watched in wanted:
            try:
                with self._deadlined("opening a client for labels", LOOK_S_MAX):
                    reader = self._reader = self._reader or self._open_reader()
                with self._deadlined("looking for labels", LOOK_S_MAX):
                    self._look_at(reader, partition, watched)
            except StreamError as error:
                self.close()
                with self._changed:
                    watched.sure_until_s, watched.trouble = 0.0, error
                    # What is not there, or may not be read, is not waited for.
                    watched.is_away |= isinstance(error, Misconfigured) or self.look_now is None
                    self._changed.notify_all()

    def _look_at(self, reader: Reader, partition: int, watched: Watched) -> None:
        """Read what is new of one partition. Raises: StreamError."""
        began_s, events_end = self._clock.monotonic(), None
        bounds = reader.bounds(Channel.LABELS, partition)
        at = self._place(reader, partition, watched, bounds)
        found, at = _read(reader, partition, watched, at, bounds.end)
        # Behind the labels: an event that was written before one of these is seen.
        if watched.wants_events:
            events_end = reader.bounds(Channel.EVENTS, partition).end
        with self._changed:
            watched.waiting.extend(found)
            watched.at, watched.end, watched.looked_s = at, bounds.end, began_s
            watched.goal = bounds.end if watched.goal is None else watched.goal
            if events_end is not None:
                watched.events_end, watched.events_s = events_end, began_s
            watched.is_away, watched.trouble = False, ""
            self._changed.notify_all()

    def _place(self, reader: Reader, partition: int, watched: Watched, bounds: Bounds) -> Reached:
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


def _read(
    reader: Reader, partition: int, watched: Watched, at: Reached, end: int
) -> tuple[list[Record], Reached]:
    """Read on, up to the end or as far as it is read ahead. Raises: StreamError."""
    found: list[Record] = []
    assert at.offset is not None  # noqa: S101  # it has a place
    ahead = list(watched.waiting)  # some are taken meanwhile
    n, bytes_n = len(ahead), sum(map(_bytes_of, ahead))
    if at.offset >= end or n >= AHEAD_N or bytes_n >= AHEAD_BYTES:
        return found, at
    for record in recent.records_in(reader, Channel.LABELS, partition, at.offset, end):
        found.append(record)
        bytes_n += _bytes_of(record)
        if n + len(found) >= AHEAD_N or bytes_n >= AHEAD_BYTES:
            return found, Reached(record.offset + 1, mark_of(record))
    return found, Reached(end, mark_of(found[-1]) if found else at.mark)


def _bytes_of(record: Record) -> int:
    return len(record.value or b"") + len(record.key or b"")
