"""The in-memory log under contract."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, Self

import pytest

from stream.adapters.memory import (
    MemoryBroker,
    MemoryFeed,
    MemoryLog,
    MemoryReader,
    MemorySnapshots,
    MemoryTopics,
)
from stream.adapters.memory.broker import no_faults
from stream.adapters.memory.topic import Fate as Ended
from stream.core.event import Channel
from stream.errors import Retryable
from stream.ports import Log
from tests.contract.worlds import GROUP, Ability, Fate, Raw

NAMES = {channel: f"contract.{channel.value}" for channel in Channel}


class ManualClock:
    """A clock that only sleep moves."""

    def __init__(self) -> None:
        self._elapsed_s = 0.0

    def monotonic(self) -> float:
        """Seconds slept since the start."""
        return self._elapsed_s

    def now_ms(self) -> int:
        """Milliseconds since 1970, from some day in 2026 on."""
        return 1_780_000_000_000 + int(self._elapsed_s * 1000)

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self._elapsed_s += seconds


class MemoryWorld:
    """A broker in memory."""

    unsupported: ClassVar[Mapping[Ability, str]] = {}
    marks: ClassVar[Sequence[pytest.MarkDecorator]] = ()
    deadline_s: ClassVar[float] = 60.0
    hearing_s: ClassVar[float] = 0.05

    def __init__(self) -> None:
        self.broker = MemoryBroker(clock=ManualClock())

    @classmethod
    def open(cls, request: pytest.FixtureRequest) -> Self:  # noqa: ARG003  # needs no server
        """See `World.open`."""
        return cls()

    def close(self) -> None:
        """See `World.close`."""
        self.broker.time_out()

    def log(self, *, instance: str | None = None, exactly_once: bool = True) -> MemoryLog:
        """See `World.log`."""
        return MemoryLog(
            self.broker, names=NAMES, group=GROUP, instance=instance, exactly_once=exactly_once
        )

    def reader(self) -> MemoryReader:
        """See `World.reader`."""
        return MemoryReader(self.broker, names=NAMES, group=GROUP, batch_records_max=7)

    def topics(self) -> MemoryTopics:
        """See `World.topics`."""
        return MemoryTopics(self.broker, names=NAMES, group=GROUP)

    def feed(self, *, channel: Channel = Channel.EVENTS) -> MemoryFeed:
        """See `World.feed`."""
        return MemoryFeed(self.broker, names=NAMES, channel=channel)

    def append(
        self,
        raws: Sequence[Raw],
        *,
        channel: Channel = Channel.EVENTS,
        partition: int = 0,
        fate: Fate = Fate.PLAIN,
    ) -> None:
        """See `World.append`."""
        transaction = None
        if fate is not Fate.PLAIN:
            producer = self.broker.producer(f"other-{self.broker.serial()}")
            transaction = self.broker.begin(producer)
        for raw in raws:
            self.broker.append(
                NAMES[channel],
                partition,
                value=raw.value,
                key=raw.key,
                timestamp_ms=raw.timestamp_ms,
                headers=raw.headers,
                transaction=transaction,
            )
        if transaction is not None and fate is Fate.COMMITTED:
            self.broker.commit(producer, transaction)
            assert transaction.fate is Ended.COMMITTED
        elif transaction is not None and fate is Fate.ABORTED:
            self.broker.time_out(producer.transactional_id)
            assert transaction.fate is Ended.ABORTED

    def delete_before(self, channel: Channel, partition: int, offset: int) -> None:
        """See `World.delete_before`."""
        self.broker.partition(NAMES[channel], partition).truncate(offset)

    def kill(self, log: Log) -> None:
        """See `World.kill`: a log that nobody calls is dead."""

    def expire(self, log: Log) -> None:
        """See `World.expire`."""
        assert isinstance(log, MemoryLog)
        assert log.member is not None
        self.broker.expire(GROUP, log.member)

    @contextmanager
    def spoiled(self, log: Log) -> Iterator[None]:
        """See `World.spoiled`."""
        assert isinstance(log, MemoryLog)
        with self._failing("offsets:before", "the coordinator moved"):
            yield

    @contextmanager
    def troubled(self, log: Log) -> Iterator[None]:
        """See `World.troubled`."""
        assert isinstance(log, MemoryLog)
        with self._failing("poll", "no broker answers"):
            yield

    @contextmanager
    def _failing(self, step: str, why: str) -> Iterator[None]:
        def fail(at: str) -> None:
            if at == step:
                raise Retryable(why)

        self.broker.faults = fail
        yield
        self.broker.faults = no_faults


class MemoryStoreWorld:
    """Snapshots in a broker in memory."""

    marks: ClassVar[Sequence[pytest.MarkDecorator]] = ()

    def __init__(self) -> None:
        self._broker = MemoryBroker(clock=ManualClock())

    @classmethod
    def open(cls, request: pytest.FixtureRequest) -> Self:  # noqa: ARG003  # needs no server
        """See `StoreWorld.open`."""
        return cls()

    def close(self) -> None:
        """See `StoreWorld.close`."""

    def store(self, pipeline: str) -> MemorySnapshots:
        """See `StoreWorld.store`."""
        return MemorySnapshots(self._broker, pipeline=pipeline)
