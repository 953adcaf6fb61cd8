"""The worker's log on Kafka: a group member, and one transactional producer.

Each rule below stands for a proven trap of kafka-python 3.0 (tests/broker/test_kafka_*.py):

- group metadata is taken right after each `poll()`: later it may have lost its generation, and
  Kafka does not fence a commit without one;
- a transaction is begun, filled, flushed, *every delivery looked at*, and ended in one call: the
  client commits a transaction although a send in it has failed;
- after any failure the producer is thrown away: it would send the offsets of the aborted
  transaction along with the next one;
- and after a commit that succeeded although a connection broke: the client has sent a request
  again, and the first one may still arrive, in the middle of the next transaction (KAFKA-17754);
- a look-up of committed offsets never takes the answer to an earlier one that timed out: the client
  keeps such an answer, and the offset may have moved since;
- whoever takes partitions over ends what their dead owner left open (`abandoned.py`);
- a join that takes longer than one poll is neither forgotten nor begun again (`Membership.mend`);
- a member that comes back under another id lost all it had, whatever the client tells;
- a member that lost its partitions claims them no more when it joins again: the group would keep
  some for it, and nobody would get them (`Membership.on_partitions_lost`);
- nothing blocks inside a rebalance listener: it runs on the thread that sends the heartbeats.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition, errors

from stream.adapters.kafka_python import producing
from stream.adapters.kafka_python.connection import Connection, from_metadata, to_metadata
from stream.adapters.kafka_python.membership import Membership
from stream.adapters.kafka_python.records import converted
from stream.config.timings import Timings
from stream.core.event import Channel, Output
from stream.errors import (
    CommitLost,
    Fenced,
    Internal,
    Misconfigured,
    Retryable,
    StreamError,
    forget_frames,
)
from stream.ports import Committed, Polled
from stream.transactional_ids import transactional_id

BATCH_BYTES = 512 << 10
REQUEST_BYTES_MAX = 32 << 20
"""The largest record: a refused value of `limits.value_bytes_max`, at its largest, and its key."""

COMMITTED_TIMEOUT_MS = 5_000
LEAVE_MS = 2_000


class KafkaLog:
    """See `stream.ports.Log`.

    Args:
        instance: stable name of this process: static membership and a stable transactional id.
        exactly_once: False = at-least-once: an idempotent producer, offsets committed after it.
        end_abandoned: given our transactional id, ends what the group's dead nameless workers left
            open. Called when partitions are taken over. None: the broker does it, up to ten seconds
            later.
        record_bytes_max: some topic takes no larger batch; None: all take usual ones.

    Raises: Retryable, Misconfigured.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        timings: Timings,
        instance: str | None = None,
        exactly_once: bool = True,
        end_abandoned: Callable[[str], object] | None = None,
        record_bytes_max: int | None = None,
    ) -> None:
        self._connection = connection
        self._timings = timings
        self._instance = instance
        self._exactly_once = exactly_once
        self._events = connection.names[Channel.EVENTS]
        self._transactional_id = transactional_id(connection.group, instance)
        self._end_abandoned = end_abandoned
        self._batch_bytes = min(BATCH_BYTES, record_bytes_max or BATCH_BYTES)
        self._fenced = False
        self._takes_over = False
        self._producer: KafkaProducer | None = None
        self._watch: producing.Watch  # over the producer that is there
        if exactly_once:
            # Fencing first: it ends what a dead predecessor of this name left open, at once.
            self._ready_producer()
        try:
            self._membership = Membership(connection, timings=timings, instance=instance)
        except StreamError:
            self._discard_producer()
            raise
        self._consumer = self._membership.consumer
        self._metadata = self._consumer.group_metadata()

    def _ready_producer(self) -> KafkaProducer:
        """The producer in hand, or a new one that has taken the transactional id already."""
        if self._producer is not None:
            return self._producer
        timings = self._timings
        settings: dict[str, Any] = {
            "linger_ms": 5,
            "batch_size": self._batch_bytes,
            "max_request_size": REQUEST_BYTES_MAX,
            "delivery_timeout_ms": timings.delivery_timeout_ms,
            "request_timeout_ms": timings.request_timeout_ms,
            "max_block_ms": timings.transaction_timeout_ms,
        }
        if self._exactly_once:
            settings |= {
                "transactional_id": self._transactional_id,
                "transaction_timeout_ms": timings.transaction_timeout_ms,
                "retry_backoff_ms": producing.IN_TRANSACTION_BACKOFF_MS,
            }
        doing = "taking the transactional id"
        producer = producing.make(self._connection, doing, **settings)
        if self._exactly_once:
            try:
                with self._connection.translated(doing):
                    producer.init_transactions()
            except BaseException:
                producing.discard(producer)
                raise
        self._producer, self._watch = producer, producing.Watch(producer)
        return producer

    def poll(self, *, timeout_s: float, records_max: int) -> Polled:
        """See `Log.poll`."""
        self._stop_if_fenced()
        self._membership.mend()
        with self._connection.translated("polling"):
            fetched = self._consumer.poll(
                timeout_ms=round(timeout_s * 1000), max_records=records_max
            )
            self._metadata = self._consumer.group_metadata()
        self._stop_if_fenced()
        # What a rebalance did is told once: whatever may raise comes before.
        positions = {}
        if not fetched:
            self._membership.check_topic()
            positions = self._positions()
        revoked, assigned = self._membership.take(self._metadata)
        self._takes_over = self._takes_over or bool(assigned)
        # Those of a partition that was just lost and won back were fetched before it was lost.
        records = {
            tp.partition: converted(batch)
            for tp, batch in fetched.items()
            if tp.partition not in assigned
        }
        return Polled(records, revoked, assigned, positions)

    def _positions(self) -> dict[int, int]:
        """Where each flowing partition stands, also past markers, which no record shows."""
        with self._connection.translated("asking for positions"):
            flowing = self._consumer.assignment() - self._consumer.paused()
            found = {tp.partition: self._consumer.position(tp, timeout_ms=0) for tp in flowing}
        return {
            partition: position for partition, position in found.items() if position is not None
        }

    def _stop_if_fenced(self) -> None:
        self._fenced = self._fenced or self._membership.fenced()
        if self._fenced:
            raise Fenced.by_twin(self._instance)

    def seek(self, partition: int, offset: int) -> None:
        """See `Log.seek`."""
        tp = TopicPartition(self._events, partition)
        if tp not in self._consumer.assignment():
            raise Internal(f"seek in partition {partition}, which is not assigned to this worker")
        with self._connection.translated(f"seeking to {offset} in partition {partition}"):
            self._consumer.seek(tp, offset)
            self._consumer.resume(tp)

    def pause(self, partition: int) -> None:
        """See `Log.pause`; polling goes on, and so does the membership."""
        tp = TopicPartition(self._events, partition)
        if tp not in self._consumer.assignment():
            raise Internal(f"pause of partition {partition}, which is not assigned to this worker")
        self._consumer.pause(tp)

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """See `Log.commit`.

        It ends by itself, whatever the brokers do: when they are silent after two request timeouts,
        when they are away, or refuse for ever, once the transaction's time is over.
        """
        self._stop_if_fenced()
        if not outputs and not offsets:
            return
        if self._metadata.generation_id < 0 or not self._metadata.member_id:
            # Kafka would accept such a commit unfenced, and the group's offset could go back.
            raise CommitLost("this worker is not a member of the group any more")
        positions = {
            TopicPartition(self._events, p): OffsetAndMetadata(
                c.offset, to_metadata(c.metadata), -1
            )
            for p, c in offsets.items()
        }
        try:
            if self._exactly_once:
                self._commit_transaction(outputs, positions)
            else:
                self._deliver(self._ready_producer(), outputs)
                if positions:
                    self._commit_offsets(positions)
        except (StreamError, errors.KafkaError, OSError) as error:
            raise self._given_up(error) from error

    def _given_up(self, error: StreamError | errors.KafkaError | OSError) -> StreamError:
        """Throw a failed commit's producer away. Returns: the error that the commit ends with."""
        meaning = self._meaning(error)
        self._discard_producer()
        forget_frames(error, meaning=meaning)
        return meaning

    def _meaning(self, error: StreamError | errors.KafkaError | OSError) -> StreamError:
        """What an error in the middle of a commit says about this worker."""
        first: BaseException = error
        if self._producer is not None and not isinstance(error, Misconfigured):
            first = producing.cause(self._producer, error)
        fencing = (
            errors.ProducerFencedError,
            errors.InvalidProducerEpochError,
            errors.FencedInstanceIdError,
        )
        if self._instance is not None and isinstance(first, fencing):
            self._fenced = True
            return Fenced.by_twin(self._instance)
        meant = first
        if not isinstance(meant, StreamError):
            meant = self._connection.translate(meant, "committing")
        if isinstance(meant, Fenced):
            self._fenced = True
        if isinstance(meant, CommitLost | Fenced | Misconfigured):
            return meant
        return CommitLost(f"{meant}; the committed offsets decide")

    def _commit_transaction(
        self, outputs: Sequence[Output], positions: Mapping[TopicPartition, OffsetAndMetadata]
    ) -> None:
        """Commit in one transaction; a producer that lost a connection meanwhile is dropped."""
        producer = self._ready_producer()
        watch = self._watch
        lost_n = watch.lost_n
        producer.begin_transaction()
        # Later than this the broker has aborted it.
        watch.deadline_s = time.monotonic() + self._timings.transaction_timeout_ms / 1000
        self._deliver(producer, outputs)
        if positions:
            producer.send_offsets_to_transaction(positions, self._metadata)
        producer.commit_transaction()
        if watch.lost_n > lost_n:
            self._discard_producer()  # the next one's epoch fences what may still arrive

    def _deliver(self, producer: KafkaProducer, outputs: Sequence[Output]) -> None:
        # Longer than the client tries, so that it says itself what failed.
        timeout_s = self._timings.transaction_timeout_ms / 1000
        producing.deliver(producer, self._connection, outputs, timeout_s=timeout_s)

    def _commit_offsets(self, positions: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        self._consumer.commit(dict(positions), timeout_ms=self._timings.transaction_timeout_ms)

    def committed(self, partitions: Collection[int]) -> dict[int, Committed]:
        """See `Log.committed`.

        A read_committed group asks for stable offsets (KIP-447): while another worker's transaction
        holds some of them, this waits, for at most 5 s.
        """
        self._stop_if_fenced()  # or a fenced worker's new producer would fence its younger twin
        if self._exactly_once:
            self._ready_producer()
            if self._takes_over and self._end_abandoned is not None:
                # Where that cannot be done the broker does it, later: the look-up waits for it.
                with suppress(Retryable, Misconfigured):
                    self._end_abandoned(self._transactional_id)
        found = {}
        # The client hands out the answer to a look-up that timed out to the next one that asks for
        # the same partition, however much later.
        self._consumer._coordinator._offset_fetch_futures.clear()  # noqa: SLF001
        with self._connection.translated("reading the committed offsets"):
            for partition in partitions:
                offset = self._consumer.committed(
                    TopicPartition(self._events, partition),
                    metadata=True,
                    timeout_ms=COMMITTED_TIMEOUT_MS,
                )
                if offset is not None:
                    found[partition] = Committed(offset.offset, from_metadata(offset.metadata))
        self._takes_over = False
        return found

    def close(self) -> None:
        """See `Log.close`."""
        self._discard_producer()
        try:
            self._consumer.close(autocommit=False, timeout_ms=LEAVE_MS)
        except (errors.KafkaError, OSError):
            # The broker is away: the session's timeout will tell it what this call could not.
            return
        finally:
            self._consumer._client.close()  # noqa: SLF001  # left open when leaving failed

    def _discard_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producing.discard(producer)
