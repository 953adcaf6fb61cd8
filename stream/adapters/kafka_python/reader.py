"""The pipeline's topics as any consumer with read_committed sees them, outside the group."""

import time
from collections.abc import Callable, Mapping

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition, errors

from stream.adapters.kafka.ranges import Range
from stream.adapters.kafka.reader import POLL_S, RECORDS_MAX, RangeReader
from stream.adapters.kafka_python.connection import Connection, from_metadata
from stream.adapters.kafka_python.records import converted, tolerate
from stream.core.event import Channel, Record
from stream.errors import Retryable
from stream.ports import Bounds, Committed

BOUNDS_TIMEOUT_MS = 5_000
ASK_TIMEOUT_MS = 500
"""Of one question of these; the next one goes to the partition's new leader, if there is one."""

FETCH_BYTES_MAX = 1 << 20
"""Of one answer. In Python it is there several times over, and large blocks leave holes in the heap
for good: after replays with 4 MiB a process kept 20 MB, with 1 MiB 6 MB, at nine tenths of the
speed of reading."""

CLOSE_MS = 2_000


class KafkaReader(RangeReader):
    """See `stream.ports.Reader`. Raises: Retryable, Misconfigured."""

    _connection: Connection

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._admin: KafkaAdminClient | None = None
        self._consumer: KafkaConsumer = connection.make(
            KafkaConsumer,
            "connecting",
            group_id=None,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            fetch_max_wait_ms=100,
            metrics_enabled=False,
        )
        tolerate(self._consumer)

    def bounds(self, channel: Channel, partition: int) -> Bounds:
        """See `Reader.bounds`."""
        tp = TopicPartition(self._topic(channel, partition), partition)
        try:
            with self._connection.translated(f"asking for the bounds of {tp.topic}"):
                start = self._ask(self._consumer.beginning_offsets, tp)
                end = self._ask(self._consumer.end_offsets, tp)
        except Retryable:
            self._partitions.pop(tp.topic, None)  # it may have been deleted: no answer says so
            raise
        return Bounds(start, end)

    def _ask(self, offsets: Callable[..., Mapping[TopicPartition, int]], tp: TopicPartition) -> int:
        """Ask for an offset of a partition from its present leader. Raises: errors.KafkaError.

        A broker that leads it no more says so, and the client asks it again and again: for minutes,
        until its metadata is too old.
        """
        deadline_s = time.monotonic() + BOUNDS_TIMEOUT_MS / 1000
        while True:
            try:
                return offsets([tp], timeout_ms=ASK_TIMEOUT_MS)[tp]
            except errors.KafkaTimeoutError:
                if time.monotonic() > deadline_s:
                    raise
                self._consumer._cluster.request_update()  # noqa: SLF001  # no public way

    def _count(self, name: str) -> int:
        return self._connection.partitions([name]).get(name, 0)

    def next_batch(self, wanted: Range) -> list[Record]:
        """See `RangeReader.next_batch`."""
        consumer = self._consumer
        tp = TopicPartition(self._topic(wanted.channel, wanted.partition), wanted.partition)
        with self._connection.translated(f"reading {tp.topic}"):
            if self._reading is not wanted:  # at first, and after another range was read
                self._reading = None
                consumer.assign([tp])
                consumer.seek(tp, wanted.position)
                self._reading = wanted
            polled = consumer.poll(round(1000 * POLL_S), max_records=RECORDS_MAX)
            reached = consumer.position(tp, timeout_ms=BOUNDS_TIMEOUT_MS)
        if reached is not None:
            wanted.position = reached
        return converted(r for r in polled.get(tp, ()) if r.offset < wanted.stop)

    def committed(self) -> dict[int, Committed]:
        """See `Reader.committed`."""
        connection = self._connection
        events = connection.names[Channel.EVENTS]
        admin = self._admin = self._admin or connection.admin()
        doing = "reading the group's committed offsets"
        offsets = connection.of_group(doing, admin.list_group_offsets)[connection.group]
        return {
            tp.partition: Committed(o.offset, from_metadata(o.metadata))
            for tp, o in offsets.items()
            if tp.topic == events and o.offset >= 0
        }

    def close(self) -> None:
        """See `Reader.close`."""
        if self._admin is not None:
            self._admin.close()
        try:
            self._consumer.close(autocommit=False, timeout_ms=CLOSE_MS)
        except (errors.KafkaError, OSError):
            return  # it is no member of any group: there is nothing to tell anybody
        finally:
            self._consumer._client.close()  # noqa: SLF001
