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
"""As a pipeline that is backwards calls the quarantine, and the events topic; the labels topic has
the same name either way."""

COMMIT_RECORDS_MAX = 500
"""Of 64 KiB at most: 32 MB in one transaction."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A pipeline's refused records, as an outsider sees them.

    Attributes:
        targets: the topics that redriven records go to.
        bounds: each partition's at the start: what comes later is left to a later run.
        redriven: the mark of each partition that has one.
    """

    pipeline: Pipeline
    reader: Reader
    targets: dict[Channel, TopicInfo]
    bounds: dict[int, Bounds]
    redriven: dict[int, Redriven]

    @classmethod
    def open(cls, pipeline: Pipeline, stack: ExitStack) -> "Quarantine":
        """Look at the topics. Raises: Misconfigured: one is missing; Retryable."""
        labels = (Channel.LABELS,) if pipeline.settings.has_labels_topic else ()
        infos = {}
        with closing(pipeline.backend.topics()) as topics:
            described = topics.describe((Channel.EVENTS, Channel.QUARANTINE, *labels))
        for channel, info in described.items():
            if info is None:
                name = pipeline.settings.topics.name(channel)
                raise Misconfigured(f"topics.{channel}: {name} does not exist; run a worker first")
            infos[channel] = info
        quarantine = infos.pop(Channel.QUARANTINE)
        targets = {TO: infos.pop(Channel.EVENTS)} | infos
        reader = stack.enter_context(closing(pipeline.backend.backwards().reader()))
        partitions = range(quarantine.partitions)
        found = cls(
            pipeline,
            reader,
            targets,
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

    def target_of(self, refused: Refused) -> Channel:
        """Where a refused record goes: to the topic that it came from."""
        labels = self.targets.get(Channel.LABELS)
        return Channel.LABELS if labels is not None and labels.name == refused.topic else TO

    def resent(self, partition: int) -> frozenset[tuple[Channel, bytes]]:
        """Records that were sent again, each by its target and origin, found in these topics.

        For a partition without a mark: a group's offsets are forgotten some days after its last
        member, and nothing must be sent twice for that.
        """
        firsts: dict[Channel, Refused] = {}
        for batch, _ in self.records(partition, 0):
            for each in batch:
                firsts.setdefault(self.target_of(each), each)
            if len(firsts) == len(self.targets):
                break
        return frozenset(
            (target, origin)
            for target, first in firsts.items()
            for origin in self._resent_in(target, partition, first)
        )

    def _resent_in(self, target: Channel, partition: int, first: Refused) -> set[bytes]:
        """Origins of the records that one topic got a second time, the first refused one's on."""
        bounds = self.reader.bounds(target, partition)
        is_same = first.topic == self.targets[target].name
        start = max(bounds.start, first.offset if is_same else 0)
        clock, total = self.pipeline.clock(), bounds.end - start
        what = "events" if target is TO else "labels"
        found: set[bytes] = set()
        with screen.Progress(f"{what} searched for redriven ones", total=total, clock=clock) as bar:
            for batch in self.reader.read(target, partition, start, bounds.end):
                for record in batch:
                    found.update(v for name, v in record.headers if name == REDRIVEN and v)
                bar.advance(len(batch))
        return found

    def whole(self, refused: Refused) -> Record | None:
        """The record as it was sent; None: it was cut, and its topic does not hold it any more."""
        record = refused.record
        if not refused.is_cut:
            return Record(
                record.partition, record.offset, refused.timestamp_ms, record.key, record.value,
                refused.headers,
            )  # fmt: skip
        target = self.target_of(refused)
        if refused.topic == self.targets[target].name:
            try:
                batches = self.reader.read(
                    target, refused.partition, refused.offset, refused.offset + 1
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
