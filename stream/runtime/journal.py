"""`PIPELINE.journal`: the steps of a fold that no event made, and where they belong between events.

Between two topics there is no order. The worker decides it live, and writes it down in the very
transaction in which it commits: one record a commit and partition, numbered 1, 2, 3 … A replay
reads events and journal, and nothing else. Each step tells the offset of the event behind it.
"""

from collections.abc import Callable, Iterator
from itertools import dropwhile, islice
from typing import Final

from stream.core.commands import Entry
from stream.core.event import Channel, Record
from stream.core.formats.commands import JournalValue, NotReadable, journal_in
from stream.errors import LogLost, Missing, Retryable
from stream.ports import Bounds, Reader
from stream.runtime import recent

SPAN: Final = 64
"""Offsets to look back over at first, for a record that is not far from the end."""

SPANS: Final = (SPAN, 4_096)

_TIMES: Final = 8


class Journal:
    """A partition's journal as it is now, read from a place on: it may be as long as the labels.

    Raises: Retryable, LogLost; Misconfigured: it may not be read. A journal that nobody has made is
    empty.

    Attributes:
        last: its newest record; None: there is none.
    """

    def __init__(self, reader: Reader, partition: int) -> None:
        self._reader = reader
        self._partition = partition
        try:
            self._bounds = reader.bounds(Channel.JOURNAL, partition)
        except Missing:
            self._bounds = Bounds(0, 0)
        newest = [] if self._bounds.start == self._bounds.end else self._newest()
        self.last: JournalValue | None = newest[-1] if newest else None

    @property
    def last_j(self) -> int:
        """The number of its newest record; 0: there is none."""
        return 0 if self.last is None else self.last.j

    def first_j(self) -> int:
        """The number of its oldest record; 0: there is none. Raises: as the class."""
        first = next(self._values(self._bounds.start), None)
        return 0 if first is None else first.j

    def after(self, j: int) -> Iterator[JournalValue]:
        """Its records behind a number, each once, in order. Raises: as the class.

        At least once, a number comes again: what was committed is its last one.
        """
        held: JournalValue | None = None
        for value in self._since(lambda each: each.j <= j):
            if held is not None and value.j > held.j:
                yield held
            held = value
        if held is not None:
            yield held

    def before(self, offset: int) -> int:
        """The number of the last record whose steps all come before an event; 0: there is none."""
        found = 0
        for value in self._values(self._start(lambda each: _is_before(each, offset))):
            if not _is_before(value, offset):
                break
            found = value.j
        return found

    def last_of(self, source: Channel) -> Entry | None:
        """The last step that came from a topic; None: there is none. Raises: as the class."""
        for start in (max(self._bounds.start, self._bounds.end - SPANS[-1]), self._bounds.start):
            found: Entry | None = None
            for value in self._values(start):
                found = next((e for e in reversed(value.steps) if e.input == source), found)
            if found is not None:
                return found
        return None

    def _newest(self) -> list[JournalValue]:
        found = recent.last(
            self._reader, Channel.JOURNAL, self._partition, n=1, take=self._value, spans=SPANS
        )
        return found or list(self._values(self._bounds.start))[-1:]

    def _since(self, is_passed: Callable[[JournalValue], bool]) -> Iterator[JournalValue]:
        """The records behind those that are passed, which come first."""
        return dropwhile(is_passed, self._values(self._start(is_passed)))

    def _start(self, is_passed: Callable[[JournalValue], bool]) -> int:
        """An offset before the first record that is not passed, and not far before it."""
        start, end = self._bounds.start, self._bounds.end
        span = SPAN
        while end - span > start:
            first = next(self._values(end - span), None)
            if first is not None and is_passed(first):
                return end - span
            span *= _TIMES
        return start

    def _values(self, start: int) -> Iterator[JournalValue]:
        records = recent.records_in(
            self._reader, Channel.JOURNAL, self._partition, start, self._bounds.end
        )
        return map(self._value, records)

    def _value(self, record: Record) -> JournalValue:
        try:
            return journal_in(record)
        except NotReadable as error:
            why = f"the journal holds what is none of its records: {error}"
            raise LogLost(f"partition {self._partition}: {why}") from error


