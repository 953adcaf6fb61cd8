"""A little log with real transactions: what is staged becomes visible when its transaction commits.

Records and offsets of a transaction are kept apart until `end`; then all of them become visible, or
none. Nothing here knows the protocol; nothing here fails on request. Time is given in, so that the
age of a transaction is the caller's.
"""

from dataclasses import dataclass, field
from typing import Literal

from tests.instruments.endpoint.codes import Code

Place = tuple[str, int]
"""(topic, partition)."""

FIRST_PRODUCER_ID = 1000
DUPLICATES_KEPT = 5
"""Batches by whose sequence a partition knows a repeated one, as a broker does."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that a producer sent together.

    Attributes:
        sequence: of its first record, in its producer's count for the partition.
    """

    producer_id: int
    epoch: int
    sequence: int
    values: tuple[bytes, ...]
    is_transactional: bool


@dataclass(slots=True)
class _Kept:
    """A batch at its place in a partition."""

    batch: Batch
    base_offset: int
    fate: Literal["open", "committed", "aborted"]


@dataclass(slots=True)
class _Writer:
    """What a partition knows of a producer."""

    epoch: int
    next_sequence: int = 0
    recent: list[tuple[int, int, int]] = field(default_factory=list)


class Partition:
    """One partition's records, those of open and aborted transactions too."""

    def __init__(self) -> None:
        self._kept: list[_Kept] = []
        self._writers: dict[int, _Writer] = {}
        self._end = 0

    def append(self, batch: Batch) -> tuple[Code, int]:
        """Returns: (code, offset of the first record, or -1)."""
        writer = self._writers.setdefault(batch.producer_id, _Writer(batch.epoch))
        if batch.epoch < writer.epoch:
            return Code.INVALID_PRODUCER_EPOCH, -1
        if batch.epoch > writer.epoch:
            self._writers[batch.producer_id] = writer = _Writer(batch.epoch)
        for sequence, n, offset in writer.recent:
            if (sequence, n) == (batch.sequence, len(batch.values)):
                return Code.NONE, offset
        if batch.sequence != writer.next_sequence:
            return Code.OUT_OF_ORDER_SEQUENCE_NUMBER, -1
        offset, self._end = self._end, self._end + len(batch.values)
        fate: Literal["open", "committed"] = "open" if batch.is_transactional else "committed"
        self._kept.append(_Kept(batch, offset, fate))
        writer.next_sequence += len(batch.values)
        writer.recent = [
            *writer.recent[1 - DUPLICATES_KEPT :], (batch.sequence, len(batch.values), offset)
        ]  # fmt: skip
        return Code.NONE, offset

    def end(self, producer_id: int, epoch: int, *, commits: bool) -> None:
        """Write a marker: the producer's open records become visible, or never will."""
        for kept in self._kept:
            if kept.fate == "open" and kept.batch.producer_id == producer_id:
                kept.fate = "committed" if commits else "aborted"
        self._end += 1
        writer = self._writers.setdefault(producer_id, _Writer(epoch))
        if epoch > writer.epoch:
            self._writers[producer_id] = _Writer(epoch)

    def visible(self) -> list[bytes]:
        """The values that a reader with `read_committed` gets: up to the first open record."""
        values: list[bytes] = []
        for kept in self._kept:
            if kept.fate == "open":
                break
            if kept.fate == "committed":
                values += kept.batch.values
        return values

    @property
    def end_offset(self) -> int:
        """The next record's."""
        return self._end


@dataclass(slots=True)
class Transaction:
    """What the coordinator knows of a transactional id.

    Attributes:
        fenced_epoch: of the producer whose transaction was aborted for it; it may take the id back
            (KIP-588), unless somebody else did.
    """

    producer_id: int
    epoch: int
    timeout_s: float
    fenced_epoch: int = -1
    state: Literal["empty", "open", "committed", "aborted"] = "empty"
    began_at_s: float = 0.0
    places: set[Place] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    offsets: dict[tuple[str, Place], tuple[int, str]] = field(default_factory=dict)


