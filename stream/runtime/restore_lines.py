"""What is said of a restore."""

import logging
from typing import TYPE_CHECKING

from stream.core.fold.commands import changed
from stream.core.fold.task import Task
from stream.ports import Committed
from stream.runtime.resumption import Resumption
from stream.runtime.sources import Sources
from stream.telemetry import LogEvent, Metric

if TYPE_CHECKING:
    from stream.core.commands import LedgerValue


class RestoreLines:
    """Says what became of one partition's restore, which begins now.

    Attributes:
        told: what the ledger is to say of it; None: nothing has changed.
    """

    def __init__(self, sources: Sources, partition: int) -> None:
        self._clock = sources.clock
        self._telemetry = sources.telemetry
        self._partition = partition
        self._began_s = sources.clock.monotonic()
        self.told: LedgerValue | None = None
        self._changed: tuple[str, str] | None = None

    def moved(self, at: Resumption, committed: Committed) -> None:
        """Report that somebody moved the committed offset, if it was."""
        notice = at.notice(committed)
        if notice:
            self._telemetry.say(
                LogEvent.OFFSET_MOVED,
                level=logging.WARNING,
                partition=self._partition,
                committed=committed.offset,
                next_offset=at.offset,
                why=notice,
            )

    def changed(self, on_change: str, genesis: int, what: str) -> None:
        """Report what becomes of a fold whose recipe changed; the ledger gets it, too."""
        self._changed = on_change, what
        self._telemetry.say(
            LogEvent.RECIPE_CHANGED,
            partition=self._partition,
            on_change=on_change,
            genesis=genesis,
            what=what,
        )

    def restored(self, task: Task, origin: str, *, is_fresh: bool) -> None:
        """Report and count that the partition's state is back, and where it came from."""
        self._telemetry.count(Metric.RESTORES)
        self._telemetry.say(
            LogEvent.TASK_FRESH if is_fresh else LogEvent.TASK_RESTORED,
            partition=self._partition,
            origin=origin,
            next_offset=task.next_offset,
            learned=task.serving.learned,
            took_s=self._clock.monotonic() - self._began_s,
        )
        if self._changed is not None:
            on_change, what = self._changed
            self.told = changed(task, on_change, why=what, now_ms=self._clock.now_ms())
