"""`PIPELINE.journal`: the steps of a fold that no event made, and where they belong between events.

Between two topics there is no order. The worker decides it live, and writes it down in the very
transaction in which it commits: one record a commit and partition, numbered 1, 2, 3 … A replay
reads events and journal, and nothing else. Each step tells the offset of the event behind it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from stream.core.commands import CommandResult, Entry
from stream.core.event import Channel, Output
from stream.core.formats.commands import JournalValue, NotReadable, journal_in, written
from stream.errors import LogLost, Missing, Retryable
from stream.ports import Reader
from stream.runtime import recent


def record_of(results: Sequence[CommandResult], *, pipeline: str, j: int) -> Output:
    """The journal's record of the steps that one commit has of a partition."""
    newest = results[-1].record
    value = JournalValue(j=j, steps=[result.entry for result in results])
    return Output(
        Channel.JOURNAL, newest.partition, newest.timestamp_ms,
        f"{pipeline}/{newest.partition}/{j}".encode(), written(value),
    )  # fmt: skip


def load(reader: Reader, partition: int) -> dict[int, JournalValue]:
    """A partition's whole journal by number; {}: there is none.

    At least once, a number comes again: what was committed is its last one.

    Raises: Retryable, LogLost; Misconfigured: it may not be read.
    """
    try:
        bounds = reader.bounds(Channel.JOURNAL, partition)
    except Missing:
        return {}
    found = {}
    for record in recent.records_in(reader, Channel.JOURNAL, partition, bounds.start, bounds.end):
        try:
            value = journal_in(record)
        except NotReadable as error:
            why = f"partition {partition}: the journal holds what is none of its records: {error}"
            raise LogLost(why) from error
        found[value.j] = value
    return found


class Steps:
    """What a replay of one partition folds beside the events, in order.

    Args:
        journal: by number.
        partition: whose.
        upto: the last number that the replay reaches; None: as many as there are.
        before_n: no step of this number, or a later one; None: there is no such limit.
    """

    def __init__(
        self,
        journal: Mapping[int, JournalValue],
        partition: int,
        *,
        upto: int | None,
        before_n: int | None = None,
    ) -> None:
        self._partition = partition
        self._last = max(journal, default=0)
        self._journal = journal
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

    def after(self, journal_n: int) -> Iterator[tuple[int, Entry, bool]]:
        """The steps behind so many of the journal's records.

        Yields: the number of its record, the step, and whether it is the record's last.
        Raises: LogLost: one of these records is gone; Retryable: as `check`.
        """
        self.check(journal_n)
        for j in range(journal_n + 1, self._upto + 1):
            value = self._journal.get(j)
            if value is None:
                raise lost(self._partition, j)
            for step in value.steps:
                if self._before_n is not None and step.n >= self._before_n:
                    return
                yield j, step, step is value.steps[-1]


NO_STEPS: Final = Steps({}, 0, upto=0)


def lost(partition: int, j: int) -> LogLost:
    """That a record of the journal is gone, and what to do."""
    return LogLost(
        f"partition {partition}: record {j} of the journal is gone, and with it what commands did "
        "to the fold; bring it back, or a snapshot behind it, or change model.hash_seed and set "
        'model.on_change = "fresh" to go on untrained from here; keep the journal for ever '
        "(retention.ms = -1, cleanup.policy = delete)"
    )
