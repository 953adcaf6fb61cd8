"""The labels topic's partitions that a worker holds: read ahead beside the loop, by threads.

The group subscribes to the events only: whoever holds partition p of these reads p of the labels,
from the place that is committed beside the events' offset. A look says what there is *now*, so that
of two records that were written one after the other the earlier one is never missed.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from stream.core.event import Record
from stream.core.snapshots.metadata import Reached
from stream.ports import Clock, Reader
from stream.runtime import labels_look
from stream.runtime.labels_look import LabelsLook, Start, Watched
from stream.runtime.seldom import Seldom
from stream.runtime.watchdog import Deadlined, without_deadline
from stream.telemetry import LogEvent, Telemetry

THEN: Final = "events go on without labels, and these are learned when it answers again"


class LabelsTopic:
    """What was read of the labels topic, and whether that is all there is.

    Args:
        open_reader: opens a client.
        patience_s: so long the loop waits for a partition that does not answer; once it has waited
            it waits no more until there was an answer.
        start: where a partition of which nothing is committed begins.
        clock: says how long that is.
        telemetry: told when the topic cannot be read.
        deadlined: of each thread that looks its own.

    Attributes:
        near: looks at the partitions that answer.
        far: looks at the others, so that these hold up no look at those.
    """

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        *,
        patience_s: float,
        start: Start,
        clock: Clock,
        telemetry: Telemetry,
        deadlined: tuple[Deadlined, Deadlined] = (without_deadline, without_deadline),
    ) -> None:
        self._patience_s = patience_s
        self._clock = clock
        self._telemetry = telemetry
        self._unreadable = Seldom(clock)
        self._watched: dict[int, Watched] = {}
        self._changed = threading.Condition()
        look = partial(
            LabelsLook, open_reader, self._watched, self._changed, start=start, clock=clock,
            telemetry=telemetry,
        )  # fmt: skip
        self.near = look(of_those_away=False, deadlined=deadlined[0])
        self.far = look(of_those_away=True, deadlined=deadlined[1])

    def begin(self, partition: int, at: Reached) -> None:
        """Watch a partition from a place on."""
        with self._changed:
            self._watched[partition] = Watched(at)

    def drop(self, partitions: Collection[int]) -> None:
        """Watch these no more."""
        with self._changed:
            for partition in partitions:
                self._watched.pop(partition, None)

    def has_more(self, partition: int) -> bool:
        """Whether there are records that nobody has read."""
        watched = self._watched.get(partition)
        return watched is not None and watched.has_more

    def waiting(self, partition: int) -> deque[Record]:
        """The records of a partition that were read: whoever folds one takes it from the left."""
        watched = self._watched.get(partition)
        return deque() if watched is None else watched.waiting

    def refill(self, partition: int) -> None:
        """Let it be read further ahead, where few are left and there are more."""
        watched, look_now = self._watched.get(partition), self.near.look_now
        if (
            look_now is not None
            and watched is not None
            and len(watched.waiting) <= labels_look.AHEAD_N // 2
            and watched.has_more
        ):
            look_now()

    def began_at(self, partition: int) -> int | None:
        """Where reading a partition goes on from; None: nobody has looked."""
        watched = self._watched.get(partition)
        if watched is None:
            return None
        with self._changed:
            return watched.waiting[0].offset if watched.waiting else watched.at.offset

    def events_end(self, partition: int) -> int | None:
        """The end of the events at the last look that was asked for it; None: there was none."""
        watched = self._watched.get(partition)
        return None if watched is None else watched.events_end

    def is_through(self, partition: int) -> bool:
        """Whether all is taken that there was at the first look."""
        watched = self._watched.get(partition)
        if watched is None or watched.goal is None:
            return False
        begun = self.began_at(partition)
        return begun is not None and begun >= watched.goal

    def ask(self, partitions: Collection[int], *, events: bool = False) -> Collection[int]:
        """Look at what there is now, and wait for it where it has not failed to answer.

        Args:
            partitions: of which all that is there is to be known: records that wait, or the end.
            events: the end of the events, too.

        Returns: of which that is known. Raises: what ended a thread that looks.
        """
        self._raise_failures()
        since_s = self._clock.monotonic()
        wanted = {p: self._watched[p] for p in partitions if p in self._watched}
        with self._changed:
            for watched in wanted.values():
                watched.wants_events = events
        if self.near.look_now is None:
            self.look()
        else:
            self._wait(list(wanted.values()), since_s)
        for watched in wanted.values():
            if watched.is_away and self._unreadable.is_due():
                self._telemetry.say(
                    LogEvent.LABELS_UNREADABLE, level=logging.WARNING, error=watched.trouble,
                    then=THEN,
                )  # fmt: skip
        return [p for p, each in wanted.items() if not each.is_away and each.is_fresh(since_s)]

    def look(self) -> None:
        """Look at each once, where no thread does."""
        self.near.look()
        self.far.look()

    def _wait(self, wanted: Collection[Watched], since_s: float) -> None:
        """Wait until each was looked at since a moment, or is away; who is late is away then."""
        assert self.near.look_now is not None  # noqa: S101  # a thread looks
        self.near.look_now()
        with self._changed:
            self._changed.wait_for(
                lambda: all(each.is_away or each.is_fresh(since_s) for each in wanted),
                self._patience_s,
            )
            for each in wanted:
                if not each.is_fresh(since_s) and not each.is_away:
                    each.is_away = True
                    each.trouble = each.trouble or f"no answer within {self._patience_s:g} s"
        self._raise_failures()

    def _raise_failures(self) -> None:
        """Raises: what ended a thread that looks."""
        for look in (self.near, self.far):
            if look.failure is not None:
                raise look.failure
