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
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream.adapters.confluent import producing
from stream.adapters.confluent.calls import Calls
from stream.adapters.confluent.connection import Connection, partitions, unreadable
from stream.adapters.confluent.membership import Membership
from stream.adapters.confluent.records import polled, sorted_out
from stream.config.timings import Timings
from stream.core.event import Channel, Output, Record
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

COMMITTED_TIMEOUT_S = 5.0
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


class KafkaLog:
    """See `stream.ports.Log`.

    Args:
        instance: stable name of this process: static membership and a stable transactional id.
        exactly_once: False = at-least-once: an idempotent producer, offsets committed after it.
        end_abandoned: given our transactional id, ends what the group's dead nameless workers left
            open. Called by a nameless worker that takes partitions over; those with a name need not
            pay for another client. None: the broker does it, up to ten seconds later.
        record_bytes_max: some topic takes no larger batch; None: all take usual ones. librdkafka
            cuts none up that a topic refused.

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
        self._batch_bytes = min(producing.BATCH_BYTES, record_bytes_max or producing.BATCH_BYTES)
        self._takes_over = False
        self._fenced = False
        self._trouble: Retryable | None = None
        self._begun_s = 0.0
        self._listen_until_s = 0.0
        self._seen_at = time.monotonic()
        self._producer: producing.Deliveries | None = None
        if exactly_once:
            # Fencing first: it ends what a dead predecessor of this name left open, at once.
            self._ready_producer()
        try:
            self._membership = Membership(connection, timings=timings, instance=instance)
        except StreamError:
            self._discard_producer()
            raise
        self._consumer: Consumer = self._membership.consumer
        self._metadata: Any = None
        self._ends: dict[int, int] = {}
        self._calls = Calls()

    def _ready_producer(self) -> producing.Deliveries:
        """The producer in hand, or a new one that has taken the transactional id already."""
        if self._producer is not None:
            return self._producer
        timings = self._timings
        settings: dict[str, Any] = {"batch.size": self._batch_bytes}
        if self._exactly_once:
            settings |= {
                "transactional.id": self._transactional_id,
                "transaction.timeout.ms": timings.transaction_timeout_ms,
            }
        doing = "taking the transactional id"
        producer = producing.make(
            self._connection, doing, delivery_timeout_ms=timings.delivery_timeout_ms,
            request_timeout_ms=timings.request_timeout_ms, settings=settings,
        )  # fmt: skip
        if self._exactly_once:
            try:
                with self._connection.translated(doing):
                    producer.client.init_transactions(self._transaction_timeout_s)
            except BaseException:
                producer.discard()
                raise
        self._producer = producer
        return producer

    @property
    def _transaction_timeout_s(self) -> float:
        return self._timings.transaction_timeout_ms / 1000

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
                raise Misconfigured(f"topics.events: {self._events} does not exist; create it")
            self._seen_at = now

    def _stop_if_fenced(self) -> None:
        if self._fenced:
            raise Fenced.by_twin(self._instance)

    def seek(self, partition: int, offset: int) -> None:
        """See `Log.seek`."""
        if partition not in self._membership.owned:
            raise Internal(f"seek in partition {partition}, which is not assigned to this worker")
        self._ends.pop(partition, None)
        with self._connection.translated(f"seeking to {offset} in partition {partition}"):
            self._membership.flow(partition, offset)

    def pause(self, partition: int) -> None:
        """See `Log.pause`; polling goes on, and so does the membership."""
        if partition not in self._membership.owned:
            raise Internal(f"pause of partition {partition}, which is not assigned to this worker")
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
        if self._metadata is None:
            # Kafka would accept such a commit unfenced, and the group's offset could go back.
            raise CommitLost("this worker is not a member of the group any more")
        positions = [
            TopicPartition(self._events, p, c.offset, c.metadata) for p, c in offsets.items()
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

    def _given_up(self, error: StreamError | KafkaException) -> StreamError:
        """Throw a failed commit's producer away. Returns: the error that the commit ends with."""
        meaning = self._meaning(error)
        self._discard_producer()
        forget_frames(error, meaning=meaning)
        return meaning

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
        producer, first = self._producer, error
        # A delivery may have heard of it before a call did.
        codes = {None if producer is None else producer.failed_with()}
        if isinstance(error, KafkaException):
            codes.add(error.args[0].code())
            first = self._connection.translate(error.args[0], "committing")
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
        if isinstance(first, Fenced):
            self._fenced = True
        if isinstance(first, CommitLost | Fenced | Misconfigured):
            return first
        return CommitLost(f"{first}; the committed offsets decide")

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
            if self._takes_over and self._instance is None and self._end_abandoned is not None:
                # Where that cannot be done the broker does it, later: the look-up waits for it.
                with suppress(Retryable, Misconfigured):
                    self._end_abandoned(self._transactional_id)
        wanted = [TopicPartition(self._events, partition) for partition in partitions]
        if not wanted:
            return {}
        doing = "reading the committed offsets"
        with self._connection.translated(doing):
            try:
                found = self._consumer.committed(wanted, timeout=COMMITTED_TIMEOUT_S)
            except UnicodeDecodeError as error:
                raise Misconfigured(unreadable(self._connection.group)) from error
        for each in found:
            if each.error is not None:
                raise self._connection.translate(each.error, doing)
        self._takes_over = False
        return {
            each.partition: Committed(each.offset, each.metadata or "")
            for each in found
            if each.offset >= 0
        }

    def close(self) -> None:
        """See `Log.close`."""
        self._discard_producer()
        self._consumer.close()

    def _discard_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.discard()
