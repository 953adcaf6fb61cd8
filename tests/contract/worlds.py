"""What the contract suite needs of an adapter beyond the ports: one `World` for each.

A new adapter is one class here after, and one entry in `conftest.py`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from functools import partial
from typing import ClassVar, Protocol, Self, TypeVar

import msgspec
import pytest

from stream.core.event import Channel, Headers, Output, Record
from stream.errors import Retryable, StreamError
from stream.ports import Committed, Feed, Log, Polled, Reader, SnapshotStore, Topics

GROUP = "contract"
T = TypeVar("T")


class Ability(StrEnum):
    """What not every log can do; a test marked `needs(ability)` runs where it is supported."""

    GROUPS = "several members share a group"
    INSTANCES = "a younger worker with the same instance name takes over"
    TRANSACTIONS = "others write in transactions that can be open or aborted"
    AT_LEAST_ONCE = "outputs can be visible before their offsets move"


class Fate(StrEnum):
    """How records get into a topic."""

    PLAIN = "without a transaction"
    COMMITTED = "in a transaction of their own that commits"
    ABORTED = "in a transaction of their own that aborts"
    OPEN = "in a transaction that stays open until the world closes"


class Raw(msgspec.Struct, frozen=True):
    """A record before the log gave it an offset."""

    value: bytes | None
    key: bytes | None = None
    timestamp_ms: int = 1_600_000_000_000
    headers: Headers = ()


class World(Protocol):
    """One adapter's log with fresh topics and a fresh group, and the hands that disturb it.

    Attributes:
        unsupported: what this log cannot do, and why; such tests are deselected.
        marks: marks for every test of this adapter (`pytest.mark.broker`).
        deadline_s: how long anything may take here that is waited for.
        hearing_s: in this time a member hears of a change in its group, and has joined again.
    """

    unsupported: ClassVar[Mapping[Ability, str]]
    marks: ClassVar[Sequence[pytest.MarkDecorator]]
    deadline_s: ClassVar[float]
    hearing_s: ClassVar[float]

    @classmethod
    def open(cls, request: pytest.FixtureRequest) -> Self:
        """A world without topics; skips (on a laptop) or fails (in CI) if its server is away."""
        ...

    def close(self) -> None:
        """Close all it made, clients too; end what was left open."""
        ...

    def log(self, *, instance: str | None = None, exactly_once: bool = True) -> Log:
        """A worker's log; it polls only when told to."""
        ...

    def reader(self) -> Reader:
        """An outsider who reads committed records only."""
        ...

    def topics(self) -> Topics:
        """The administrator."""
        ...

    def feed(self, *, channel: Channel = Channel.EVENTS) -> Feed:
        """An upstream of one topic."""
        ...

    def append(
        self,
        raws: Sequence[Raw],
        *,
        channel: Channel = Channel.EVENTS,
        partition: int = 0,
        fate: Fate = Fate.PLAIN,
    ) -> None:
        """Add records to one partition, acknowledged; `fate` needs Ability.TRANSACTIONS."""
        ...

    def delete_before(self, channel: Channel, partition: int, offset: int) -> None:
        """Move the log's start, as retention does."""
        ...

    def kill(self, log: Log) -> None:
        """The process of `log` is gone without a word; its session has not ended yet."""
        ...

    def expire(self, log: Log) -> None:
        """End the session of `log` (dead or alive, it is not told); needs Ability.GROUPS."""
        ...

    def spoiled(self, log: Log) -> AbstractContextManager[None]:
        """While this lasts, a commit of `log` fails after its outputs were handed over."""
        ...

    def troubled(self, log: Log) -> AbstractContextManager[None]:
        """While this lasts, polls of `log` fail, as late in the poll as they can."""
        ...


class StoreWorld(Protocol):
    """One adapter's place for snapshots."""

    marks: ClassVar[Sequence[pytest.MarkDecorator]]

    @classmethod
    def open(cls, request: pytest.FixtureRequest) -> Self:
        """An empty place; skips (on a laptop) or fails (in CI) if its server is away."""
        ...

    def close(self) -> None:
        """Close all it made."""
        ...

    def store(self, pipeline: str) -> SnapshotStore:
        """A client; each call gives another one, to the same place."""
        ...


