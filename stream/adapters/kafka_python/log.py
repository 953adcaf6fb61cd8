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
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition, errors

from stream.adapters.kafka.log import (
    COMMITTED_TIMEOUT_S,
    RECORD_BYTES_MAX,
    MemberLog,
)
from stream.adapters.kafka_python import producing
from stream.adapters.kafka_python.connection import Connection, from_metadata, to_metadata
from stream.adapters.kafka_python.membership import Membership
from stream.adapters.kafka_python.records import converted
from stream.adapters.kafka_python.watch import Watch
from stream.core.event import Output
from stream.errors import Fenced, Misconfigured, StreamError
from stream.ports import Committed, Polled

LEAVE_MS = 2_000


class KafkaLog(MemberLog[KafkaProducer, Membership]):
    """See `stream.ports.Log`, and `MemberLog` for its arguments."""

    _connection: Connection
    _watch: Watch  # over a transactional producer that is there

    def _joined(self) -> Membership:
        return Membership(self._connection, timings=self._timings, instance=self._instance)

    def _begin(self) -> None:
        self._consumer = self._membership.consumer
        self._metadata = self._consumer.group_metadata()

    def _made(self, doing: str) -> KafkaProducer:
        """See `MemberLog`; each of its calls ends in time for the broker's own time-out."""
        timings = self._timings
        settings: dict[str, Any] = {
            "linger_ms": 5,
            "batch_size": self._batch_bytes,
            "max_request_size": RECORD_BYTES_MAX,
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
        return producing.make(self._connection, doing, **settings)

    def _take_id(self, producer: KafkaProducer) -> None:
        producer.init_transactions()
        self._watch = Watch(producer)

    def _end(self, producer: KafkaProducer) -> None:
        producing.discard(producer)

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
        super()._stop_if_fenced()

    def seek(self, partition: int, offset: int) -> None:
        """See `Log.seek`."""
        tp = TopicPartition(self._events, partition)
        self._check_own("seek in", partition, self._mine())
        with self._connection.translated(f"seeking to {offset} in partition {partition}"):
            self._consumer.seek(tp, offset)
            self._consumer.resume(tp)

    def _mine(self) -> set[int]:
        return {tp.partition for tp in self._consumer.assignment()}

    def pause(self, partition: int) -> None:
        """See `Log.pause`; polling goes on, and so does the membership."""
        tp = TopicPartition(self._events, partition)
        self._check_own("pause of", partition, self._mine())
        self._consumer.pause(tp)

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """See `Log.commit`.

        It ends by itself, whatever the brokers do: when they are silent after two request timeouts,
        when they are away, or refuse for ever, once the transaction's time is over.
        """
        self._stop_if_fenced()
        if not outputs and not offsets:
            return
        metadata = self._metadata
        self._check_member(is_member=metadata.generation_id >= 0 and bool(metadata.member_id))
        positions = {
            TopicPartition(self._events, p): OffsetAndMetadata(
                c.offset, to_metadata(c.metadata), -1
            )
            for p, c in offsets.items()
        }
        names = self._connection.names
        for p, c in offsets.items():
            for channel, offset in c.others.items():
                positions[TopicPartition(names[channel], p)] = OffsetAndMetadata(offset, "", -1)
        try:
            if self._exactly_once:
                self._commit_transaction(outputs, positions)
            else:
                self._deliver(self._ready_producer(), outputs)
                if positions:
                    self._commit_offsets(positions)
        except (StreamError, errors.KafkaError, OSError) as error:
            raise self._given_up(error) from error

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
        return self._lost(meant)

    def _commit_transaction(
        self, outputs: Sequence[Output], positions: Mapping[TopicPartition, OffsetAndMetadata]
    ) -> None:
        """Commit in one transaction; a producer that lost a connection meanwhile is dropped."""
        producer = self._ready_producer()
        watch = self._watch
        lost_n = watch.lost_n
        producer.begin_transaction()
        # Later than this the broker has aborted it.
        watch.deadline_s = time.monotonic() + self._transaction_timeout_s
        self._deliver(producer, outputs)
        if positions:
            producer.send_offsets_to_transaction(positions, self._metadata)
        producer.commit_transaction()
        if watch.lost_n > lost_n:
            self._discard_producer()  # the next one's epoch fences what may still arrive

    def _deliver(self, producer: KafkaProducer, outputs: Sequence[Output]) -> None:
        # Longer than the client tries, so that it says itself what failed.
        timeout_s = self._transaction_timeout_s
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
            self._end_what_others_left()
        found = {}
        # The client hands out the answer to a look-up that timed out to the next one that asks for
        # the same partition, however much later.
        self._consumer._coordinator._offset_fetch_futures.clear()  # noqa: SLF001
        with self._connection.translated("reading the committed offsets"):
            for partition in partitions:
                offset = self._consumer.committed(
                    TopicPartition(self._events, partition),
                    metadata=True,
                    timeout_ms=round(1000 * COMMITTED_TIMEOUT_S),
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
