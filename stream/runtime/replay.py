"""The one driver of muted folds: restoring, verifying, comparing and rehearsing."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from math import inf

from stream.core.commands import Entry
from stream.core.event import Channel, Record
from stream.core.fold.repeating import repeat
from stream.core.fold.task import Task
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
        self._records: deque[Record] = deque()  # read, and not folded yet
        self._stop = -1
        self._steps = steps.after(task.state.commanded.journal_n)

    def advance(self, stop: int, *, until_s: float = inf, look: Look | None = None) -> bool:
        """Fold up to an offset, or to a moment of the clock; a call with another `stop` may follow.

        Returns: whether the task is at `stop`; else the moment came, or `look` ended it.
        Raises: Retryable: call again; LogLost, Misconfigured: as `Reader.read`, or the journal is
            not that of this fold.
        """
        while (step := self._steps.next()) is not None and step[1].next_offset <= stop:
            j, entry, is_last = step
            if not self._has_passed(entry):
                if not self._events(entry.next_offset, stop, until_s, look):
                    return False
                self._fold(entry)
            if is_last:
                self.task.state.commanded.journal_n = j
            self._steps.pass_it()
            if is_last and self._between is not None:
                self._between(self.task)
            if self._clock.monotonic() > until_s:
                return False
        return self._events(stop, stop, until_s, look)

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
        repeat(task, entry)

    def _events(self, upto: int, stop: int, until_s: float, look: Look | None) -> bool:
        """Fold the events up to an offset, or to a moment: see `advance`.

        What is read goes on to `stop`, for a step of the journal may come before each event.
        """
        task, monotonic = self.task, self._clock.monotonic
        if task.next_offset >= upto:
            return True
        while task.next_offset < upto:
            had_some = bool(self._records)
            if not self._read(stop) or self._records[0].offset >= upto:
                task.advance(upto)  # what is left up to there are gaps
                break
            if not had_some and monotonic() > until_s:
                return False
            result = task.step(self._records.popleft())
            if look is not None and look(result):
                return False
            if monotonic() > until_s:
                return False
        if not self._records and self._between is not None:
            self._between(task)
        return True

    def _read(self, stop: int) -> bool:
        """Read on, unless there are records yet. Returns: whether there are any below `stop`."""
        if self._batches is None or self._stop != stop:
            self._batches = self._reader.read(
                Channel.EVENTS, self.task.partition, self.task.next_offset, stop
            )
            self._records, self._stop = deque(), stop
        while not self._records:
            if self._between is not None:
                self._between(self.task)
            try:
                batch = next(self._batches, None)
            except Retryable:
                # A generator that raised is over, which would look like the end of the records:
                # the next call reads on from the task's next offset.
                self._batches = None
                raise
            if batch is None:
                return False
            self._records.extend(batch)
        return True