class SystemClock:
    """The real clock, for adapters that really wait."""

    def monotonic(self) -> float:
        """Seconds."""
        return time.monotonic()

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class Member:
    """The least worker: polls, seeks what it gained to the committed offset, remembers all.

    Attributes:
        owned: the partitions it has now.
        records: what came, by partition; emptied when the partition is lost.
        polls: every poll in which something happened.
    """

    def __init__(self, log: Log, *, deadline_s: float) -> None:
        self.log = log
        self.owned: set[int] = set()
        self.records: dict[int, list[Record]] = {}
        self.polls: list[Polled] = []
        self._deadline_s = deadline_s

    def poll(self) -> Polled:
        """Poll once, holding the log to what its port says of assignments."""
        polled = self.log.poll(timeout_s=0.1, records_max=500)
        assert polled.revoked <= self.owned
        self.owned -= polled.revoked
        assert not polled.assigned & self.owned
        for partition in polled.revoked:
            del self.records[partition]
        assert polled.records.keys() <= self.owned
        for partition, records in polled.records.items():
            self.records[partition] += records
        self.owned |= polled.assigned
        if polled.assigned:
            committed = patiently(
                lambda: self.log.committed(polled.assigned), deadline_s=self._deadline_s
            )
            for partition in sorted(polled.assigned):
                self.records[partition] = []
                start = committed[partition].offset if partition in committed else 0
                self.log.seek(partition, start)
        if polled.records or polled.revoked or polled.assigned:
            self.polls.append(polled)
        return polled

    def values(self, partition: int = 0) -> list[bytes | None]:
        """The values that came of one partition."""
        return [record.value for record in self.records.get(partition, [])]


def patiently(call: Callable[[], T], *, deadline_s: float) -> T:
    """Do what every caller of a port does with Retryable: the same call again, up to a deadline."""
    give_up_s = time.monotonic() + deadline_s
    while True:
        try:
            return call()
        except Retryable:
            if time.monotonic() > give_up_s:
                raise
            time.sleep(0.02)


def settle(condition: Callable[[], bool], *members: Member, deadline_s: float) -> None:
    """Poll the members in turn until a condition holds."""
    give_up_s = time.monotonic() + deadline_s
    while not condition():
        for member in members:
            patiently(member.poll, deadline_s=deadline_s)
        state = [(sorted(m.owned), {p: len(r) for p, r in m.records.items()}) for m in members]
        assert time.monotonic() < give_up_s, f"did not settle; owned and records: {state}"


def fail(member: Member, *, for_s: float) -> None:
    """Poll for so long, and at least until one has failed; some may succeed all the same."""
    until_s = time.monotonic() + for_s
    failed_n = 0
    while time.monotonic() < until_s or not failed_n:
        try:
            member.poll()
        except Retryable:
            failed_n += 1
            time.sleep(0.02)
        assert time.monotonic() < until_s + 5.0, "no poll fails"


def eventually(expected: object, look: Callable[[], object], *, deadline_s: float) -> None:
    """Look until it is as expected; a broker tells outsiders of a commit a little later."""
    give_up_s = time.monotonic() + deadline_s
    while True:
        seen = patiently(look, deadline_s=deadline_s)
        if seen == expected or time.monotonic() > give_up_s:
            assert expected == seen, f"saw {repr(seen)[:1000]}"
            return
        time.sleep(0.02)


def failure(
    log: Log, outputs: Sequence[Output], offsets: Mapping[int, Committed]
) -> type[StreamError] | None:
    """How a commit fails, if it does; the error itself is not kept, nor what it would keep."""
    try:
        log.commit(outputs, offsets)
    except StreamError as error:
        return type(error)
    return None


def everything(reader: Reader, channel: Channel, partition: int = 0) -> list[Record]:
    """All that an outsider sees of a partition now."""
    bounds = reader.bounds(channel, partition)
    batches = reader.read(channel, partition, bounds.start, bounds.end)
    return [record for batch in batches for record in batch]


def values(reader: Reader, channel: Channel, partition: int = 0) -> list[bytes | None]:
    """The values of all that an outsider sees of a partition now."""
    return [record.value for record in everything(reader, channel, partition)]


def raws(*values: bytes) -> list[Raw]:
    """Records with these values and nothing else of note."""
    return [Raw(value) for value in values]


def output(value: bytes | None, *, channel: Channel = Channel.PREDICTIONS) -> Output:
    """An output to partition 0."""
    return Output(channel, 0, 1_600_000_000_000, b"key", value)


def at(offset: int) -> Committed:
    """A committed offset with metadata as ours is."""
    return Committed(offset, f"v1;n={offset};h=00112233aabbccdd;f=01234567")


def create(world: World, *, partitions: int = 1) -> None:
    """Make the four topics."""
    topics = world.topics()
    for channel in Channel:
        patiently(
            partial(topics.create, channel, partitions=partitions, retention_ms=-1),
            deadline_s=world.deadline_s,
        )


def working(world: World, *, instance: str | None = None, exactly_once: bool = True) -> Member:
    """A member that has partition 0."""
    log = world.log(instance=instance, exactly_once=exactly_once)
    member = Member(log, deadline_s=world.deadline_s)
    settle(lambda: 0 in member.owned, member, deadline_s=world.deadline_s)
    return member


def loaded(
    store: SnapshotStore, partition: int, n: int, *, size_bytes: int | None = None
) -> bytes | None:
    """What is stored, of any bytes; as long as the store says, unless it is known better."""
    told = {s.n: s.size_bytes for s in store.stored(partition)}.get(n)
    size = told if size_bytes is None else size_bytes
    return store.load(partition, n, lambda start: len(start) if size is None else size)
