"""Deliberate mistakes in how commands are folded, written down, and given again."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from stream.core.commands import Command, LedgerValue, What
from stream.core.event import Channel, Output, Record
from stream.core.fold import commands as fold_module
from stream.core.fold.commanded import Commanded
from stream.core.fold.task import Task
from stream.core.snapshots.metadata import NOWHERE, Metadata, Reached
from stream.ports import Committed
from stream.runtime import beside as beside_module
from stream.runtime import commanding as commanding_module
from stream.runtime import worker as worker_module
from stream.runtime.beside import Beside
from stream.runtime.commanding import Commanding
from stream.runtime.control import Control
from stream.runtime.journaled import Journaled
from stream.runtime.life import MOVES, Life, Move
from stream.runtime.watched_log import WatchedLog
from tests.instruments.simulation import world as world_module
from tests.instruments.simulation.doubles import PositionedLog
from tests.instruments.simulation.world import Parts

Plant = Callable[[pytest.MonkeyPatch], Parts]

_fold, _do, _kept = fold_module.fold, fold_module._do, Commanded.kept
_metadata, _begin_untrained = Task.metadata, Task.begin_untrained


def outside(channel: Channel) -> Plant:
    """What goes to one topic is not sent in the transaction."""

    class Outside(PositionedLog):
        """Sends what goes to one topic as it comes, not in the transaction."""

        def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
            """See `Log.commit`."""
            self._send([o for o in outputs if o.channel is channel], None)
            super().commit([o for o in outputs if o.channel is not channel], offsets)

    return lambda _patch: Parts(log=Outside)


class ReadsNothingAgain(Commanding):
    """What a lost commit had folded of the control topic is not read again."""

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget what was folded, and not where reading stands."""
        control, self._control = self._control, None
        super().drop(partitions)
        self._control = control

    def adopt(self, task: Task) -> None:
        """See `Commanding.adopt`."""
        if self._control is not None and task.partition not in self._control._watched:
            super().adopt(task)


class CommitsWhatIsRead(Beside):
    """Says to have come as far as it has read, which is not all folded."""

    def to_commit(self, tasks: Mapping[int, Task]) -> tuple[dict[int, Committed], Sequence[Output]]:
        """See `Beside.to_commit`."""
        control = self.commanding._control
        for task in tasks.values():
            watched = None if control is None else control._watched.get(task.partition)
            if watched is not None:
                task.reached[Channel.CONTROL] = Reached(watched.position)
        return super().to_commit(tasks)


class AnswersNobody(Commanding):
    """Does what is commanded, and does not say so."""

    def _answer(self, *_: Any) -> None:
        """Do nothing."""


class WatchesForEver(Control):
    """Goes on with what it has read of a partition that others had meanwhile."""

    def drop(self, partitions: Collection[int]) -> None:
        """Do nothing."""

    def begin(self, partition: int, position: int, mark: str = "") -> None:
        """Only once."""
        if partition not in self._watched:
            super().begin(partition, position, mark)


class ForgetsSeeks(WatchedLog):
    """Does not know that what a poll gave before a seek comes again."""

    def seek(self, task: Task) -> None:
        """See `WatchedLog.seek`."""
        super().seek(task)
        self.sought.clear()


def _without_number(task: Task, record: Record, command: Command) -> LedgerValue | None:
    """A command moves the fold on, and its step is not counted."""
    result = _fold(task, record, command)
    task.state.n -= 1
    return result


def _take_unseen_for_none(self: Journaled, _task: Task) -> None:
    """A record of the journal that cannot be seen yet is taken for none."""
    self.proved._upto = min(self.proved._upto, self.proved._last)


def _keep_detectors(self: Task) -> None:
    """A reset keeps what the detectors have seen of the former model's errors."""
    detectors = self.state.detectors
    _begin_untrained(self)
    self.state.detectors, self._detect = detectors, detectors.update


def _do_all_but_freeze(task: Task, what: What) -> None:
    if what is not What.FREEZE:
        _do(task, what)


def _at_once(records: list[Record]) -> list[Record]:
    """A reset shares the commit of the commands before it."""
    return records


def _never_late(*_: Any) -> bool:
    return False


def _without_place(task: Task) -> Metadata:
    return msgspec.structs.replace(_metadata(task), control=NOWHERE)


def without(name: str) -> Plant:
    """A snapshot lacks something of what commands made."""

    def kept(self: Commanded) -> dict[str, Any]:
        return {each: value for each, value in _kept(self).items() if each != name}

    return patched(Commanded, "kept", kept)


def patched(owner: Any, name: str, mistaken: Any) -> Plant:
    """Put a mistake in the place of what bears that name."""

    def plant(patch: pytest.MonkeyPatch) -> Parts:
        patch.setattr(owner, name, mistaken)
        return Parts()

    return plant


def _pause_forgotten(patch: pytest.MonkeyPatch) -> Parts:
    for at in ((Life.RESTORING, Move.RESTORED_STOPPED), (Life.ASSIGNED, Move.KEEP_STOPPED)):
        patch.setitem(MOVES, at, Life.FOLDING)
    return Parts()


BUGS: Mapping[str, Plant] = {
    "a journal outside the transaction": outside(Channel.JOURNAL),
    "a ledger outside the transaction": outside(Channel.LEDGER),
    "a command's step without its number": patched(fold_module, "fold",
                                                    _without_number),
    "a record of the journal not seen yet taken for none": patched(
        Journaled, "_check", _take_unseen_for_none
    ),
    "a command done twice after a restart": without("ids"),
    "a freeze not in the snapshot": without("is_frozen"),
    "the journal's number not in the snapshot": without("journal_n"),
    "the place in the control topic not committed": patched(Task, "metadata", _without_place),
    "commands of a lost commit not read again": patched(
        beside_module, "Commanding", ReadsNothingAgain
    ),
    "commands passed over that were only read": patched(
        worker_module, "Beside", CommitsWhatIsRead
    ),
    "a command without an answer": patched(beside_module, "Commanding", AnswersNobody),
    "commands of a former stay folded": patched(world_module, "Control", WatchesForEver),
    "events polled before a resume folded twice": patched(
        worker_module, "WatchedLog", ForgetsSeeks
    ),
    "an operator's pause forgotten by the next owner": _pause_forgotten,
    "a late command done": patched(Command, "is_late", _never_late),
    "a frozen model that learns": patched(fold_module, "_do", _do_all_but_freeze),
    "detectors of a model that was reset": patched(Task, "begin_untrained", _keep_detectors),
    "a reset that keeps what is not committed": patched(commanding_module, "_at_once", _at_once),
}  # fmt: skip
