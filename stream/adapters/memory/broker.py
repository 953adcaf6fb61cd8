"""The durable part of the in-memory log: topics, groups, transactions, snapshots."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from stream.adapters.memory.group import Group, Member
from stream.adapters.memory.topic import ANYTHING, Fate, Partition, Topic, Transaction
from stream.core.event import Headers
from stream.errors import CommitLost, Fenced, Missing
from stream.ports import Clock, Committed, StoredSnapshot
from stream.topic_settings import Accepts

Faults = Callable[[str], None]


def no_faults(step: str) -> None:
    """The friendly world: every step goes well."""


@dataclass(frozen=True, slots=True)
class Producer:
    """The right to write under a transactional id, until a younger producer asks for it."""

    transactional_id: str
    epoch: int


class _Step(AbstractContextManager[None]):
    """The block of `step`. It is a class, for a generator takes several times as long."""

    __slots__ = ("_after", "_before", "_faults")

    def __init__(self, faults: Faults, before: str, after: str) -> None:
        self._faults, self._before, self._after = faults, before, after

    def __enter__(self) -> None:
        self._faults(self._before)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._faults(self._after)


@dataclass(slots=True, eq=False, kw_only=True)
class MemoryBroker:
    """The world that outlives every client.

    Attributes:
        faults: called with the name of each step of a client; whatever it raises is that step's
            failure. The steps are `STEP:before` and `STEP:after` (it took effect, nobody was told)
            for `begin`, `flush`, `offsets`, `end`, `save`, `remove`; and the plain names `poll`,
            `send` (before each record), `seek`, `committed`, `bounds`, `read`, `stored`, `load`,
            `feed`. A `Retryable` is a failure of the world; any foreign exception is a crash of
            the worker.
        topics, groups: all topics and groups, by name.
        snapshots: (pipeline, partition) -> the index entry and the sealed bytes by n.
        changes_n: how often something that a reader may see has changed.
    """

    clock: Clock
    faults: Faults = no_faults
    topics: dict[str, Topic] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    snapshots: dict[tuple[str, int], dict[int, tuple[StoredSnapshot, bytes]]] = field(
        default_factory=dict
    )
    changes_n: int = 0
    _epochs: dict[str, int] = field(default_factory=dict)
    _open: dict[str, Transaction] = field(default_factory=dict)
    _made_n: int = 0

    def step(self, name: str) -> AbstractContextManager[None]:
        """Give `faults` its say before and after something takes effect."""
        return _Step(self.faults, f"{name}:before", f"{name}:after")

    def serial(self) -> int:
        """A number that was never given before, in the order of asking."""
        self._made_n += 1
        return self._made_n

    # Topics

    def create(
        self,
        name: str,
        *,
        partitions: int,
        retention_ms: int = -1,
        cleanup_policy: str = "delete",
        accepts: Accepts = ANYTHING,
    ) -> None:
        """Make a topic; fine if it is there."""
        if name not in self.topics:
            parts = [Partition(number) for number in range(partitions)]
            self.topics[name] = Topic(
                f"topic-{self.serial()}", retention_ms, cleanup_policy, parts, accepts
            )

    def topic(self, name: str) -> Topic:
        """A topic by name. Raises: Missing: there is none."""
        if name not in self.topics:
            raise Missing(f"topics: there is no topic {name!r}; create it")
        return self.topics[name]

    def partition(self, name: str, number: int) -> Partition:
        """One partition of a topic. Raises: Missing: no such topic or partition."""
        partitions = self.topic(name).partitions
        if not 0 <= number < len(partitions):
            raise Missing(
                f"topics: {name!r} has {len(partitions)} partitions and none with the number"
                f" {number}; give every output topic as many as the events have"
            )
        return partitions[number]

    def append(
        self,
        name: str,
        number: int,
        *,
        value: bytes | None,
        key: bytes | None = None,
        timestamp_ms: int | None = None,
        headers: Headers = (),
        transaction: Transaction | None = None,
    ) -> None:
        """Add one record to a partition. Raises: Missing, CommitLost."""
        if transaction is None:
            self.changes_n += 1
        elif transaction.fate is not Fate.OPEN:
            raise CommitLost("the transaction timed out and was aborted")
        self.partition(name, number).append(
            timestamp_ms=self.clock.now_ms() if timestamp_ms is None else timestamp_ms,
            key=key,
            value=value,
            headers=headers,
            transaction=transaction,
        )

    # Groups

    def group(self, name: str) -> Group:
        """The group of that name; it begins to exist when it is asked for."""
        return self.groups.setdefault(name, Group(name))

    def expire(self, group: str, member: Member) -> None:
        """The session of a silent member ends; fine if it is gone."""
        self.group(group).leave(member)

    # Transactions

    def producer(self, transactional_id: str) -> Producer:
        """Fence all older producers of this id, and abort what they left open."""
        self.time_out(transactional_id)
        epoch = self._epochs[transactional_id] = self._epochs.get(transactional_id, 0) + 1
        return Producer(transactional_id, epoch)

    def begin(self, producer: Producer) -> Transaction:
        """Open a transaction. Raises: Fenced: a younger producer took the id."""
        self._admit(producer)
        transaction = self._open[producer.transactional_id] = Transaction()
        return transaction

    def add_offsets(
        self,
        transaction: Transaction,
        group: Group,
        offsets: dict[int, Committed],
        *,
        member: Member,
    ) -> None:
        """Let offsets move when the transaction commits. Raises: CommitLost, Fenced."""
        group.admit(member)
        transaction.offsets.append((group, offsets))
        group.pending[transaction] = offsets

    def commit(self, producer: Producer, transaction: Transaction) -> None:
        """Make all of a transaction visible, and move its offsets.

        Raises:
            Fenced: a younger producer took the id (and aborted the transaction).
            CommitLost: it timed out and was aborted.
        """
        self._admit(producer)
        if transaction.fate is not Fate.OPEN:
            raise CommitLost("the transaction timed out and was aborted")
        del self._open[producer.transactional_id]
        transaction.finish(Fate.COMMITTED)
        self.changes_n += 1

    def abort(self, producer: Producer) -> None:
        """End what this producer left open; fine if there is nothing, or it was fenced."""
        if self._epochs[producer.transactional_id] == producer.epoch:
            self.time_out(producer.transactional_id)

    def time_out(self, *transactional_ids: str) -> None:
        """Abort the open transactions of these ids (of all, if none is named)."""
        for transactional_id in transactional_ids or tuple(self._open):
            transaction = self._open.pop(transactional_id, None)
            if transaction is not None:
                transaction.finish(Fate.ABORTED)
                self.changes_n += 1

    def open_transactions(self) -> Sequence[str]:
        """The transactional ids with an open transaction, oldest first."""
        return tuple(self._open)

    def _admit(self, producer: Producer) -> None:
        if self._epochs[producer.transactional_id] != producer.epoch:
            raise Fenced(
                f"a younger producer took the transactional id {producer.transactional_id!r}"
            )
