"""The one driver of muted folds: restoring, verifying, comparing and rehearsing."""

from collections.abc import Callable, Iterator, Sequence
from math import inf

from stream.core.event import Channel, Record
from stream.core.fold.task import Task
from stream.core.result import StepResult
from stream.errors import Retryable
from stream.ports import Clock, Reader

Look = Callable[[StepResult], bool]
"""Is shown what a step gave; True: the replay ends behind it."""


class Replay:
    """Folds the events from a task's next offset on into it, and publishes nothing.

    Args:
        reader: reads the events; it reads one range at a time.
        task: goes on from where it is.
        clock: says when a slice is over.
        between: called after each batch of records, with the task.
    """

    def __init__(
        self,
        reader: Reader,
        task: Task,
        *,
        clock: Clock,
        between: Callable[[Task], None] | None = None,
    ) -> None:
        self.task = task
        self._reader = reader
        self._clock = clock
        self._between = between
        self._batches: Iterator[Sequence[Record]] | None = None
        self._records: Iterator[Record] = iter(())
        self._stop = -1

    def advance(self, stop: int, *, until_s: float = inf, look: Look | None = None) -> bool:
        """Fold up to an offset, or to a moment of the clock; a call with another `stop` may follow.

        Returns: whether the task is at `stop`; else the moment came, or `look` ended it.
        Raises: Retryable: call again; LogLost, Misconfigured: as `Reader.read`.
        """
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
