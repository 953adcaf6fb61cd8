"""What live folds have taken from the topics beside the events, until it is committed.

The next commit writes the steps into the journal, and how far each topic was looked at beside the
events' offsets. What is dropped before that is read again.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from stream.core.commands import Entry, entry_of
from stream.core.event import Channel, Output, Record
from stream.core.fold.task import Task
from stream.core.formats.commands import JournalValue, mark_of, written
from stream.core.snapshots.metadata import Reached
from stream.ports import Committed

RECORD_BYTES_MAX: Final = 900_000
"""Of a record of the journal: brokers take 1 MB if nobody says otherwise."""

ENTRY_BYTES: Final = 160
"""What a step takes there beside its key and value."""


class Uncommitted:
    """See the module."""

    def __init__(self) -> None:
        self._entries: dict[int, list[Entry]] = {}
        self._passed: dict[int, dict[Channel, Record]] = {}
        self._told: list[Output] = []

    def pass_by(self, task: Task, record: Record, source: Channel) -> None:
        """Move a task's place in a topic behind a record of it, with the next commit."""
        passed = self._passed.get(task.partition)
        if passed is None:
            passed = self._passed[task.partition] = {}
        passed[source] = record

    def step(self, task: Task, record: Record, source: Channel) -> None:
        """Note a record that a task is about to fold, for the journal."""
        state, entries = task.state, self._entries.get(task.partition)
        if entries is None:
            entries = self._entries[task.partition] = []
        entries.append(entry_of(record, source, n=state.n, next_offset=state.next_offset))

    def tell(self, output: Output) -> None:
        """Publish this with the next commit."""
        self._told.append(output)

    def drop(self, partitions: Collection[int]) -> None:
        """Forget what was taken of these: it is not to be committed."""
        for partition in partitions:
            self._entries.pop(partition, None)
            self._passed.pop(partition, None)
        self._told = [each for each in self._told if each.partition not in partitions]

    def outputs(self, tasks: Iterable[Task]) -> Iterator[Output]:
        """The journal of these tasks, which are about to be committed, and what else is told.

        Each counts its journal on.
        """
        for task in tasks:
            commanded = task.state.commanded
            for steps in _parts(self._entries.get(task.partition, ())):
                commanded.journal_n += 1
                value = JournalValue(j=commanded.journal_n, steps=steps)
                yield Output(
                    Channel.JOURNAL, task.partition, steps[-1].timestamp_ms,
                    f"{task.recipe.pipeline}/{task.partition}/{value.j}".encode(), written(value),
                )  # fmt: skip
        yield from self._told

    def of(self, task: Task) -> Committed:
        """What to commit of a task."""
        passed = self._passed.get(task.partition, {})
        for source, record in passed.items():
            task.reached[source] = Reached(record.offset + 1, mark_of(record))
        others = {source: record.offset + 1 for source, record in passed.items()}
        return Committed(task.next_offset, task.metadata().encode(), others)

    def committed(self) -> Collection[int]:
        """Forget what is committed now. Returns: the partitions whose journal went on."""
        journaled = list(self._entries)
        self._entries.clear()
        self._passed.clear()
        self._told.clear()
        return journaled


def _parts(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """The steps of one commit, in as many records as they need."""
    part: list[Entry] = []
    bytes_n = 0
    for entry in entries:
        size = ENTRY_BYTES + (len(entry.key or b"") + len(entry.value or b"")) * 4 // 3
        if part and bytes_n + size > RECORD_BYTES_MAX:
            yield part
            part, bytes_n = [], 0
        part.append(entry)
        bytes_n += size
    if part:
        yield part
