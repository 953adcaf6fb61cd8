"""A worker folds commands: between two commits, so that no loss of one moves their place."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from operator import attrgetter
from typing import Final

from stream.core.commands import LATE, Command, LedgerValue, What
from stream.core.event import COMMANDED, Channel, Output, Record
from stream.core.fold import commands
from stream.core.fold.task import Task
from stream.core.formats.commands import NotReadable, command_in
from stream.core.formats.records import ledger_record
from stream.core.result import StepResult
from stream.core.snapshots.metadata import NOWHERE
from stream.errors import CommitLost, Misconfigured, Retryable
from stream.runtime.breaker import Breaker
from stream.runtime.control import Control
from stream.runtime.journal_watch import JournalWatch
from stream.runtime.kept_topics import Readiness
from stream.runtime.life import COMMANDABLE, LIVING, Life, Lives, Move
from stream.runtime.seldom import Seldom
from stream.runtime.snapshotter import Snapshotter
from stream.runtime.sources import Sources
from stream.runtime.uncommitted import Uncommitted
from stream.runtime.watchdog import Deadlined
from stream.runtime.watched_log import WatchedLog
from stream.telemetry import LogEvent

COMMAND_BYTES_MAX: Final = 32 << 10
"""Key and value of a command; one of the longest texts, each character escaped, has 25,000."""

ROUNDS_N_MAX: Final = 50
"""So many commits of commands in a row: as many as wait, if none begins one of its own."""

FOLDED_N_MAX: Final = 20
"""Of one partition, in one commit: a journal's record of so many, in base64, has below 1 MB."""


_LEDGER = attrgetter("ledger")


def nothing(_channels: Collection[Channel]) -> None:
    """Make no topic: all are there."""


