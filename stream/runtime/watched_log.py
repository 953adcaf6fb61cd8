"""A worker's log, with a deadline on each of its calls: a client that hangs ends the process."""

from collections.abc import Collection, Mapping, Sequence

from stream.core.event import Output
from stream.core.fold.task import Task
from stream.ports import Committed, Log, Polled
from stream.runtime.watchdog import Deadlined


class WatchedLog:
    """Calls a log, watched.

    Args:
        deadlined: puts a deadline on calls that can hang.
        call_deadline_s: how long one client's call may take.

    Attributes:
        sought: what was sought since the last poll: what that gave of it will come again.
    """

    def __init__(self, log: Log, *, deadlined: Deadlined, call_deadline_s: float) -> None:
        self._log = log
        self._deadlined = deadlined
        self._call_s = call_deadline_s
        self.sought: set[int] = set()

    def poll(self, *, timeout_s: float, records_max: int) -> Polled:
        """See `Log.poll`."""
        self.sought.clear()
        with self._deadlined("polling Kafka", timeout_s + self._call_s):
            return self._log.poll(timeout_s=timeout_s, records_max=records_max)

    def seek(self, task: Task) -> None:
        """Deliver a task's partition from its next offset on; see `Log.seek`."""
        self.sought.add(task.partition)
        with self._deadlined("seeking", self._call_s):
            self._log.seek(task.partition, task.next_offset)

    def pause(self, partition: int) -> None:
        """See `Log.pause`."""
        with self._deadlined("pausing", self._call_s):
            self._log.pause(partition)

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """See `Log.commit`."""
        with self._deadlined("committing", self._call_s):
            self._log.commit(outputs, offsets)

    def committed(self, partitions: Collection[int]) -> dict[int, Committed]:
        """See `Log.committed`."""
        # Each look-up has its own time-out in the adapter; they come one after another.
        with self._deadlined("reading the committed offsets", self._call_s * (1 + len(partitions))):
            return self._log.committed(partitions)