def _is_before(value: JournalValue, offset: int) -> bool:
    return value.steps[-1].next_offset < offset


Step = tuple[int, Entry, bool]
"""The number of the journal's record, the step, and whether it is the record's last."""


class Steps:
    """What a replay of one partition folds beside the events, in order.

    Args:
        journal: None: there is nothing to fold.
        partition: whose.
        upto: the last number that the replay reaches; None: as many as there are.
        before_n: no step of this number, or a later one; None: there is no such limit.
    """

    def __init__(
        self,
        journal: Journal | None,
        partition: int,
        *,
        upto: int | None,
        before_n: int | None = None,
    ) -> None:
        self._partition = partition
        self._journal = journal
        self._last = 0 if journal is None else journal.last_j
        self._upto = self._last if upto is None else upto
        self._before_n = before_n

    def check(self, journal_n: int) -> None:
        """Raises: Retryable: of the steps behind so many records some cannot be seen yet."""
        if self._upto > max(self._last, journal_n):
            last = f"{self._last} is its last" if self._last else "nor any other"
            raise Retryable(
                f"partition {self._partition}: record {self._upto} of the journal cannot be seen "
                f"yet, {last}: a transaction of a worker that died may be open yet"
            )

    def after(self, journal_n: int) -> "Following":
        """The steps behind so many of the journal's records. Raises: as `check`."""
        self.check(journal_n)
        return Following(self._read, journal_n)

    def _read(self, journal_n: int) -> Iterator[Step]:
        """See `after`. Raises: LogLost: one of these records is gone; and as `Journal`."""
        if self._journal is None or journal_n >= self._upto:
            return
        j = journal_n
        for value in self._journal.after(journal_n):
            if value.j > self._upto:
                break
            j += 1
            if value.j != j:
                raise lost(self._partition, j)
            for step in value.steps:
                if self._before_n is not None and step.n >= self._before_n:
                    return
                yield j, step, step is value.steps[-1]
        if j < self._upto:
            raise lost(self._partition, j + 1)


class Following:
    """The steps of a replay, one after the other; where reading failed it goes on."""

    def __init__(self, read: Callable[[int], Iterator[Step]], journal_n: int) -> None:
        self._read = read
        self._steps: Iterator[Step] | None = None
        self._is_passed = True
        self._step: Step | None = None
        self._journal_n, self._passed_n = journal_n, 0  # whole records, and steps of the next one

    def next(self) -> Step | None:
        """The next step, until it is passed; None: there is none. Raises: as `Journal`."""
        if not self._is_passed:
            return self._step
        if self._steps is None:
            self._steps = islice(self._read(self._journal_n), self._passed_n, None)
        try:
            self._step = next(self._steps, None)
        except Retryable:
            self._steps = None  # a generator that raised is over
            raise
        self._is_passed = False
        return self._step

    def pass_it(self) -> None:
        """Go on to the next one."""
        assert self._step is not None  # noqa: S101
        self._is_passed = True
        j, _, is_last = self._step
        self._journal_n, self._passed_n = (j, 0) if is_last else (j - 1, self._passed_n + 1)


NO_STEPS: Final = Steps(None, 0, upto=0)


def lost(partition: int, j: int) -> LogLost:
    """That a record of the journal is gone, and what to do."""
    return LogLost(
        f"partition {partition}: record {j} of the journal is gone, and with it what commands did "
        "to the fold; bring it back, or a snapshot behind it, or change model.hash_seed and set "
        'model.on_change = "fresh" to go on untrained from here; keep the journal for ever '
        "(retention.ms = -1, cleanup.policy = delete)"
    )
