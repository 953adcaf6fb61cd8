"""Records of a topic's partitions as one sequence: each in its own order, together by time."""

import heapq
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from stream.core.event import Channel, Record
from stream.errors import LogLost
from stream.ports import Bounds, Reader

Key = tuple[int, int, int]
"""The latest timestamp of its partition up to this record, the partition, the offset."""

_SPAN_MIN = 2_500  # offsets to look back over at first; half of them may be transactions' markers
_SPAN_GROWS = 10


@dataclass(frozen=True, slots=True)
class Start:
    """Where a partition's part begins: an offset, and the latest timestamp before it."""

    offset: int
    time_ms: int = 0


@dataclass(slots=True)
class Merged:
    """A topic's records as what `take` makes of them; those of which it makes None are left out.

    Records of one partition stay in their order whatever their timestamps are; where partitions
    meet, the one whose time is less far goes first.
    """

    reader: Reader
    channel: Channel
    take: Callable[[Record], object | None]
    passed: dict[int, Start] = field(default_factory=dict)
    """By partition, how far `records` has come: everything below that offset was given."""

    def newest(self, bounds: Mapping[int, Bounds], n: int) -> dict[int, Start]:
        """Where to begin so as to get the last `n` records of all partitions together.

        It keeps two numbers a record, not the records.

        Raises: Retryable, Misconfigured, LogLost.
        """
        starts = {partition: Start(each.end) for partition, each in bounds.items()}
        lasts = {p: self._lasts(p, each, n) for p, each in bounds.items()}
        # From the end backwards: each time the partition whose last one is the latest of all.
        heap = [(-lasts[p].times[-1], -p) for p in lasts if lasts[p].times]
        heapq.heapify(heap)
        for _ in range(n):
            if not heap:
                break
            partition = -heap[0][1]
            last = lasts[partition]
            starts[partition] = Start(last.offsets.pop(), last.times.pop())
            if last.times:
                heapq.heapreplace(heap, (-last.times[-1], -partition))
            else:
                heapq.heappop(heap)
        return starts

    def records(
        self, starts: Mapping[int, Start], ends: Mapping[int, int]
    ) -> Iterator[tuple[Record, object]]:
        """The records in these ranges, and what `take` made of them. Raises: as `Reader.read`."""
        self.passed.update(starts)
        parts = [self._part(p, start, ends[p]) for p, start in starts.items()]
        for (time_ms, partition, offset), record, taken in heapq.merge(*parts, key=_key):
            self.passed[partition] = Start(offset + 1, time_ms)
            yield record, taken
        # What is no record of ours, and the markers of transactions, are passed too.
        for partition in starts:
            passed = self.passed[partition]
            self.passed[partition] = Start(max(passed.offset, ends[partition]), passed.time_ms)

    def _part(self, partition: int, start: Start, end: int) -> Iterator[tuple[Key, Record, object]]:
        """One partition's records, each with the key by which the partitions are merged."""
        if start.offset >= end:
            return
        time_ms = start.time_ms
        for batch in self.reader.read(self.channel, partition, start.offset, end):
            for record in batch:
                if (taken := self.take(record)) is not None:
                    time_ms = max(time_ms, record.timestamp_ms)
                    yield (time_ms, partition, record.offset), record, taken

    def _lasts(self, partition: int, bounds: Bounds, n: int) -> "_Lasts":
        """Find a partition's last `n` records, and look further and further back for them."""
        span = max(_SPAN_MIN, 2 * n)
        while True:
            start = max(bounds.start, bounds.end - span)
            found = _Lasts()
            if n == 0:
                return found
            try:
                for (time_ms, _, offset), _, _ in self._part(partition, Start(start), bounds.end):
                    found.add(time_ms, offset, n_max=n)
            except LogLost:
                now = self.reader.bounds(self.channel, partition)
                if now.start <= bounds.start:
                    raise
                bounds = now  # retention was faster: what it left
                continue
            if len(found.times) >= n or start == bounds.start:
                return found
            span *= _SPAN_GROWS


class _Lasts:
    """Times and offsets of the last records of a partition, oldest first."""

    def __init__(self) -> None:
        self.times = array("q")
        self.offsets = array("q")

    def add(self, time_ms: int, offset: int, *, n_max: int) -> None:
        """Add a record; at least the last `n_max` are kept, at most twice as many."""
        self.times.append(time_ms)
        self.offsets.append(offset)
        if len(self.times) >= 2 * n_max:
            del self.times[:-n_max]
            del self.offsets[:-n_max]


def _key(entry: tuple[Key, Record, object]) -> Key:
    return entry[0]
