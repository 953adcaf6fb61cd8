"""The worker's log on Kafka: a group member, and one transactional producer.

Each rule below stands for a proven trap of kafka-python 3.0 (docs/ARCHITECTURE.md names the evidence):

- group metadata is taken right after each `poll()`: later it may have lost its generation, and Kafka
  does not fence a commit without one;
- a transaction is begun, filled, flushed, *every delivery looked at*, and ended in one call: the
  client commits a transaction although a send in it has failed;
- after any failure the producer is thrown away: it would send the offsets of the aborted transaction
  along with the next one;
- nothing blocks inside a rebalance listener: it runs on the thread that sends the heartbeats.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kafka import (
    ConsumerRebalanceListener,
    KafkaConsumer,
    KafkaProducer,
    OffsetAndMetadata,
    TopicPartition,
    errors,
)
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from stream.adapters.kafka_python.connection import Connection
from stream.config.timings import Timings
from stream.core.event import Channel, Output, Record
from stream.errors import CommitLost, Fenced, StreamError
from stream.ports import Committed, Polled

FETCH_BYTES_MAX = 4 << 20
"""Of one partition: large fetches amortise kafka-python's cost a request."""

BATCH_BYTES = 512 << 10
IN_TRANSACTION_BACKOFF_MS = 5
"""The broker answers CONCURRENT_TRANSACTIONS while it writes the last transaction's markers, and the
client then waits its whole back-off: 100 ms, its default, made each commit take 109 ms, 5 ms makes 5."""

COMMITTED_TIMEOUT_MS = 5_000
_CLOSE_S = 2.0


