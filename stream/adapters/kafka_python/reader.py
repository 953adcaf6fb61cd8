"""The pipeline's topics as any consumer with read_committed sees them, outside the group."""

import time
from collections.abc import Iterator, Sequence

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from stream.adapters.kafka_python.connection import Connection
from stream.core.event import Channel, Record
from stream.errors import LogLost, Retryable
from stream.ports import Bounds, Committed

POLL_S = 0.5
STALL_S = 30.0
"""A reader that knows there is more and gets nothing for this long gives up."""

_RECORDS_MAX = 2_000


class KafkaReader:
    """See `stream.ports.Reader`. Raises: Retryable, Misconfigured."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        with connection.translated("connecting"):
            self._consumer = KafkaConsumer(
                **connection.settings(
                    group_id=None,
                    isolation_level="read_committed",
                    enable_auto_commit=False,
                    auto_offset_reset="none",
                    max_partition_fetch_bytes=4 << 20,
                    fetch_max_wait_ms=100,
                    metrics_enabled=False,
                )
            )

    def bounds(self, channel: Channel, partition: int) -> Bounds:
        """See `Reader.bounds`."""
        tp = TopicPartition(self._connection.names[channel], partition)
        with self._connection.translated(f"asking for the bounds of {tp.topic}"):
            start = self._consumer.beginning_offsets([tp])[tp]
            end = self._consumer.end_offsets([tp])[tp]
        return Bounds(start, end)

    def read(
        self, channel: Channel, partition: int, start: int, stop: int
    ) -> Iterator[Sequence[Record]]:
        """See `Reader.read`."""
        tp = TopicPartition(self._connection.names[channel], partition)
        bounds = self.bounds(channel, partition)
        if start < bounds.start and start < stop:
            raise LogLost(
                f"{tp.topic}-{partition}: offset {start} is asked for, the log starts at "
                f"{bounds.start}: retention has taken what lies before"
            )
        stop = min(stop, bounds.end)
        consumer = self._consumer
        with self._connection.translated(f"reading {tp.topic}"):
            consumer.assign([tp])
            consumer.seek(tp, start)
        position, stalled_at = start, time.monotonic() + STALL_S
        # By position, never by "saw stop - 1": the last offsets may be a transaction's marker.
        while position < stop:
            with self._connection.translated(f"reading {tp.topic}"):
                polled = consumer.poll(round(POLL_S * 1000), max_records=_RECORDS_MAX)
                reached = consumer.position(tp, timeout_ms=5_000)
            if reached is not None and reached > position:
                position, stalled_at = reached, time.monotonic() + STALL_S
            elif time.monotonic() > stalled_at:
                raise Retryable(f"{tp.topic}-{partition}: nothing came after offset {position}")
            yield [
                Record(
                    partition, r.offset, r.timestamp, r.key, r.value,
                    tuple(r.headers) if r.headers else (),
                )
                for r in polled.get(tp, ())
                if r.offset < stop
            ]  # fmt: skip

    def committed(self) -> dict[int, Committed]:
        """See `Reader.committed`."""
        connection = self._connection
        events = connection.names[Channel.EVENTS]
        with connection.translated("reading the group's committed offsets"):
            admin = KafkaAdminClient(**connection.settings())
            try:
                offsets = admin.list_group_offsets(connection.group)[connection.group]
            finally:
                admin.close()
        return {
            tp.partition: Committed(o.offset, o.metadata)
            for tp, o in offsets.items()
            if tp.topic == events and o.offset >= 0
        }

    def close(self) -> None:
        """See `Reader.close`."""
        self._consumer.close(autocommit=False, timeout_ms=2_000)
