"""The labels topic as an upstream uses it, and all that it sent: the auditor needs no decoder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stream.adapters.memory import MemoryBroker
from stream.adapters.memory.broker import Producer
from stream.adapters.memory.topic import Partition, Transaction
from stream.core.event import Channel, Reason, Record
from stream.errors import LogLost, Misconfigured, Missing, Retryable
from stream.ports import Bounds
from tests.instruments.simulation.control_topic import ControlReader


class Said(NamedTuple):
    """What a label record says: of which event, by its id or its place, and which label."""

    label: Any
    id: str | None = None
    partition: int | None = None
    offset: int | None = None


@dataclass(slots=True)
class SentLabel:
    """One record of the labels topic.

    Attributes:
        said: what it says; None: its bytes alone are refused, for `reason`.
        may_be_missed: retention took it, perhaps before anybody had read it.
    """

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    said: Said | None = None
    reason: Reason | None = None
    may_be_missed: bool = False

    @property
    def bytes(self) -> tuple[int, bytes | None, bytes | None]:
        """By what it is known again, beside its offset."""
        return self.timestamp_ms, self.key, self.value


class Hidden(NamedTuple):
    """A transaction that is open, and what it has sent."""

    producer: Producer
    transaction: Transaction
    sent: list[SentLabel]


Sent = dict[int, dict[int, SentLabel]]
"""Partition -> offset -> what lies, or lay, there."""


@dataclass(slots=True)
class LabelsSource:
    """Sends labels, and knows all that were sent.

    Attributes:
        generations: one after the other, as often as the topic was made.
        away: what a client is told that asks for anything; None: it is answered.
    """

    broker: MemoryBroker
    name: str
    generations: list[Sent] = field(default_factory=lambda: [{}])
    away: type[Exception] | None = None
    hidden: list[Hidden] = field(default_factory=list)

    def send(
        self,
        said: Said | None,
        value: bytes | None,
        *,
        timestamp_ms: int,
        partition: int = 0,
        key: bytes | None = None,
        reason: Reason | None = None,
        among: Hidden | None = None,
    ) -> SentLabel:
        """Append a record, perhaps in a transaction that is open."""
        log = self.log(partition)
        sent = SentLabel(partition, log.end, timestamp_ms, key, value, said, reason)
        self.sent(partition)[log.end] = sent
        self.broker.append(
            self.name, partition, value=value, key=key, timestamp_ms=timestamp_ms,
            transaction=None if among is None else among.transaction,
        )  # fmt: skip
        if among is not None:
            among.sent.append(sent)
        return sent

    def hide(self) -> Hidden:
        """Begin a transaction: what is sent in it, and behind it, appears late."""
        producer = self.broker.producer(f"labels-{self.broker.serial()}")
        hidden = Hidden(producer, self.broker.begin(producer), [])
        self.hidden.append(hidden)
        return hidden

    def show(self, hidden: Hidden, *, is_committed: bool) -> None:
        """End it."""
        self.hidden.remove(hidden)
        if is_committed:
            self.broker.commit(hidden.producer, hidden.transaction)
            return
        self.broker.abort(hidden.producer)
        for sent in hidden.sent:
            self.sent(sent.partition).pop(sent.offset, None)

    def settle(self) -> None:
        """Whatever is hidden appears, and the topic answers."""
        for hidden in tuple(self.hidden):
            self.show(hidden, is_committed=True)
        self.away = None

    def sent(self, partition: int) -> dict[int, SentLabel]:
        """What was sent to the topic that there is now."""
        return self.generations[-1].setdefault(partition, {})

    def truncate(self, partition: int, before: int) -> None:
        """Retention takes what lies before an offset."""
        log = self.log(partition)
        log.truncate(before)
        for offset, sent in self.sent(partition).items():
            sent.may_be_missed |= offset < log.start

    def make_again(self) -> None:
        """Somebody deletes the topic, and makes it again; as long as it is away there is none."""
        for hidden in tuple(self.hidden):
            self.show(hidden, is_committed=True)
        topic = self.broker.topic(self.name)
        topic.partitions[:] = [Partition(n) for n in range(len(topic.partitions))]
        self.generations.append({})

    def log(self, partition: int) -> Partition:
        """One partition."""
        return self.broker.partition(self.name, partition)

    def unread(self, partition: int, x: int) -> bool:
        """Whether anything lies at a place or behind it."""
        start = self.log(partition).start
        return any(at >= max(x, start) for at in self.sent(partition))

    def check(self) -> None:
        """Raises: what a client is told that asks for anything."""
        if self.away is not None:
            raise self.away(f"topics: {self.name!r}, as it is now")


class LabelsReader(ControlReader):
    """The client beside the loop; the source says whether it is answered."""

    def __init__(self, source: LabelsSource, **arguments: Any) -> None:
        super().__init__(source.broker, **arguments)
        self._source = source

    def bounds(self, channel: Channel, partition: int) -> Bounds:
        """See `Reader.bounds`."""
        if channel is Channel.LABELS:
            self._source.check()
        return super().bounds(channel, partition)

    def read(
        self, channel: Channel, partition: int, start: int, stop: int
    ) -> Iterator[Sequence[Record]]:
        """See `Reader.read`; what never comes is not waited for."""
        while start < stop:
            self._broker.faults("look")
            if channel is Channel.LABELS:
                self._source.check()
            held = self._partition(channel, partition)
            if start < held.start:
                raise LogLost(f"it begins at {held.start}; {start} is gone")
            records, reached = held.fetch(start, stop=stop, records_max=self._batch_records_max)
            if reached == start:
                raise Retryable(f"nothing came of {start}, though there were records up to {stop}")
            start = reached
            yield records


AWAY: Sequence[type[Exception]] = (Retryable, Missing, Misconfigured)
"""The broker does not answer; there is no such topic; READ is denied."""
