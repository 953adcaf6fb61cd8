"""How assigned partitions come to life: keep the state there is, or restore it.

One partition is restored at a time (see `life.py`). A held state, of a partition in doubt or won
back, lives again only if the committed offset, with its metadata, is exactly its own.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from stream.core.commands import LedgerValue
from stream.core.fold.task import Task
from stream.ports import Committed
from stream.runtime.bases import Base
from stream.runtime.life import SETTLING, Life, Lives, Move
from stream.runtime.restore import Restore
from stream.runtime.sources import Sources
from stream.runtime.watchdog import Deadlined
from stream.runtime.watched_log import WatchedLog
from stream.telemetry import LogEvent

RESTORE_SLICE_S = 0.2

_RESTORED = Move.RESTORED, Move.RESTORED_PAUSED, Move.RESTORED_STOPPED
_KEPT = Move.KEEP, Move.KEEP_PAUSED, Move.KEEP_STOPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A partition that is live from now on; the log delivers it from its next offset.

    Attributes:
        is_committed: the committed metadata is the task's; else commit before anything else.
        end: the partition's stable end when its restore began; None for a kept state.
        stored_n: the steps of its newest snapshot; without one, those before its fold began.
        debt_s: how long replaying from there took.
        base: what the fold begins anew with; to be published before its offset is committed.
        told: what the ledger is to say with that.
    """

    task: Task
    is_committed: bool
    end: int | None
    stored_n: int
    debt_s: float = 0.0
    base: Base | None = None
    told: LedgerValue | None = None


class Settling:
    """Moves partitions of a worker that are assigned on, until they fold.

    Args:
        lives: of all the worker's partitions.
        deadlined: puts a deadline on calls that can hang.
        call_deadline_s: how long one client's call may take.
    """

    def __init__(
        self,
        log: WatchedLog,
        lives: Lives,
        *,
        sources: Sources,
        deadlined: Deadlined,
        call_deadline_s: float,
    ) -> None:
        self._log = log
        self._lives = lives
        self._sources = sources
        self._deadlined = deadlined
        self._call_deadline_s = call_deadline_s
        self._restore: Restore | None = None

    def __bool__(self) -> bool:
        """Whether any partition waits."""
        return bool(self._lives.within(SETTLING))

    def drop(self, partitions: Collection[int]) -> None:
        """Give up the restore of a partition that was revoked."""
        if self._restore is not None and self._restore.partition in partitions:
            self._restore = None

    def advance(self) -> Iterator[Settled]:
        """Work for about a slice; yields each partition that came to life.

        Raises: Retryable: call again; what `Restore.advance` raises.
        """
        wanted = self._lives.within({Life.ASSIGNED})
        if wanted and (self._restore is None or self._lives.tasks({Life.ASSIGNED})):
            yield from self._look_up(wanted)
        if self._restore is None:
            return
        restore = self._restore
        with self._deadlined("restoring", RESTORE_SLICE_S + self._call_deadline_s):
            task = restore.advance(RESTORE_SLICE_S)
        if task is not None:
            self._log.seek(task)
            self._restore = None
            self._lives.move(task.partition, _one_of(task, *_RESTORED), task)
            yield Settled(
                task=task,
                is_committed=not restore.changed,
                end=restore.end,
                stored_n=restore.stored_n,
                debt_s=restore.replayed_s,
                base=restore.base,
                told=restore.lines.told,
            )

    def _look_up(self, wanted: list[int]) -> Iterator[Settled]:
        """Keep the held states that are the committed ones; begin to restore one of the others."""
        committed = self._log.committed(wanted)
        for partition, task in sorted(self._lives.tasks({Life.ASSIGNED}).items()):
            if committed.get(partition) == Committed(task.next_offset, task.metadata().encode()):
                yield self._kept(task)
            else:
                self._lives.move(partition, Move.DIFFER)
        if self._restore is None and (left := self._lives.within({Life.ASSIGNED})):
            partition = left[0]
            self._lives.move(partition, Move.RESTORE)
            self._restore = Restore(
                self._sources, partition, committed.get(partition), deadlined=self._deadlined
            )

    def _kept(self, task: Task) -> Settled:
        self._log.seek(task)
        self._lives.move(task.partition, _one_of(task, *_KEPT))
        self._sources.telemetry.say(LogEvent.TASK_KEPT, partition=task.partition)
        return Settled(task=task, is_committed=True, end=None, stored_n=task.state.genesis_n)


def _one_of(task: Task, goes_on: Move, paused: Move, stopped: Move) -> Move:
    """The move of a task that goes on, or that the breaker, or a command, has paused."""
    if task.state.commanded.is_paused:
        return stopped
    return paused if task.is_paused else goes_on
