"""The command `ledger`: what commands did, and each change of what predicts, by all partitions."""

import heapq
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass

from stream.core.commands import LedgerValue, Predicts
from stream.core.event import Channel, Record
from stream.core.formats.commands import ledger_in
from stream.errors import Usage
from stream.ports import Reader
from stream.runtime.commands import screen
from stream.runtime.commands.shown import clock_time, text
from stream.runtime.commands.tables import Columns
from stream.runtime.commands.tail import BATCH_RECORDS, is_over
from stream.runtime.pipeline import Pipeline

NOTHING = "nothing yet"

EVIDENCE_CHARS_MAX = 160
"""Enough to see what it is about; --json shows it whole."""

TEXT_CHARS_MAX = 1_000
"""Who wrote it may write as much to a command."""

COLUMNS = ("time", "part", "n", "offset", "what", "by", "predicts", "why", "evidence")

_Entry = tuple[tuple[str, int, int], Record, LedgerValue]
"""First the key by which the partitions are merged."""


def own_ledger_in(record: Record, pipeline: str) -> LedgerValue | None:
    """What a record of the ledger says of this pipeline; None: nothing, or it is no such record."""
    value = ledger_in(record)
    return value if value is not None and value.id.startswith(f"{pipeline}/") else None


@dataclass(slots=True)
class Ledger:
    """The ledger of some partitions, read once from its start to where it ended then.

    Attributes:
        passed_over_n: how many records were none of this pipeline's ledger.
    """

    reader: Reader
    pipeline: str
    partitions: Collection[int]
    passed_over_n: int = 0

    def values(self) -> Iterator[tuple[Record, LedgerValue]]:
        """By time; a partition's own stay in their order. Raises: as `Reader.read`."""
        parts = [self._part(partition) for partition in self.partitions]
        for _, record, value in heapq.merge(*parts, key=_key):
            yield record, value

    def _part(self, partition: int) -> Iterator[_Entry]:
        """One partition's records, of which no more than a batch is held."""
        bounds, latest = self.reader.bounds(Channel.LEDGER, partition), ""
        for batch in self.reader.read(Channel.LEDGER, partition, bounds.start, bounds.end):
            for record in batch:
                value = own_ledger_in(record, self.pipeline)
                if value is None:
                    self.passed_over_n += 1
                    continue
                # Who sent it may have had a clock that goes wrong; the step says what came first.
                latest = max(latest, value.event_time)
                yield (latest, partition, value.n), record, value


def _key(entry: _Entry) -> tuple[str, int, int]:
    return entry[0]


def show(
    pipeline: Pipeline, *, partitions: Collection[int], what: Collection[str], as_json: bool
) -> None:
    """List the ledger.

    Args:
        pipeline: whose ledger it is.
        partitions: only of these; all, if there are none.
        what: only these; all, if there are none.
        as_json: the records as they were published, a line each.

    Raises: Usage: there is no such partition; Misconfigured, Retryable, LogLost.
    """
    with closing(pipeline.backend.topics()) as topics:
        info = topics.describe((Channel.LEDGER,))[Channel.LEDGER]
    if info is None:
        screen.say(NOTHING, error=as_json)
        return
    chosen = chosen_partitions(partitions, info.partitions, info.name)
    with closing(pipeline.backend.reader()) as reader:
        ledger = Ledger(reader, pipeline.settings.pipeline, chosen)
        shown_n = _write(pipeline, ledger, what=what, as_json=as_json)
    if not shown_n:
        screen.say(NOTHING, error=as_json)
    if ledger.passed_over_n:
        told = f"{ledger.passed_over_n} records of {info.name} are none of this pipeline's ledger"
        screen.say(f"stream: {told}: passed over", error=True)


def chosen_partitions(asked: Collection[int], there: int, topic: str) -> list[int]:
    """The partitions that are asked for, all if none is. Raises: Usage: one is not there."""
    for partition in asked:
        if partition >= there:
            raise Usage(
                f"--partition: {topic} has no partition {partition}; it has {there}, from 0 on"
            )
    return sorted(set(asked)) or list(range(there))


def _write(pipeline: Pipeline, ledger: Ledger, *, what: Collection[str], as_json: bool) -> int:
    """Write what is asked for, in batches: the first decides how wide the columns are."""
    shown_n, batch = 0, list[tuple[Record, LedgerValue]]()
    columns: Columns | None = None
    for each in ledger.values():
        if what and each[1].what not in what:
            continue
        batch.append(each)
        if len(batch) == BATCH_RECORDS:
            columns = _write_batch(batch, columns, as_json=as_json)
            shown_n += len(batch)
            batch = []
            if is_over(pipeline):
                return shown_n
    if batch:
        _write_batch(batch, columns, as_json=as_json)
    return shown_n + len(batch)


def _write_batch(
    batch: list[tuple[Record, LedgerValue]], columns: Columns | None, *, as_json: bool
) -> Columns | None:
    """Write a batch as JSON or as rows. Returns: the columns, once there are any."""
    if as_json:
        screen.write(
            screen.json_line((record.value or b"").decode(errors="replace")) for record, _ in batch
        )
        return None
    rows = [_cells(value) for _, value in batch]
    if columns is None:
        columns = Columns(COLUMNS, rows, line_chars=screen.line_chars())
        screen.head(columns)
    screen.write(line for row in rows for line in columns.lines(row))
    return columns


def _cells(value: LedgerValue) -> list[str]:
    evidence = ", ".join(f"{name}={text(each)}" for name, each in value.evidence.items())
    return [
        clock_time(value.event_time), str(value.partition), str(value.n), str(value.offset),
        text(value.what), text(value.by), _predicts(value.before, value.after),
        screen.cut(value.why, TEXT_CHARS_MAX) or "-",
        screen.cut(evidence, EVIDENCE_CHARS_MAX) or "-",
    ]  # fmt: skip


def _predicts(before: Predicts, after: Predicts) -> str:
    """What predicted before, and after, where that is another one.

    >>> _predicts(Predicts("main", 3), Predicts("main", 4))
    'main 3 -> 4'
    >>> _predicts(Predicts("main", 3), Predicts("main", 3))
    'main 3'
    """
    was = f"{text(before.model)} {before.version}"
    if before == after:
        return was
    model = "" if before.model == after.model else f"{text(after.model)} "
    return f"{was} -> {model}{after.version}"
