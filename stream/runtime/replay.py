"""The one driver of muted folds: restoring, verifying, comparing and rehearsing."""

from collections.abc import Callable, Iterator, Sequence
from math import inf

from stream.core.commands import Entry
from stream.core.event import Channel, Record
from stream.core.fold import commands
from stream.core.fold.task import Task
from stream.core.formats.commands import command_in, mark_of
from stream.core.result import StepResult
from stream.errors import LogLost, Retryable
from stream.ports import Clock, Reader
from stream.runtime.journal import NO_STEPS, Steps

Look = Callable[[StepResult], bool]
"""Is shown what a step gave; True: the replay ends behind it."""


class Replay:
    """Folds the events from a task's next offset on into it, and publishes nothing.

    Args:
        reader: reads the events; it reads one range at a time.
        task: goes on from where it is.
        clock: says when a slice is over.
        between: called after each batch of records, with the task.
        steps: what is folded beside the events.
    """

    def __init__(
        self,
        reader: Reader,
        task: Task,
        *,
        clock: Clock,
        between: Callable[[Task], None] | None = None,
        steps: Steps = NO_STEPS,
    ) -> None:
        self.task = task
        self._reader = reader
        self._clock = clock
        self._between = between
        self._batches: Iterator[Sequence[Record]] | None = None
        self._records: Iterator[Record] = iter(())
        self._stop = -1
        self._steps = steps.after(task.state.commanded.journal_n)
        self._step = next(self._steps, None)

    def advance(self, stop: int, *, until_s: float = inf, look: Look | None = None) -> bool:
        """Fold up to an offset, or to a moment of the clock; a call with another `stop` may follow.

        Returns: whether the task is at `stop`; else the moment came, or `look` ended it.
        Raises: Retryable: call again; LogLost, Misconfigured: as `Reader.read`, or the journal is
            not that of this fold.
        """
        while self._step is not None and self._step[1].next_offset <= stop:
            j, entry, is_last = self._step
            if not self._has_passed(entry) and not self._events(entry.next_offset, until_s, look):
                return False
            self._fold(entry)
            if is_last:
                self.task.state.commanded.journal_n = j
            self._step = next(self._steps, None)
        return self._events(stop, until_s, look)

    def _has_passed(self, entry: Entry) -> bool:
        """Whether a fold began behind a step: another recipe's, that is rebuilt."""
        state = self.task.state
        return entry.n < state.genesis_n and entry.next_offset < state.next_offset

    def _fold(self, entry: Entry) -> None:
        """Fold one step of the journal in, where it belongs. Raises: LogLost: it does not fit."""
        task = self.task
        if self._has_passed(entry):
            return
        is_own = entry.n >= task.state.genesis_n
        if (is_own and entry.n != task.state.n) or entry.next_offset != task.next_offset:
            raise LogLost(
                f"partition {task.partition}: the journal has a step {entry.n} before the event at "
                f"{entry.next_offset}, the fold is at step {task.state.n} and {task.next_offset}: "
                "the log or the journal is not what it was"
            )
        record = entry.record(task.partition)
        commands.fold(task, record, command_in(record))
        task.control_offset, task.control_mark = entry.offset + 1, mark_of(record)

    def _events(self, stop: int, until_s: float, look: Look | None) -> bool:
        """Fold the events up to an offset, or to a moment: see `advance`."""
        task, monotonic = self.task, self._clock.monotonic
        if task.next_offset >= stop:
            return True
        if self._batches is None or self._stop != stop:
            self._batches = self._reader.read(
                Channel.EVENTS, task.partition, task.next_offset, stop
            )
            self._records, self._stop = iter(()), stop
        while True:
            for record in self._records:
                result = task.step(record)
                if (look is not None and look(result)) or monotonic() > until_s:
                    return False
            if self._between is not None:
                self._between(task)
            try:
                batch = next(self._batches, None)
            except Retryable:
                # A generator that raised is over, which would look like the end of the records:
                # the next call reads on from `task.next_offset`.
                self._batches = None
                raise
            if batch is None:
                self._batches = None
                task.advance(stop)  # what is left up to there are gaps
                return True
            self._records = iter(batch)
            if monotonic() > until_s:
                return False
