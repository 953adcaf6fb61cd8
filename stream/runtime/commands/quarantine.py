"""What was refused, as an outsider sees it; and the command `quarantine list`."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

from stream.core.event import Channel, Record
from stream.core.formats.quarantine import REDRIVEN, Redriven, Refused, parse
from stream.errors import LogLost, Misconfigured
from stream.ports import Bounds, Committed, Reader, TopicInfo
from stream.runtime.commands import screen
from stream.runtime.commands.shown import clock_time, document_of, long_cells
from stream.runtime.pipeline import Pipeline

FROM, TO = Channel.EVENTS, Channel.QUARANTINE
"""As a pipeline that is backwards calls the quarantine, and the events topic."""

COMMIT_RECORDS_MAX = 500
"""Of 64 KiB at most: 32 MB in one transaction."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A pipeline's refused records, as an outsider sees them.

    Attributes:
        events: the topic that redriven records go to.
        bounds: each partition's at the start: what comes later is left to a later run.
        redriven: the mark of each partition that has one.
    """

    pipeline: Pipeline
    reader: Reader
    events: TopicInfo
    bounds: dict[int, Bounds]
    redriven: dict[int, Redriven]

    @classmethod
    def open(cls, pipeline: Pipeline, stack: ExitStack) -> "Quarantine":
        """Look at the topics. Raises: Misconfigured: one is missing; Retryable."""
        with closing(pipeline.backend.topics()) as topics:
            infos = topics.describe()
        for channel, info in infos.items():
            if info is None and channel in (Channel.EVENTS, Channel.QUARANTINE):
                name = pipeline.settings.topics.name(channel)
                raise Misconfigured(f"topics.{channel}: {name} does not exist; run a worker first")
        quarantine, events = infos[Channel.QUARANTINE], infos[Channel.EVENTS]
        assert quarantine is not None  # noqa: S101  # looked at just before
        assert events is not None  # noqa: S101
        reader = stack.enter_context(closing(pipeline.backend.backwards().reader()))
        partitions = range(quarantine.partitions)
        found = cls(
            pipeline,
            reader,
            events,
            {partition: reader.bounds(FROM, partition) for partition in partitions},
            redriven(reader.committed()),
        )
        found.check()
        return found

    def check(self) -> None:
        """Raises: LogLost: more was redriven than there is."""
        for partition, redriven in self.redriven.items():
            end = self.bounds[partition].end if partition in self.bounds else 0
            beyond = max(redriven.next_offset, *redriven.ahead.values(), 0)
            if beyond > end:
                group = f"{self.pipeline.settings.pipeline}.redrive"
                raise LogLost(
                    f"partition {partition} of the quarantine was redriven up to {beyond} and ends "
                    f"at {end}: the topic was made again; delete the consumer group {group}"
                )

    def records(self, partition: int, start: int) -> Iterator[tuple[list[Refused], int]]:
        """This pipeline's refused records in batches, each with the offset that follows it."""
        bounds = self.bounds[partition]
        start = max(start, bounds.start)
        if start < bounds.end:
            for batch in self.reader.read(FROM, partition, start, bounds.end):
                for i in range(0, len(batch), COMMIT_RECORDS_MAX):
                    part = batch[i : i + COMMIT_RECORDS_MAX]
                    yield self._ours(part), part[-1].offset + 1
        yield [], max(start, bounds.end)

    def _ours(self, records: Sequence[Record]) -> list[Refused]:
        """Keep only this pipeline's refused records: pipelines may share a topic."""
        found = (parse(record) for record in records)
        return [r for r in found if r is not None and r.pipeline == self.pipeline.settings.pipeline]

    def resent(self, partition: int) -> frozenset[bytes]:
        """Origins of events that were sent again, found in the events topic itself.

        For a partition without a mark: a group's offsets are forgotten some days after its last
        member, and nothing must be sent twice for that.
        """
        first = next((b[0] for b, _ in self.records(partition, 0) if b), None)
        if first is None:
            return frozenset()
        bounds = self.reader.bounds(TO, partition)
        is_same = first.topic == self.pipeline.settings.topics.events
        start = max(bounds.start, first.offset if is_same else 0)
        clock, total = self.pipeline.clock(), bounds.end - start
        found: set[bytes] = set()
        with screen.Progress("events searched for redriven ones", total=total, clock=clock) as bar:
            for batch in self.reader.read(TO, partition, start, bounds.end):
                for record in batch:
                    found.update(v for name, v in record.headers if name == REDRIVEN and v)
                bar.advance(len(batch))
        return frozenset(found)

    def whole(self, refused: Refused) -> Record | None:
        """The record as it was sent; None: it was cut, and the events topic does not hold it."""
        record = refused.record
        if not refused.is_cut:
            return Record(
                record.partition, record.offset, refused.timestamp_ms, record.key, record.value,
                refused.headers,
            )  # fmt: skip
        if refused.topic == self.pipeline.settings.topics.events:
            try:
                batches = self.reader.read(
                    TO, refused.partition, refused.offset, refused.offset + 1
                )
                for sent in (record for batch in batches for record in batch):
                    if _begins(sent.value, record.value) and _begins(sent.key, record.key):
                        return sent
            except LogLost:
                return None
        return None