class KafkaLog:
    """See `stream.ports.Log`.

    Args:
        instance: stable name of this process: static membership and a stable transactional id.
        exactly_once: False = at-least-once: an idempotent producer, offsets committed after it.

    Raises: Retryable, Misconfigured.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        timings: Timings,
        instance: str | None = None,
        exactly_once: bool = True,
    ) -> None:
        self._connection = connection
        self._timings = timings
        self._instance = instance
        self._exactly_once = exactly_once
        self._events = connection.names[Channel.EVENTS]
        self._transactional_id = f"{connection.group}-{instance or uuid.uuid4().hex[:12]}"
        self._producer: KafkaProducer | None = None
        self._changes = _Changes()
        if exactly_once:
            # Fencing first: it ends what a dead predecessor of this name left open, at once.
            self._ready_producer()
        with connection.translated("joining the group"):
            self._consumer = KafkaConsumer(**self._consumer_settings())
            self._changes.consumer = self._consumer
            self._consumer.subscribe([self._events], listener=self._changes)
        self._metadata = self._consumer.group_metadata()

    def _consumer_settings(self) -> dict[str, Any]:
        static = {} if self._instance is None else {"group_instance_id": self._instance}
        return self._connection.settings(
            group_id=self._connection.group,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",  # where to begin is the worker's decision, never the client's
            partition_assignment_strategy=[CooperativeStickyAssignor],
            session_timeout_ms=self._timings.session_timeout_ms,
            heartbeat_interval_ms=self._timings.heartbeat_interval_ms,
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            fetch_max_bytes=8 * FETCH_BYTES_MAX,
            fetch_max_wait_ms=100,
            metrics_enabled=False,
            **static,
        )

    def _ready_producer(self) -> KafkaProducer:
        if self._producer is not None:
            return self._producer
        timings = self._timings
        settings = self._connection.settings(
            acks="all",
            linger_ms=5,
            batch_size=BATCH_BYTES,
            max_request_size=8 << 20,
            delivery_timeout_ms=timings.delivery_timeout_ms,
            request_timeout_ms=timings.request_timeout_ms,
            max_block_ms=timings.transaction_timeout_ms,
            enable_idempotence=True,
            metrics_enabled=False,
        )
        if self._exactly_once:
            settings |= {
                "transactional_id": self._transactional_id,
                "transaction_timeout_ms": timings.transaction_timeout_ms,
                "retry_backoff_ms": IN_TRANSACTION_BACKOFF_MS,
            }
        with self._connection.translated("taking the transactional id"):
            producer = KafkaProducer(**settings)
            try:
                if self._exactly_once:
                    producer.init_transactions()
            except BaseException:
                _discard(producer)
                raise
        self._producer = producer
        return producer

    def poll(self, *, timeout_s: float, records_max: int) -> Polled:
        """See `Log.poll`."""
        with self._connection.translated("polling"):
            fetched = self._consumer.poll(
                timeout_ms=round(timeout_s * 1000), max_records=records_max
            )
            self._metadata = self._consumer.group_metadata()
        self._notice_twin()
        revoked, assigned = self._changes.take()
        records = {
            tp.partition: [
                Record(
                    tp.partition, r.offset, r.timestamp, r.key, r.value,
                    tuple(r.headers) if r.headers else (),
                )
                for r in batch
            ]
            for tp, batch in fetched.items()
        }  # fmt: skip
        return Polled(records, revoked, assigned, {} if records else self._positions())

    def _positions(self) -> dict[int, int]:
        """Where each flowing partition stands: past markers, which no record tells of."""
        with self._connection.translated("asking for positions"):
            flowing = self._consumer.assignment() - self._consumer.paused()
            found = {tp.partition: self._consumer.position(tp, timeout_ms=0) for tp in flowing}
        return {
            partition: position for partition, position in found.items() if position is not None
        }

    def _notice_twin(self) -> None:
        """A fenced static member only stops its heartbeats and logs it: look, and say so."""
        if self._instance is None:
            return
        coordinator = self._consumer._coordinator  # noqa: SLF001  # the client has no public sign of it
        if coordinator.stable() and not coordinator._heartbeat_enabled:  # noqa: SLF001
            raise Fenced(f'another worker runs as instance "{self._instance}"; this one stops')

    def seek(self, partition: int, offset: int) -> None:
        """See `Log.seek`."""
        tp = TopicPartition(self._events, partition)
        with self._connection.translated(f"seeking to {offset} in partition {partition}"):
            self._consumer.seek(tp, offset)
            self._consumer.resume(tp)

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """See `Log.commit`."""
        if self._metadata.generation_id < 0 or not self._metadata.member_id:
            # Kafka would accept such a commit unfenced, and the group's offset could go back.
            raise CommitLost("this worker is not a member of the group any more")
        positions = {
            TopicPartition(self._events, p): OffsetAndMetadata(c.offset, c.metadata, -1)
            for p, c in offsets.items()
        }
        try:
            with self._connection.translated("committing"):
                if self._exactly_once:
                    self._commit_transaction(outputs, positions)
                else:
                    self._deliver(self._ready_producer(), outputs)
                    self._commit_offsets(positions)
        except StreamError as error:
            self._discard_producer()
            if type(error) is CommitLost or not isinstance(error.__cause__, errors.KafkaError):
                raise
            raise self._meaning(error) from error.__cause__

    def _meaning(self, error: StreamError) -> StreamError:
        """What an error in the middle of a commit says about this worker."""
        cause = error.__cause__
        fenced = isinstance(cause, errors.ProducerFencedError) or "ProducerFenced" in str(cause)
        if fenced and self._instance is not None:
            return Fenced(f'another worker took over as instance "{self._instance}"')
        if isinstance(error, Fenced) or error.exit_code == error.exit_code.CONFIG:
            return error
        return CommitLost(f"{error}; the committed offsets decide")

    def _commit_transaction(
        self, outputs: Sequence[Output], positions: Mapping[TopicPartition, OffsetAndMetadata]
    ) -> None:
        producer = self._ready_producer()
        producer.begin_transaction()
        self._deliver(producer, outputs)
        producer.send_offsets_to_transaction(positions, self._metadata)
        producer.commit_transaction()

    def _deliver(self, producer: KafkaProducer, outputs: Sequence[Output]) -> None:
        names, send = self._connection.names, producer.send
        deliveries = [
            send(
                names[o.channel], o.value, o.key, list(o.headers) or None, o.partition,
                o.timestamp_ms,
            )
            for o in outputs
        ]  # fmt: skip
        producer.flush(self._timings.delivery_timeout_ms / 1000)
        for delivery in deliveries:
            if not delivery.succeeded():
                raise CommitLost(f"an output was not delivered: {delivery.exception!r}")

    def _commit_offsets(self, positions: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        self._consumer.commit(dict(positions), timeout_ms=self._timings.transaction_timeout_ms)

    def committed(self, partitions: Collection[int]) -> dict[int, Committed]:
        """See `Log.committed`; a read_committed group asks for stable offsets (KIP-447)."""
        if self._exactly_once:
            self._ready_producer()
        found = {}
        with self._connection.translated("reading the committed offsets"):
            for partition in partitions:
                offset = self._consumer.committed(
                    TopicPartition(self._events, partition),
                    metadata=True,
                    timeout_ms=COMMITTED_TIMEOUT_MS,
                )
                if offset is not None:
                    found[partition] = Committed(offset.offset, offset.metadata)
        return found

    def close(self) -> None:
        """See `Log.close`."""
        self._discard_producer()
        try:
            self._consumer.close(autocommit=False, timeout_ms=round(_CLOSE_S * 1000))
        except (errors.KafkaError, OSError):
            # The broker is away: the session's timeout will tell it what this call could not.
            return

    def _discard_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            _discard(producer)


def _discard(producer: KafkaProducer) -> None:
    """End a producer for good. Its own `close()` would flush first, and on a time-out leave a thread
    alive that delivers old records later."""
    producer._unregister_cleanup()  # noqa: SLF001
    producer._sender.force_close()  # noqa: SLF001
    producer._sender.join(_CLOSE_S)  # noqa: SLF001
    producer._closed = True  # noqa: SLF001  # or its __del__ flushes after all


class _Changes(ConsumerRebalanceListener):  # type: ignore[misc]  # untyped; the client demands the class
    """Collects what rebalances did, on the client's thread; `poll` hands it on."""

    def __init__(self) -> None:
        self.consumer: KafkaConsumer | None = None
        self._revoked: set[int] = set()
        self._assigned: set[int] = set()

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Called before other members get them."""
        gone = {tp.partition for tp in revoked}
        self._assigned -= gone
        self._revoked |= gone

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """Called when they may belong to others already."""
        self.on_partitions_revoked(lost)

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Hold the new ones back until the worker seeks."""
        assert self.consumer is not None  # noqa: S101
        for tp in assigned:
            self.consumer.pause(tp)
            # Any position will do while paused; without one the client would ask for its reset policy.
            self.consumer.seek(tp, 0)
            self._assigned.add(tp.partition)

    def take(self) -> tuple[frozenset[int], frozenset[int]]:
        """What changed since the last call: (revoked, assigned)."""
        revoked, assigned = frozenset(self._revoked), frozenset(self._assigned)
        self._revoked.clear()
        self._assigned.clear()
        return revoked, assigned