class Ledger:
    """All partitions, all transactions and all committed offsets.

    Attributes:
        offsets: (group, place) -> (offset, metadata), of ended transactions.
    """

    def __init__(self, topics: dict[str, int]) -> None:
        self.partitions = {(topic, p): Partition() for topic, n in topics.items() for p in range(n)}
        self.offsets: dict[tuple[str, Place], tuple[int, str]] = {}
        self.transactions: dict[str, Transaction] = {}

    def take(
        self, transactional_id: str | None, timeout_s: float, *, known: tuple[int, int]
    ) -> tuple[Code, int, int]:
        """A producer takes an id (InitProducerId): what it finds open is aborted.

        Args:
            transactional_id: None: a producer that is only idempotent.
            timeout_s: how long its transactions may be open.
            known: (producer id, epoch) that the producer had; (-1, -1): none.

        Returns: (code, producer id, epoch).
        """
        if transactional_id is None:
            return Code.NONE, FIRST_PRODUCER_ID + len(self.transactions) + len(self.offsets), 0
        found = self.transactions.get(transactional_id)
        if found is None:
            fresh = FIRST_PRODUCER_ID + len(self.transactions)
            found = self.transactions[transactional_id] = Transaction(fresh, -1, timeout_s)
        elif known[0] not in (-1, found.producer_id):
            return Code.PRODUCER_FENCED, -1, -1
        if found.state == "open":
            # As the broker does: it aborts under the next epoch, and lets the producer ask again.
            self._abort(found)
            return Code.CONCURRENT_TRANSACTIONS, -1, -1
        if known[0] != -1 and known[1] not in (found.epoch, found.fenced_epoch):
            return Code.PRODUCER_FENCED, -1, -1
        if known[0] == -1 or known[1] != found.fenced_epoch:
            found.epoch += 1
            found.fenced_epoch = -1
        found.timeout_s, found.state = timeout_s, "empty"
        return Code.NONE, found.producer_id, found.epoch

    def join(
        self,
        transactional_id: str,
        writer: tuple[int, int],
        *,
        places: set[Place],
        group: str | None,
        now_s: float,
    ) -> Code:
        """Partitions, or a group's offsets, become part of a transaction, which may open it."""
        found, code = self._owned(transactional_id, writer)
        if found is None:
            return code
        if found.state != "open":
            found.state, found.began_at_s = "open", now_s
            found.places, found.groups, found.offsets = set(), set(), {}
        found.places |= places
        if group is not None:
            found.groups.add(group)
        return Code.NONE

    def append(self, transactional_id: str | None, place: Place, batch: Batch) -> tuple[Code, int]:
        """Records arrive. Returns: (code, offset of the first, or -1)."""
        if place not in self.partitions:
            return Code.UNKNOWN_TOPIC_OR_PARTITION, -1
        if batch.is_transactional:
            found = self.transactions.get(transactional_id or "")
            if found is None or found.producer_id != batch.producer_id:
                return Code.INVALID_PRODUCER_ID_MAPPING, -1
            if found.epoch != batch.epoch:
                return Code.INVALID_PRODUCER_EPOCH, -1
            if found.state != "open" or place not in found.places:
                return Code.INVALID_TXN_STATE, -1
        return self.partitions[place].append(batch)

    def stage(
        self,
        transactional_id: str,
        writer: tuple[int, int],
        group: str,
        offsets: dict[Place, tuple[int, str]],
    ) -> Code:
        """Offsets arrive within a transaction (TxnOffsetCommit)."""
        found = self.transactions.get(transactional_id)
        if found is None or found.producer_id != writer[0]:
            return Code.INVALID_PRODUCER_ID_MAPPING
        if found.epoch != writer[1]:
            return Code.INVALID_PRODUCER_EPOCH
        if found.state != "open" or group not in found.groups:
            return Code.INVALID_TXN_STATE
        found.offsets |= {(group, place): offset for place, offset in offsets.items()}
        return Code.NONE

    def end(self, transactional_id: str, writer: tuple[int, int], *, commits: bool) -> Code:
        """A producer ends its transaction (EndTxn); said again, it is fine."""
        found, code = self._owned(transactional_id, writer)
        if found is None:
            return code
        if found.state == "open":
            self._end(found, commits=commits)
            return Code.NONE
        said_again = found.state == ("committed" if commits else "aborted")
        return Code.NONE if said_again else Code.INVALID_TXN_STATE

    def expire(self, now_s: float) -> None:
        """Abort what has been open for too long; its producer is fenced."""
        for found in self.transactions.values():
            if found.state == "open" and now_s - found.began_at_s > found.timeout_s:
                self._abort(found)

    def open_ids(self) -> list[str]:
        """The transactional ids whose transaction is open."""
        return [t for t, found in self.transactions.items() if found.state == "open"]

    def pending(self, group: str, place: Place) -> bool:
        """Whether an open transaction may still move this offset."""
        open_ = (t for t in self.transactions.values() if t.state == "open")
        return any((group, place) in t.offsets for t in open_)

    def _owned(
        self, transactional_id: str, writer: tuple[int, int]
    ) -> tuple[Transaction | None, Code]:
        found = self.transactions.get(transactional_id)
        if found is None or found.producer_id != writer[0]:
            return None, Code.INVALID_PRODUCER_ID_MAPPING
        if found.epoch != writer[1]:
            return None, Code.PRODUCER_FENCED
        return found, Code.NONE

    def _abort(self, found: Transaction) -> None:
        found.fenced_epoch = found.epoch
        found.epoch += 1
        self._end(found, commits=False)

    def _end(self, found: Transaction, *, commits: bool) -> None:
        for place in found.places:
            self.partitions[place].end(found.producer_id, found.epoch, commits=commits)
        if commits:
            self.offsets |= found.offsets
        found.state = "committed" if commits else "aborted"
