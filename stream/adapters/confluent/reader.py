"""The pipeline's topics as any consumer with read_committed sees them, outside the group."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.adapters.confluent.connection import (
    ADMIN_TIMEOUT_S,
    Connection,
    partitions,
    positions_of,
    unreadable,
)
from stream.adapters.confluent.records import polled, sorted_out
from stream.adapters.kafka.ranges import Range
from stream.adapters.kafka.reader import POLL_S, RECORDS_MAX, RangeReader
from stream.core.event import Channel, Record
from stream.errors import Misconfigured, Retryable
from stream.ports import Bounds, Committed

BOUNDS_TIMEOUT_S = 5.0

FAILED_N_MAX = 3
"""After so many questions in a row without an answer a new client asks. Seen once in four runs
after a broker that hung for 30 s: it was back for 80 s, another client read from it, and this one's
still said that all brokers were down."""

_ASKING: dict[str, Any] = {
    # Whoever only looks does not wait for offsets that an open transaction holds.
    "isolation.level": "read_uncommitted",
    "enable.auto.commit": False,
}
"""Of the client that asks for the group's offsets; it never joins either."""


class KafkaReader(RangeReader):
    """See `stream.ports.Reader`. Raises: Retryable, Misconfigured."""

    _connection: Connection

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._asking: Consumer | None = None
        self._failed_n = 0
        self._consumer = self._made()

    def _made(self) -> Consumer:
        """Make the client that reads. Raises: Retryable, Misconfigured."""
        return self._connection.make(
            Consumer,
            "connecting",
            {
                # librdkafka wants one, and asks for its coordinator, which takes permission to
                # read that group: the worker's is permitted. It never joins.
                "group.id": self._connection.group,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "max.partition.fetch.bytes": 4 << 20,
                "queued.max.messages.kbytes": 16 << 10,
                "fetch.wait.max.ms": 100,
            },
        )

    @contextmanager
    def _asked(self, doing: str) -> Iterator[Consumer]:
        """Lend the client for one question; a new one, where too many had no answer."""
        if self._failed_n >= FAILED_N_MAX:
            old, self._consumer = (self._consumer, self._asking), self._made()
            self._asking = self._reading = None
            self._failed_n = 0
            _close(old)
        try:
            with self._connection.translated(doing):
                yield self._consumer
        except Retryable:
            self._failed_n += 1
            self._partitions.clear()  # it may have been deleted, which no answer ever says
            raise
        self._failed_n = 0

    def bounds(self, channel: Channel, partition: int) -> Bounds:
        """See `Reader.bounds`."""
        topic = self._topic(channel, partition)
        doing = f"asking for the bounds of {topic}"
        with self._asked(doing) as consumer:
            tp = TopicPartition(topic, partition)
            found = consumer.get_watermark_offsets(tp, timeout=BOUNDS_TIMEOUT_S)
            if found is None:
                raise Retryable(f"{doing}: no answer")
        return Bounds(*found)

    def _count(self, name: str) -> int:
        with self._asked(f"describing {name}") as consumer:
            return partitions(consumer, name, self._connection)

    def next_batch(self, wanted: Range) -> list[Record]:
        """See `RangeReader.next_batch`."""
        topic = self._topic(wanted.channel, wanted.partition)
        doing = f"reading {topic}"
        consumer = self._consumer
        with self._connection.translated(doing):
            is_going_on = self._reading is wanted
            self._reading = None  # after a failure it begins again where this range stands
            if not is_going_on:  # at first, and after another range was read
                consumer.assign([TopicPartition(topic, wanted.partition, wanted.position)])
            messages = polled(consumer, timeout_s=POLL_S, records_max=RECORDS_MAX)
        records, ends, trouble = sorted_out(messages, self._connection, doing)
        if trouble is not None:
            self._failed_n += isinstance(trouble, Retryable)
            raise trouble
        self._reading = wanted
        batch = records.get(wanted.partition, [])
        reached = batch[-1].offset + 1 if batch else wanted.position
        wanted.position = max(wanted.position, reached, ends.get(wanted.partition, 0))
        return [record for record in batch if record.offset < wanted.stop]

    def committed(self) -> dict[int, Committed]:
        """See `Reader.committed`.

        Not an administrator's call: librdkafka's (2.16) ends the process with a segmentation fault
        where the group's coordinator is away, as it is on a broker that has just started.
        """
        connection, doing = self._connection, "reading the group's committed offsets"
        events = connection.names[Channel.EVENTS]
        wanted = [TopicPartition(events, partition) for partition in range(self._count(events))]
        if not wanted:
            return {}
        with self._asked(doing):
            self._asking = self._asking or connection.make(Consumer, "connecting", _ASKING | {
                "group.id": connection.group
            })  # fmt: skip
            try:
                found = self._asking.committed(wanted, timeout=ADMIN_TIMEOUT_S)
            except UnicodeDecodeError as error:
                raise Misconfigured(unreadable(connection.group)) from error
        return positions_of(found, connection, doing)

    def close(self) -> None:
        """See `Reader.close`."""
        _close((self._consumer, self._asking))


def _close(consumers: Iterable[Consumer | None]) -> None:
    for consumer in filter(None, consumers):
        with suppress(KafkaException):  # no member of any group: there is nothing to tell
            consumer.close()
