"""The worker's log on librdkafka: a group member, and one transactional producer.

librdkafka aborts a transaction in which a delivery failed and keeps no offsets of an aborted one,
so much of what the kafka-python adapter has to mend is right here. What remains:

- group metadata is taken right after each `poll()`, and only of a member: Kafka does not fence a
  commit without a generation;
- after any failure the producer is thrown away, and the next one of its transactional id ends what
  it left open; then the committed offsets decide;
- so it is after a commit that succeeded although a connection broke: a request was sent again, and
  the first one may still arrive, in the middle of the next transaction (KAFKA-17754);
- sending the offsets may hang for good: then it is left behind, as a failure (`calls.py`);
- partitions are assigned paused and flow once the worker has told them where to begin;
- a producer is fenced by another's and by its own transaction's time-out alike: after the time-out
  the group decides whether another worker has our name;
- it cannot ask a cluster for its open transactions: `end_abandoned` comes from outside.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream.adapters.confluent import producing
from stream.adapters.confluent.calls import Calls
from stream.adapters.confluent.connection import Connection, partitions, positions_of, unreadable
from stream.adapters.confluent.membership import Membership
from stream.adapters.confluent.records import polled, sorted_out
from stream.adapters.kafka.log import COMMITTED_TIMEOUT_S, MemberLog
from stream.adapters.kafka.meaning import no_topic
from stream.core.event import Channel, Output, Record
from stream.errors import Fenced, Internal, Misconfigured, Retryable, StreamError
from stream.ports import Committed, Polled

SEEK_S = 5.0
COMMIT_S_MIN = 0.1
MISSING_S = 2.0
"""A topic that no broker showed for this long is missing, and not only new."""

HEARTBEATS_N = 2
"""After so many the group has told a living member that another has its name."""

_FENCING = frozenset({
    KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.FENCED_INSTANCE_ID,
})  # fmt: skip


class KafkaLog(MemberLog[producing.Deliveries, Membership]):
    """See `stream.ports.Log`, and `MemberLog` for its arguments.

    What dead workers left open only a nameless one ends: those with a name need not pay for another
    client.
    """

    _connection: Connection

    def _begin(self) -> None:
        """See `MemberLog`."""
        self._consumer: Consumer = self._membership.consumer
        self._metadata: Any = None
        self._trouble: Retryable | None = None
        self._begun_s = 0.0
        self._listen_until_s = 0.0
        self._seen_at = time.monotonic()
        self._ends: dict[int, int] = {}
        self._calls = Calls()

    def _joined(self) -> Membership:
        return Membership(self._connection, timings=self._timings, instance=self._instance)

    def _made(self, doing: str) -> producing.Deliveries:
        """See `MemberLog`; librdkafka cuts no batch up that a topic refused."""
        timings = self._timings
        settings: dict[str, Any] = {"batch.size": self._batch_bytes}
        if self._exactly_once:
            settings |= {
                "transactional.id": self._transactional_id,
                "transaction.timeout.ms": timings.transaction_timeout_ms,
            }
        return producing.make(
            self._connection, doing, delivery_timeout_ms=timings.delivery_timeout_ms,
            request_timeout_ms=timings.request_timeout_ms, settings=settings,
        )  # fmt: skip

    def _take_id(self, producer: producing.Deliveries) -> None:
        producer.client.init_transactions(self._transaction_timeout_s)

    def _end(self, producer: producing.Deliveries) -> None:
        producer.discard()

    def poll(self, *, timeout_s: float, records_max: int) -> Polled:
        """See `Log.poll`."""
        self._stop_if_fenced()
        late = self._trouble
        if late is not None:
            self._trouble = None
            raise late
        doing = "polling"
        try:
            messages = polled(self._consumer, timeout_s=timeout_s, records_max=records_max)
            self._metadata = self._membership.metadata()
        except KafkaException as error:
            meaning = self._connection.translate(error.args[0], doing)
            if isinstance(meaning, Retryable):
                # A rebalance that broke off; and records that came with it will not come again.
                meaning = Internal(f"{meaning}; this process must start again")
            raise meaning from error
        try:
            records, ends, trouble = sorted_out(
                messages, self._connection, doing, starts=self._membership.flowing
            )
        except Fenced:
            self._fenced = True
            raise
        self._remember_ends(records, ends)
        if trouble is not None:
            if not records:
                raise trouble
            self._trouble = trouble  # with the next poll: these records would not come again
        # What a rebalance did is told once: whatever may raise comes before.
        self._check_topic()
        revoked, assigned = self._membership.take()
        self._takes_over = self._takes_over or bool(assigned)
        for partition in revoked | assigned:
            self._ends.pop(partition, None)
        flowing = self._membership.flowing
        records = {p: batch for p, batch in records.items() if p in flowing}
        if records:
            return Polled(records, revoked, assigned, {})
        positions = {p: offset for p, offset in self._ends.items() if p in flowing}
        return Polled(records, revoked, assigned, positions)

    def _remember_ends(
        self, records: Mapping[int, Sequence[Record]], ends: Mapping[int, int]
    ) -> None:
        """Keep what librdkafka tells only once: where a partition ends."""
        for partition in records:
            self._ends.pop(partition, None)
        for partition, end in ends.items():
            if partition not in records or end > records[partition][-1].offset:
                self._ends[partition] = end

    def _check_topic(self) -> None:
        """Notice a missing topic: the group itself says nothing, it has just nothing to assign."""
        now = time.monotonic()
        if self._membership.owned:
            self._seen_at = now
        elif now - self._seen_at > MISSING_S:
            if not partitions(self._consumer, self._events, self._connection):
                raise no_topic(Channel.EVENTS, self._events)
            self._seen_at = now

    def seek(self, partition: int, offset: int) -> None:
        """See `Log.seek`."""
        self._check_own("seek in", partition, self._membership.owned)
        self._ends.pop(partition, None)
        with self._connection.translated(f"seeking to {offset} in partition {partition}"):
            self._membership.flow(partition, offset)

    def pause(self, partition: int) -> None:
        """See `Log.pause`; polling goes on, and so does the membership."""
        self._check_own("pause of", partition, self._membership.owned)
        try:
            self._membership.hold(partition)
        except KafkaException as error:
            raise Internal(f"partition {partition} cannot be paused: {error.args[0]}") from error

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """See `Log.commit`."""
        self._stop_if_fenced()
        self._calls.check()
        if not outputs and not offsets:
            return
        self._check_member(is_member=self._metadata is not None)
        positions = [
            TopicPartition(self._events, p, c.offset, c.metadata) for p, c in offsets.items()
        ]
        names = self._connection.names
        positions += [
            TopicPartition(names[channel], p, offset)
            for p, c in offsets.items()
            for channel, offset in c.others.items()
        ]
        try:
            producer = self._ready_producer()
            if self._exactly_once:
                self._commit_transaction(producer, outputs, positions)
                if producer.has_lost_a_connection():
                    self._discard_producer()
            else:
                producer.deliver(outputs, timeout_s=self._transaction_timeout_s)
                if positions:
                    self._consumer.commit(offsets=positions, asynchronous=False)
        except (StreamError, KafkaException) as error:
            raise self._given_up(error) from error

    def _commit_transaction(
        self,
        producer: producing.Deliveries,
        outputs: Sequence[Output],
        positions: Sequence[TopicPartition],
    ) -> None:
        """Commit outputs and offsets in one transaction, within the broker's time for it."""
        timeout_s, client = self._transaction_timeout_s, producer.client
        self._begun_s = time.monotonic()
        deadline_s = self._begun_s + timeout_s  # later the broker has aborted it
        client.begin_transaction()
        producer.send(outputs)
        if positions:
            send_offsets = partial(
                client.send_offsets_to_transaction, list(positions), self._metadata, timeout_s
            )
            self._calls.within(timeout_s, send_offsets, "sending the offsets")
        client.commit_transaction(max(COMMIT_S_MIN, deadline_s - time.monotonic()))

    def _meaning(self, error: StreamError | KafkaException) -> StreamError:
        """What an error in the middle of a commit says about this worker."""
        producer = self._producer
        # A delivery may have heard of it before a call did.
        codes = {None if producer is None else producer.failed_with()}
        if isinstance(error, KafkaException):
            codes.add(error.args[0].code())
            first = self._connection.translate(error.args[0], "committing")
        else:
            first = error
        is_fenced = self._instance is not None and bool(codes & _FENCING)
        if is_fenced and self._may_have_timed_out(codes):
            # A twin would be in the group by now, or soon; a new producer would fence the twin.
            heartbeat_s = self._timings.heartbeat_interval_ms / 1000
            self._listen_until_s = time.monotonic() + HEARTBEATS_N * heartbeat_s
            is_fenced = False
        if is_fenced:
            first = Fenced.by_twin(self._instance)
        elif producer is not None:
            first = producer.failure() or first
        return self._lost(first)

    def _may_have_timed_out(self, codes: AbstractSet[int | None]) -> bool:
        """Whether a time-out explains this fencing, without another worker of our name.

        A broker fences the producer of a transaction that timed out, too; never the member of it.
        """
        open_s = time.monotonic() - self._begun_s
        is_member_fenced = KafkaError.FENCED_INSTANCE_ID in codes
        return not is_member_fenced and open_s >= self._transaction_timeout_s

    def committed(self, partitions: Collection[int]) -> dict[int, Committed]:
        """See `Log.committed`.

        A read_committed group asks for stable offsets (KIP-447): while another worker's transaction
        holds some of them, this waits, for at most 5 s.
        """
        self._stop_if_fenced()  # or a fenced worker's new producer would fence its younger twin
        if self._exactly_once:
            if time.monotonic() < self._listen_until_s:
                raise Retryable(f'is there another worker as instance "{self._instance}"? wait')
            self._ready_producer()
            if self._instance is None:
                self._end_what_others_left()
        wanted = [TopicPartition(self._events, partition) for partition in partitions]
        if not wanted:
            return {}
        doing = "reading the committed offsets"
        with self._connection.translated(doing):
            try:
                found = self._consumer.committed(wanted, timeout=COMMITTED_TIMEOUT_S)
            except UnicodeDecodeError as error:
                raise Misconfigured(unreadable(self._connection.group)) from error
        positions = positions_of(found, self._connection, doing)
        self._takes_over = False
        return positions

    def close(self) -> None:
        """See `Log.close`."""
        self._discard_producer()
        self._consumer.close()
