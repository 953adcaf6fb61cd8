"""What a restore needs of the journal, and where reading the control topic goes on after it."""

from collections.abc import Callable
from dataclasses import replace

from stream.core.event import Channel
from stream.core.fold.task import Task
from stream.core.formats.commands import mark_of
from stream.core.labels.labels_spec import have_topic
from stream.core.snapshots.metadata import NOWHERE, Metadata, Reached, parse_metadata
from stream.errors import Misconfigured, Retryable
from stream.ports import Committed
from stream.runtime import journal, published
from stream.runtime.journal import NO_STEPS, Journal, Steps
from stream.runtime.replay import Replay
from stream.runtime.resumption import Resumption
from stream.runtime.sources import Sources
from stream.runtime.unseen import Unseen


class Journaled:
    """The journal of one partition, as far as its restore has a use for it.

    A pipeline that was never given a command has none, and nothing is read.

    Attributes:
        proved: the steps beside the events up to what is committed.
        steps: those up to where the outcomes end, which is where the fold goes on.
        is_further: that lies behind what is committed.
    """

    def __init__(self, sources: Sources, partition: int) -> None:
        self._sources = sources
        self._partition = partition
        self._journal: Journal | None = None
        self._known: Metadata | None = None
        self._unseen = Unseen(sources.clock)
        self.proved: Steps = NO_STEPS
        self.steps: Steps = NO_STEPS
        self.is_further = False

    def begin(
        self, known: Metadata | None, at: Resumption, *, committed_offset: int | None
    ) -> Resumption:
        """Read what there is, if it may be needed.

        A command that was folded where there was no event has no outcome, and a record all the
        same: exactly once nothing is in the journal that was not committed.

        Args:
            known: what is committed; None: nothing of ours.
            at: where the outcomes end.
            committed_offset: that of `known`; None: nothing is committed, nor was ever.

        Returns: where the fold goes on.
        Raises: Retryable; LogLost: what is there is no journal; Misconfigured: it may not be read.
        """
        self._known = known
        self.is_further = committed_offset is not None and at.offset > committed_offset
        self.proved = self.steps = NO_STEPS
        is_used = known is not None and (known.journal_n or known.control.offset)
        # Labels may have been folded behind a commit that tells of none: the group's offset may be
        # an older one.
        is_used = is_used or have_topic(self._sources.recipe.extras)
        if known is not None and not (is_used or self.is_further):
            return at
        try:
            found = self._journal = Journal(self._sources.reader, self._partition)
        except Misconfigured:
            if committed_offset is not None:
                raise
            return at  # a pipeline that was never given a command needs no permission on it
        told_n = 0 if known is None else known.journal_n
        if found.last is not None and found.last_j > told_n and not self._sources.may_repeat:
            self.is_further |= known is not None
            at = replace(at, offset=max(at.offset, found.last.steps[-1].next_offset))
        upto = None if known is None else told_n
        self.proved = Steps(found, self._partition, upto=upto)
        self.steps = Steps(found, self._partition, upto=None) if self.is_further else self.proved
        return at

    def replay(self, task: Task, between: Callable[[Task], None], *, is_proved: bool) -> Replay:
        """Fold on from a task: up to what is committed, or, once that is proved, behind it.

        Raises: Retryable: the journal's last record cannot be seen yet; LogLost: it is gone.
        """
        self._check(task)
        sources, steps = self._sources, self.steps if is_proved else self.proved
        return Replay(sources.reader, task, clock=sources.clock, between=between, steps=steps)

    def _check(self, task: Task) -> None:
        """Look whether all can be seen that a task has to fold. Raises: Retryable, LogLost."""
        try:
            self.proved.check(task.state.commanded.journal_n)
        except Retryable:
            if self._known is None or not self._unseen.is_gone():
                raise
            raise journal.lost(self._partition, self._known.journal_n) from None

    def steps_n(self, offset: int) -> int:
        """How many steps there may have been up to a committed offset, commands and all."""
        if self._journal is None or self._journal.last is None:
            return 0
        last = self._journal.last.steps[-1]
        return last.n + 1 + max(0, offset - last.next_offset)

    def genesis_n(self, genesis: int) -> int:
        """Behind which of the journal's records an untrained model begins at an offset.

        A fold that is rebuilt is given the commands that the one before was given since there.
        """
        known = self._known
        if known is not None and genesis == known.genesis and not known.has_base:
            return known.genesis_journal_n
        return 0 if self._journal is None else self._journal.before(genesis)

    def place(self, task: Task, committed: Committed | None) -> None:
        """Say where reading the topics beside the events goes on.

        Of the control topic a new group begins at the end, of labels as of events: nowhere is told
        yet. What was folded, or refused, behind the committed offset of these is not read again.

        Raises: Retryable, Misconfigured, LogLost.
        """
        known = None if committed is None else parse_metadata(committed.metadata)
        if known is not None:
            told = {Channel.CONTROL: known.control, Channel.LABELS: known.labels_topic}
            if self.is_further and self._journal is not None:
                # What the journal has behind it was read later, whoever folds on from it.
                for value in self._journal.after(known.journal_n):
                    for step in value.steps:
                        mark = mark_of(step.record(self._partition))
                        told[Channel(step.input)] = Reached(step.offset + 1, mark)
            task.reached |= told
        else:
            try:
                end = self._sources.reader.bounds(Channel.CONTROL, self._partition).end
            except Misconfigured:
                end = 0  # there is none: it will begin with the first command
            task.reached[Channel.CONTROL] = Reached(end)
        if self._sources.labels_topic is not None and (known is None or self.is_further):
            self._pass_labels(task, self._sources.labels_topic)

    def _pass_labels(self, task: Task, topic: str) -> None:
        """Go on behind the labels that have an outcome, or were refused: what is committed may lag.

        Of the first the journal tells, and of those that are refused for their bytes, and are no
        steps, the quarantine.
        """
        sources = self._sources
        last = None if self._journal is None else self._journal.last_of(Channel.LABELS)
        found = [published.refused_labels(sources.reader, self._partition, topic=topic)]
        if last is not None:
            found.append(Reached(last.offset + 1, mark_of(last.record(self._partition))))
        for at in found:
            there = task.reached.get(Channel.LABELS, NOWHERE)
            if (at.offset or 0) > (there.offset or 0):
                task.reached[Channel.LABELS] = at
