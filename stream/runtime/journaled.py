"""What a restore needs of the journal, and where reading the control topic goes on after it."""

from typing import TYPE_CHECKING

from stream.core.event import Channel
from stream.core.fold.task import Task
from stream.core.snapshots.metadata import Metadata, parse_metadata
from stream.errors import Misconfigured, Retryable
from stream.ports import Committed
from stream.runtime import journal
from stream.runtime.journal import NO_STEPS, UNSEEN_S_MAX, Steps
from stream.runtime.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.core.formats.commands import JournalValue


class Journaled:
    """The journal of one partition, as far as its restore has a use for it.

    A pipeline that was never given a command has none, and nothing is read.

    Attributes:
        steps: what is folded beside the events.
    """

    def __init__(self, sources: Sources, partition: int) -> None:
        self._sources = sources
        self._partition = partition
        self._journal: Mapping[int, JournalValue] = {}
        self._known: Metadata | None = None
        self._missed_at: float | None = None
        self.steps: Steps = NO_STEPS

    def begin(self, known: Metadata | None, *, is_further: bool = False) -> None:
        """Read what there is, if it may be needed.

        Args:
            known: what is committed; None: nothing of ours.
            is_further: the fold goes on behind that, up to where the outcomes end.

        Raises: Retryable: its last record cannot be seen yet; LogLost: it is gone.
        """
        self._known = known
        if known is not None and not known.journal_n and not is_further:
            return
        self._journal = journal.load(self._sources.reader, self._partition)
        upto = None if known is None or is_further else known.journal_n
        try:
            self.steps = Steps(self._journal, self._partition, upto=upto)
        except Retryable:
            now = self._sources.clock.monotonic()
            self._missed_at = now if self._missed_at is None else self._missed_at
            if upto is None or now - self._missed_at < UNSEEN_S_MAX:
                raise
            raise journal.lost(self._partition, upto) from None

    def genesis_n(self, genesis: int) -> int:
        """Behind which of the journal's records an untrained model begins at an offset.

        A fold that is rebuilt is given the commands that the one before was given since there.
        """
        known = self._known
        if known is not None and genesis == known.genesis and not known.has_base:
            return known.genesis_journal_n
        earlier = (
            j
            for j, value in self._journal.items()
            if all(step.next_offset < genesis for step in value.steps)
        )
        return max(earlier, default=0)

    def place(self, task: Task, committed: Committed | None) -> None:
        """Say where reading the control topic goes on: a new group begins at its end.

        Whatever was folded behind the committed offset is known by its id.

        Raises: Retryable, Misconfigured.
        """
        known = None if committed is None else parse_metadata(committed.metadata)
        if known is not None:
            task.control_offset = max(task.control_offset, known.control_offset)
            return
        try:
            end = self._sources.reader.bounds(Channel.CONTROL, self._partition).end
        except Misconfigured:
            end = 0  # there is none: it will begin with the first command
        task.control_offset = end
