"""How assigned partitions come to life: keep the state there is, or restore it.

A partition that is not live is in one of two rooms: *unsettled* (its committed offset was not
looked at yet) or *restoring* (one at a time). Beside them lie *held* states, of partitions in doubt
or given away. One lives again only if the committed offset, with its metadata, is exactly its own.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from stream.core.task import Task
from stream.ports import Committed, Log
from stream.runtime.bases import Base
from stream.runtime.candidates import Deadlined
from stream.runtime.restore import Restore
from stream.runtime.sources import Sources
from stream.telemetry import LogEvent

RESTORE_SLICE_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A partition that is live from now on; the log delivers it from its next offset.

    Attributes:
        is_committed: the committed metadata is the task's; else commit before anything else.
        end: the partition's stable end when its restore began; None for a kept state.
        stored_offset: that of its newest snapshot; without one, where its fold began.
        debt_s: how long replaying from there took.
        base: what the fold begins anew with; to be published before its offset is committed.
    """

    task: Task
    is_committed: bool
    end: int | None
    stored_offset: int
    debt_s: float = 0.0
    base: Base | None = None


class Settling:
    """The partitions of a worker that are assigned and not live.

    Args:
        deadlined: puts a deadline on calls that can hang.
        call_deadline_s: how long one client's call may take.
    """

    def __init__(
        self, log: Log, *, sources: Sources, deadlined: Deadlined, call_deadline_s: float
    ) -> None:
        self._log = log
        self._sources = sources
        self._deadlined = deadlined
        self._call_deadline_s = call_deadline_s
        self._unsettled: set[int] = set()
        self._held: dict[int, Task] = {}
        self._restore: Restore | None = None

    def __bool__(self) -> bool:
        """Whether any partition waits."""
        return bool(self._unsettled) or self._restore is not None

    def add(self, partitions: Collection[int]) -> None:
        """Take in partitions that were assigned, or whose commit is in doubt."""
        self._unsettled.update(partitions)
        # States of partitions that went elsewhere are not worth their memory.
        self._held = {p: task for p, task in self._held.items() if p in self._unsettled}

    def drop(self, partitions: Collection[int]) -> None:
        """Forget partitions that were revoked."""
        self._unsettled.difference_update(partitions)
        if self._restore is not None and self._restore.partition in partitions:
            self._restore = None

    def hold(self, tasks: Iterable[Task]) -> None:
        """Keep states that may turn out to be the committed ones."""
        self._held.update((task.partition, task) for task in tasks)

    def advance(self) -> Iterator[Settled]:
        """Work for about a slice; yields each partition that came to life.

        Raises: Retryable: call again; what `Restore.advance` raises.
        """
        if self._unsettled and (self._restore is None or self._unsettled & self._held.keys()):
            yield from self._look_up()
        if self._restore is None:
            return
        restore = self._restore
        with self._deadlined("restoring", RESTORE_SLICE_S + self._call_deadline_s):
            task = restore.advance(RESTORE_SLICE_S)
        if task is not None:
            self._seek(task)
            self._restore = None
            yield Settled(
                task=task,
                is_committed=not restore.changed,
                end=restore.end,
                stored_offset=restore.stored_offset,
                debt_s=restore.replayed_s,
                base=restore.base,
            )

    def _seek(self, task: Task) -> None:
        with self._deadlined("seeking", self._call_deadline_s):
            self._log.seek(task.partition, task.next_offset)

    def _look_up(self) -> Iterator[Settled]:
        """Keep the held states that are the committed ones; begin to restore one of the others."""
        wanted = sorted(self._unsettled)
        # Each look-up has its own time-out in the adapter; they come one after another.
        with self._deadlined(
            "reading the committed offsets", self._call_deadline_s * (1 + len(wanted))
        ):
            committed = self._log.committed(wanted)
        for partition in wanted:
            task = self._held.get(partition)
            if task is None:
                continue
            own = Committed(task.next_offset, task.metadata().encode())
            is_kept = committed.get(partition) == own
            if is_kept:
                self._seek(task)
                self._unsettled.discard(partition)
            del self._held[partition]
            if is_kept:
                self._sources.telemetry.say(LogEvent.TASK_KEPT, partition=partition)
                yield Settled(
                    task=task, is_committed=True, end=None, stored_offset=task.state.genesis
                )
        if self._restore is None and self._unsettled:
            partition = min(self._unsettled)
            self._unsettled.discard(partition)
            self._restore = Restore(
                self._sources, partition, committed.get(partition), deadlined=self._deadlined
            )