class Commanding:
    """Folds what waits in the control topic, and keeps what comes of it until a commit.

    Args:
        control: reads the topic; None: the worker takes no commands.
        uncommitted: takes what was folded, and what the ledger is to say.
        ready: makes topics that are missing. Raises: Retryable, Misconfigured.
        deadlined: puts a deadline on calls that can hang.
    """

    def __init__(
        self,
        control: Control | None,
        *,
        lives: Lives,
        log: WatchedLog,
        breaker: Breaker,
        snapshotter: Snapshotter,
        uncommitted: Uncommitted,
        sources: Sources,
        ready: Callable[[Collection[Channel]], None],
        deadlined: Deadlined,
    ) -> None:
        self._control = control
        self._lives = lives
        self._log = log
        self._breaker = breaker
        self._snapshotter = snapshotter
        self._sources = sources
        self._readiness = Readiness(ready, sources.clock)
        self._watch = JournalWatch(sources, deadlined)
        self._unready = Seldom(sources.clock)
        self._uncommitted = uncommitted

    def adopt(self, task: Task) -> None:
        """Take commands to a task that is live now."""
        self._watch.expect([task])
        if self._control is not None:
            at = task.reached.get(Channel.CONTROL, NOWHERE)
            self._control.begin(task.partition, at.offset or 0, at.mark)

    def drop(self, partitions: Iterable[int]) -> None:
        """Take none to these any more; what was folded of them is not committed."""
        gone = set(partitions)
        self._watch.drop(gone)
        if self._control is not None:
            self._control.drop(gone)

    def do(self, commit: Callable[[], None]) -> None:
        """Fold the commands that wait, of committed states; and commit them by themselves."""
        if self._watch.is_due():
            self._watch.look(self._lives.tasks(LIVING))
        for _ in range(ROUNDS_N_MAX):
            if not self.is_due():
                return
            if self._lives.dirty:
                commit()
            self.fold()
            with self.written_down():
                commit()

    def is_due(self) -> bool:
        """Whether a command waits that can be folded now."""
        control = self._control
        if control is None or not control.is_waiting():
            return False
        return bool(control.waiting(self._lives.tasks(COMMANDABLE))) and self._has(*COMMANDED)

    def _has(self, *channels: Channel) -> bool:
        """Whether there are these topics, which are made if they may be; if not it is said."""
        try:
            problem = self._readiness.lacks(*channels)
        except Retryable as error:
            problem = str(error)
        if problem and self._unready.is_due():
            self._sources.telemetry.say(
                LogEvent.COMMANDS_WAIT, level=logging.ERROR, why=problem,
                then="no command is done before that is mended, and none once its time is over",
            )  # fmt: skip
        return not problem

    @contextmanager
    def written_down(self) -> Iterator[None]:
        """Around a commit of commands: where their topics refuse it they wait, and only they.

        Raises: CommitLost: so it is, and was said.
        """
        try:
            yield
        except Misconfigured as error:
            self._readiness.forget()
            if self._has(*COMMANDED):
                raise  # something else is wrong
            raise CommitLost(str(error)) from error

    def tell(self, done: LedgerValue | None) -> None:
        """Keep what the ledger is to say with the next commit; without a ledger, nobody does."""
        if done is not None and self._has(Channel.LEDGER):
            recipe, now_ms = self._sources.recipe, self._sources.clock.now_ms()
            self._uncommitted.tell(
                ledger_record(done, pipeline=recipe.pipeline, timestamp_ms=now_ms)
            )

    def fold(self) -> None:
        """Fold what waits, as much as one commit takes, of states that are committed."""
        assert self._control is not None  # noqa: S101  # something is due
        tasks = self._lives.tasks(COMMANDABLE)
        for partition, waiting in self._control.waiting(tasks).items():
            records = _at_once(waiting[:FOLDED_N_MAX])
            for record in records:
                self._fold(tasks[partition], record)
            self._control.take(partition, len(records))

    def _fold(self, task: Task, record: Record) -> None:
        """Fold one record of the control topic, or pass it over."""
        self._uncommitted.pass_by(task, record, Channel.CONTROL)
        self._lives.move(task.partition, Move.COMMAND)
        try:
            command = _command_in(record)
        except NotReadable as error:
            self._sources.telemetry.say(
                LogEvent.COMMAND_REFUSED, level=logging.WARNING, partition=task.partition,
                offset=record.offset, why=f"it is no command: {error}",
            )  # fmt: skip
            return
        is_known = task.state.commanded.is_known(command.id)
        if not is_known and command.is_late(record, self._sources.clock.now_ms()):
            answer = commands.answer(task, record, command, why_not=LATE, is_step=False)
            self._answer(answer, record, command)
            return
        if command.what is What.RESET and not is_known:
            self._snapshotter.keep_now(task)
        self._uncommitted.step(task, record, Channel.CONTROL)
        ledger = commands.fold(task, record, command)
        if ledger is not None:
            self._answer(ledger, record, command)
            self._take_effect(task, ledger)

    def _take_effect(self, task: Task, done: LedgerValue) -> None:
        """Stop or go on consuming, as the fold says."""
        partition, life = task.partition, self._lives.life(task.partition)
        if done.what == What.PAUSE:
            self._lives.move(partition, Move.STOP)
            self._log.pause(partition)
        elif done.what == What.RESUME and life is not Life.FOLDING:
            self._lives.move(partition, Move.RESUME)
            self._breaker.begin_anew(task)
            self._log.seek(task)
            self._breaker.say_resumed(task, "a command says so")

    def _answer(self, done: LedgerValue, record: Record, command: Command) -> None:
        """Keep what the ledger is to say, and say it."""
        self._uncommitted.tell(
            ledger_record(
                done, pipeline=self._sources.recipe.pipeline, timestamp_ms=record.timestamp_ms,
                command_id=command.id,
            )
        )  # fmt: skip
        self._sources.telemetry.say(
            LogEvent.COMMAND_FOLDED, partition=done.partition, what=done.what, n=done.n,
            next_offset=done.offset, by=done.by, why=done.why,
            because=done.evidence.get("reason", ""),
        )  # fmt: skip

    def written(
        self, results: Sequence[StepResult], write: Callable[[Iterable[StepResult]], list[Output]]
    ) -> list[Output]:
        """The records of steps; what their ledger says only where there is one, or can be made.

        Raises: Retryable: nobody can be asked whether there is.
        """
        outputs = write(results)
        if not any(map(_LEDGER, results)):
            return outputs
        problem = self._readiness.lacks(Channel.LEDGER)
        for done in chain.from_iterable(map(_LEDGER, results)):
            self._sources.telemetry.say(
                LogEvent.FOLD_ACTED, level=logging.WARNING, partition=done.partition,
                what=done.what, n=done.n, by=done.by, why=done.why, untold=problem,
            )  # fmt: skip
        return [each for each in outputs if not (problem and each.channel is Channel.LEDGER)]

    def committed(self, journaled: Iterable[int]) -> None:
        """Look later whether the journal of what was committed now can be read."""
        tasks = self._lives.tasks(LIVING)
        self._watch.expect(tasks[p] for p in journaled if p in tasks)


def _at_once(records: list[Record]) -> list[Record]:
    """What one commit takes: a reset begins another one, for what it keeps must be committed."""
    for n, record in enumerate(records):
        if not n:
            continue
        with suppress(NotReadable):
            if _command_in(record).what is What.RESET:
                return records[:n]
    return records


def _command_in(record: Record) -> Command:
    """What a record of the control topic commands. Raises: NotReadable: nothing, or at length."""
    size_bytes = len(record.key or b"") + len(record.value or b"")
    if size_bytes > COMMAND_BYTES_MAX:
        raise NotReadable(f"it has {size_bytes} bytes, and a command at most {COMMAND_BYTES_MAX}")
    return command_in(record)
