"""What is said of a restore."""

import logging

from stream.core.fold.task import Task
from stream.ports import Committed
from stream.runtime.resumption import Resumption
from stream.runtime.sources import Sources
from stream.telemetry import LogEvent, Metric


class RestoreLines:
    """Says what became of one partition's restore, which begins now."""

    def __init__(self, sources: Sources, partition: int) -> None:
        self._clock = sources.clock
        self._telemetry = sources.telemetry
        self._partition = partition
        self._began_s = sources.clock.monotonic()

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
        """Report what becomes of a fold whose recipe changed."""
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