def _begins(whole: bytes | None, part: bytes | None) -> bool:
    return (whole or b"").startswith(part or b"")


def redriven(committed: Mapping[int, Committed]) -> dict[int, Redriven]:
    """How far each partition was sent again; one that never was, or is forgotten, is left out."""
    return {p: Redriven.parse(at.offset, at.metadata) for p, at in committed.items()}


def show_list(pipeline: Pipeline, *, reason: str | None, limit: int, as_json: bool) -> None:
    """Say how many records were refused for which reasons, and show the last of them.

    Raises: Misconfigured, Retryable, LogLost.
    """
    refused: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    last: list[Refused] = []
    with ExitStack() as stack:
        quarantine = Quarantine.open(pipeline, stack)
        total = sum(bounds.end - bounds.start for bounds in quarantine.bounds.values())
        progress = stack.enter_context(
            screen.Progress("records looked at", total=total, clock=pipeline.clock())
        )
        for partition in quarantine.bounds:
            redriven = quarantine.redriven.get(partition, Redriven())
            newest: deque[Refused] = deque(maxlen=limit)
            for batch, _ in quarantine.records(partition, 0):
                for each in batch:
                    refused[each.reason] += 1
                    waiting[each.reason] += not redriven.has(each)
                    if reason in (None, each.reason):
                        newest.append(each)
                progress.advance(len(batch))
            last.extend(newest)
    last.sort(key=lambda r: (r.timestamp_ms, r.partition, r.record.offset))
    rows = [
        _shown(each, quarantine.redriven.get(each.record.partition, Redriven()))
        for each in last[-limit:]
    ]
    reasons = {r: {"refused": n, "waiting": waiting[r]} for r, n in refused.most_common()}
    if as_json:
        document = {
            "v": 1,
            "pipeline": pipeline.settings.pipeline,
            "reasons": reasons,
            "records": rows,
        }
        screen.say_json(document)
        return
    if not refused:
        screen.say("nothing is quarantined")
        return
    screen.table(
        ("reason", "refused", "not yet redriven"),
        [(r, str(n["refused"]), str(n["waiting"])) for r, n in reasons.items()],
    )
    if rows:
        screen.say("")
        columns = ("partition", "offset", "reason", "event", "time", "redriven", "detail", "value")
        screen.table(columns, [_cells(row) for row in rows])


def _shown(refused: Refused, redriven: Redriven) -> dict[str, Any]:
    return {**document_of(refused), "redriven": redriven.has(refused)}


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        str(row["partition"]), str(row["offset"]), row["reason"], row["event"],
        clock_time(row["event_time"]), "yes" if row["redriven"] else "no", *long_cells(row),
    ]  # fmt: skip
