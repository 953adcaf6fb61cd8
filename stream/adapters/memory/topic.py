"""A topic's partitions, and the transactions that write to them."""

from dataclasses import dataclass, field
from enum import Enum

from stream.adapters.memory.group import Group
from stream.core.event import Headers, Record
from stream.errors import Internal
from stream.ports import Committed
from stream.topic_settings import Accepts

ANYTHING = Accepts()

RECORDS_MAX = 1_000_000  # a partition; a test that needs more needs a real broker


class Fate(Enum):
    """What became of a transaction."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(slots=True, eq=False)
class Transaction:
    """One transaction: the partitions it wrote to, and the offsets that wait for its end."""

    fate: Fate = Fate.OPEN
    partitions: dict["Partition", None] = field(default_factory=dict)
    offsets: list[tuple[Group, dict[int, Committed]]] = field(default_factory=list)

    def finish(self, fate: Fate) -> None:
        """Write a marker to every partition, and move the offsets if it commits."""
        self.fate = fate
        for partition in self.partitions:
            partition.end_transaction(self)
        for group, offsets in self.offsets:
            group.end_transaction(self, offsets if fate is Fate.COMMITTED else {})


@dataclass(slots=True, eq=False)
class Partition:
    """One ordered log. Every entry takes an offset; a marker is an entry without a record.

    Attributes:
        start: the first offset that is still held.
        opened: the open transactions, with the first offset each wrote here.
    """

    number: int
    start: int = 0
    opened: dict[Transaction, int] = field(default_factory=dict)
    _entries: list[tuple[Record | None, Transaction | None]] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The offset that the next append gets."""
        return len(self._entries)

    @property
    def stable_end(self) -> int:
        """The first offset of an open transaction, else the end (Kafka's last stable offset)."""
        return min(self.opened.values()) if self.opened else len(self._entries)

    def append(
        self,
        *,
        timestamp_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        transaction: Transaction | None,
    ) -> None:
        """Add a record; within a transaction it holds the stable end back until that ends."""
        entries = self._entries
        offset = len(entries)
        if offset >= RECORDS_MAX:
            raise Internal(
                f"the in-memory log is for tests: at most {RECORDS_MAX} records a partition"
            )
        if transaction is not None:
            self.opened.setdefault(transaction, offset)
            transaction.partitions[self] = None
        record = Record(self.number, offset, timestamp_ms, key, value, headers)
        entries.append((record, transaction))

    def end_transaction(self, transaction: Transaction) -> None:
        """Add the marker that ends a transaction."""
        del self.opened[transaction]
        self._entries.append((None, None))

    def truncate(self, before: int) -> None:
        """Drop everything below an offset, as retention does; never an unstable record."""
        self.start = max(self.start, min(before, self.stable_end))

    def fetch(self, position: int, *, stop: int, records_max: int) -> tuple[list[Record], int]:
        """Committed records from `position` on, and the position after them (and after gaps)."""
        records: list[Record] = []
        entries, stop = self._entries, min(stop, self.stable_end)
        while position < stop and len(records) < records_max:
            record, transaction = entries[position]
            position += 1
            if record is not None and (transaction is None or transaction.fate is Fate.COMMITTED):
                records.append(record)
        return records, position


@dataclass(slots=True, eq=False)
class Topic:
    """A named set of partitions."""

    topic_id: str
    retention_ms: int
    cleanup_policy: str
    partitions: list[Partition]
    accepts: Accepts = ANYTHING

    def grow(self, partitions_n: int) -> None:
        """Add partitions until there are `partitions_n`."""
        self.partitions += [Partition(n) for n in range(len(self.partitions), partitions_n)]
