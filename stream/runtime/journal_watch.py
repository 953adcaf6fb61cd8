"""Does the journal still hold what a live fold would be made again with?

Nothing in the life of a worker needs its earlier records, and so nobody would notice before the
snapshots are lost, too. So its beginning is looked at: some time after a partition came to life,
and after each commit of commands.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from stream.core.event import Channel
from stream.core.fold.task import Task
from stream.core.formats.commands import NotReadable, journal_in
from stream.errors import LogLost, Misconfigured, Missing, Retryable
from stream.runtime import recent
from stream.runtime.sources import Sources
from stream.runtime.unseen import UNSEEN_S_MAX
from stream.runtime.watchdog import Deadlined
from stream.telemetry import LogEvent

THEN: Final = (
    "it goes on, and its snapshots alone bring it back: keep them, bring the journal back, or let "
    "a changed setting make a base of what there is (limits.features_max, say)"
)

LOOK_S_MAX: Final = 60.0
"""The deadline of one look: every request in it has a shorter one of its own."""


class JournalWatch:
    """Looks at the journal's beginning, of each live partition that was given commands.

    Args:
        deadlined: puts a deadline on calls that can hang.
    """

    def __init__(self, sources: Sources, deadlined: Deadlined) -> None:
        self._sources = sources
        self._deadlined = deadlined
        self._due_s: dict[int, float] = {}

    def expect(self, tasks: Iterable[Task]) -> None:
        """Look at these later: by then whatever is committed now can be seen."""
        due_s = self._sources.clock.monotonic() + UNSEEN_S_MAX
        for task in tasks:
            commanded = task.state.commanded
            if commanded.journal_n > commanded.genesis_journal_n:
                self._due_s.setdefault(task.partition, due_s)

    def drop(self, partitions: Iterable[int]) -> None:
        """Look at these no more."""
        for partition in partitions:
            self._due_s.pop(partition, None)

    def is_due(self) -> bool:
        """Whether it is time to look."""
        return bool(self._due_s) and (min(self._due_s.values()) <= self._sources.clock.monotonic())

    def look(self, live: Mapping[int, Task]) -> None:
        """Look at what is due, and say where the journal does not begin as it has to."""
        now_s = self._sources.clock.monotonic()
        for partition in [p for p, due_s in self._due_s.items() if due_s <= now_s]:
            task = live.get(partition)
            if task is None:
                del self._due_s[partition]
                continue
            try:
                with self._deadlined("looking at the journal", LOOK_S_MAX):
                    why = self._why_broken(partition, task.state.commanded.genesis_journal_n + 1)
            except Retryable:
                self._due_s[partition] = now_s + UNSEEN_S_MAX
                continue
            del self._due_s[partition]
            if why:
                self._sources.telemetry.say(
                    LogEvent.JOURNAL_BROKEN, level=logging.ERROR, partition=partition, why=why,
                    then=THEN,
                )  # fmt: skip

    def _why_broken(self, partition: int, wanted_j: int) -> str:
        """Why the journal's record of a number, and so the fold, cannot be had; "": it can."""
        reader = self._sources.reader
        try:
            bounds = reader.bounds(Channel.JOURNAL, partition)
            records = recent.records_in(
                reader, Channel.JOURNAL, partition, bounds.start, bounds.end
            )
            first = next((journal_in(record).j for record in records), None)
        except Missing as error:
            return str(error)
        except (Misconfigured, LogLost, NotReadable) as error:
            return f"the journal cannot be read: {error}"
        if first is None:
            return f"record {wanted_j} of the journal is gone, and all behind it"
        if first <= wanted_j:
            return ""
        return f"of the journal's records {wanted_j} to {first - 1} are gone"
