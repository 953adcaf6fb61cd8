"""What stands in for the parts of a process that touch threads, time and the outside.

The broker and its log are the memory adapter's, in two places closer to Kafka's.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from stream.adapters.memory import MemoryBroker, MemoryLog
from stream.adapters.memory.group import Group, Member
from stream.adapters.memory.topic import Fate, Partition, Transaction
from stream.errors import CommitLost
from stream.ports import Committed, Polled
from stream.runtime.watchdog import Watchdog
from stream.runtime.watched_log import WatchedLog
from stream.telemetry import LOGGER_NAME, LogEvent, Telemetry
from tests.instruments.simulation.clock import ManualClock
from tests.instruments.simulation.violation import Violation

_NOWHERE = logging.NullHandler()

Line = tuple[LogEvent, int, str]
"""A line of which an auditor asks: its event, the partition, the text."""

_TOLD = {LogEvent.LABELS_LOST: "why", LogEvent.RECIPE_CHANGED: "what"}


class StrictBroker(MemoryBroker):
    """Refuses offsets for a transaction that has ended; they would wait for its end for ever."""

    def add_offsets(
        self,
        transaction: Transaction,
        group: Group,
        offsets: dict[int, Committed],
        *,
        member: Member,
    ) -> None:
        """See `MemoryBroker.add_offsets`."""
        if transaction.fate is not Fate.OPEN:
            raise CommitLost("the transaction timed out and was aborted")
        super().add_offsets(transaction, group, offsets, member=member)


def cut(partition: Partition, end: int) -> None:
    """An unclean election: what lay at `end` and beyond never was."""
    del partition._entries[end:]
    for transaction in [t for t, first in partition.opened.items() if first >= end]:
        del partition.opened[transaction]
        del transaction.partitions[partition]


class PositionedLog(MemoryLog):
    """Tells positions, as Kafka's client can: so a worker passes trailing gaps."""

    def poll(self, *, timeout_s: float, records_max: int) -> Polled:
        """See `Log.poll`."""
        polled = super().poll(timeout_s=timeout_s, records_max=records_max)
        if polled.records:
            return polled
        return Polled({}, polled.revoked, polled.assigned, dict(self._positions))


@contextmanager
def deaf(log: WatchedLog) -> Iterator[None]:
    """Let a log not hear `seek`: a planted mistake."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "seek", lambda _task: None)
        yield


class Deadlines(Watchdog):
    """No thread: it only remembers that somebody would watch, and until when.

    Attributes:
        end_s: the deadline on the simulation's clock; None = nobody watches.
    """

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.end_s: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether the real one would have ended the process."""
        return self.end_s is not None and self._clock.elapsed_s > self.end_s

    def watch(  # type: ignore[override]  # as a `with` it is the same
        self, what: str, seconds: float
    ) -> AbstractContextManager[None]:
        """See `Watchdog.watch`."""
        if seconds <= 0:
            raise Violation(f"{what}: no time for it: {seconds}")
        watching = _Watching(self)
        self.end_s = self._clock.elapsed_s + seconds
        return watching


class _Watching(AbstractContextManager[None]):
    """A class, as a generator takes several times as long."""

    __slots__ = ("_deadlines", "_left_s")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        outer_s = deadlines.end_s
        self._left_s = None if outer_s is None else outer_s - deadlines._clock.elapsed_s

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        deadlines, left_s = self._deadlines, self._left_s
        deadlines.end_s = None if left_s is None else deadlines._clock.elapsed_s + left_s


class Diary(Telemetry):
    """Keeps what is said; if somebody listens, it tells them, and has the real one format it."""

    def __init__(
        self,
        name: str,
        note: Callable[[str], None] | None,
        told: list[Line] | None = None,
    ) -> None:
        super().__init__()
        self._told = [] if told is None else told
        logging.getLogger(LOGGER_NAME).addHandler(_NOWHERE)
        self._name = name
        self._note = note
        self.said: list[tuple[LogEvent, dict[str, object]]] = []

    def say(self, event: LogEvent, *, level: int = 20, **fields: object) -> None:
        """See `Telemetry.say`."""
        self.said.append((event, fields))
        if event in _TOLD:
            partition, text = int(str(fields["partition"])), str(fields[_TOLD[event]])
            self._told.append((event, partition, text))
        if self._note is not None:
            super().say(event, level=level, **fields)
            self._note(f"{self._name}: {event} {fields}")

    def events(self) -> list[LogEvent]:
        """What was said, without the fields."""
        return [event for event, _ in self.said]


class _Job(Future[Any]):
    """A job's result; whoever waits for it lets the jobs before it run."""

    executor: "Jobs"

    def result(self, timeout: float | None = None) -> Any:
        """See `Future.result`."""
        while not self.done():
            self.executor.run_one()
        return super().result(timeout)


class Jobs(Executor):
    """Runs jobs in the order of asking: at once, or when the simulation lets one run.

    What is no `Exception` is the death of the process and goes through.

    Attributes:
        is_running: a job is, and so nothing of it stalls the loop.
    """

    def __init__(self, *, are_late: bool) -> None:
        self.is_running = False
        self._are_late = are_late
        self._waiting: deque[tuple[_Job, Callable[[], Any]]] = deque()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `Executor.submit`."""
        job = _Job()
        job.executor = self
        self._waiting.append((job, lambda: fn(*args, **kwargs)))
        if not self._are_late:
            self.run_one()
        return job

    def run_one(self) -> None:
        """Run the oldest job; fine if there is none."""
        if not self._waiting:
            return
        job, work = self._waiting.popleft()
        self.is_running = True
        try:
            job.set_result(work())
        except Exception as error:  # noqa: BLE001  # whoever asks for the result gets it
            job.set_exception(error)
        finally:
            self.is_running = False
