"""A worker's place in the consumer group: what rebalances did, and which partitions flow."""

import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream.adapters.confluent.connection import Connection
from stream.config.timings import Timings
from stream.core.event import Channel

FETCH_BYTES_MAX = 4 << 20
QUEUED_KBYTES_MAX = 16 << 10
"""Read ahead of all partitions together; librdkafka's own is 64 MiB a partition."""

MAX_POLL_INTERVAL_MS = 300_000
SEEK_S = 5.0
STOPPED_S = 1.0
"""A fetcher that is not there for this long was stopped; a new one is there within milliseconds."""


class Membership:
    """Collects what rebalances did; `take` hands it on after each poll.

    The callbacks run within `poll` and `consume`, on the caller's thread.

    Args:
        instance: see `KafkaLog`.

    Raises: Retryable, Misconfigured.
    """

    def __init__(self, connection: Connection, *, timings: Timings, instance: str | None) -> None:
        self._topic = connection.names[Channel.EVENTS]
        self._revoked: set[int] = set()
        self._assigned: set[int] = set()
        self.owned: set[int] = set()
        self.flowing: dict[int, int] = {}  # partition -> the offset that it flows from
        static = {} if instance is None else {"group.instance.id": instance}
        self.consumer: Consumer = connection.make(
            Consumer,
            "joining the group",
            {
                "group.id": connection.group,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,  # tells where a partition stands: past markers
                # Where to begin is the worker's decision, never the client's.
                "auto.offset.reset": "error",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": timings.session_timeout_ms,
                "heartbeat.interval.ms": timings.heartbeat_interval_ms,
                "max.poll.interval.ms": max(MAX_POLL_INTERVAL_MS, timings.session_timeout_ms),
                "max.partition.fetch.bytes": FETCH_BYTES_MAX,
                "queued.max.messages.kbytes": QUEUED_KBYTES_MAX,
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 50,
                "fetch.queue.backoff.ms": 10,
                **static,
            },
        )
        self.consumer.subscribe(
            [self._topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def _on_assign(self, consumer: Consumer, assigned: Sequence[TopicPartition]) -> None:
        """Hold the new ones back until the worker seeks; any offset will do while paused.

        Librdkafka's own thread may fetch before they are: see `sorted_out` about `starts`.
        """
        held = [TopicPartition(tp.topic, tp.partition, 0) for tp in assigned]
        consumer.incremental_assign(held)
        if held:
            consumer.pause(held)
        for tp in assigned:
            self.flowing.pop(tp.partition, None)
            self.owned.add(tp.partition)
            self._assigned.add(tp.partition)

    def _on_revoke(self, consumer: Consumer, revoked: Sequence[TopicPartition]) -> None:
        """Called before other members get them."""
        consumer.incremental_unassign(list(revoked))
        self._gone(revoked)

    def _on_lost(self, consumer: Consumer, lost: Sequence[TopicPartition]) -> None:
        """Called when they may belong to others already."""
        consumer.incremental_unassign(list(lost))
        self._gone(lost)

    def _gone(self, partitions: Sequence[TopicPartition]) -> None:
        gone = {tp.partition for tp in partitions}
        self.owned -= gone
        for partition in gone:
            self.flowing.pop(partition, None)
        self._assigned -= gone
        self._revoked |= gone

    def take(self) -> tuple[frozenset[int], frozenset[int]]:
        """What changed since the last call: (revoked, assigned)."""
        revoked, assigned = frozenset(self._revoked), frozenset(self._assigned)
        self._revoked.clear()
        self._assigned.clear()
        return revoked, assigned

    def metadata(self) -> Any:
        """The group metadata, which fences a commit; None while this is no member."""
        member_id = self.consumer.memberid()
        if not member_id or self._revoked - self.owned:
            return None
        metadata = self.consumer.consumer_group_metadata()
        return metadata if self.consumer.memberid() == member_id else None

    def flow(self, partition: int, offset: int) -> None:
        """Let a partition flow from `offset` on. Raises: KafkaException."""
        tp = TopicPartition(self._topic, partition, offset)
        began_s, is_assigned_again = time.monotonic(), False
        while True:
            try:
                self.consumer.seek(tp)
            except KafkaException as error:
                # Right after the assignment the fetcher is not there yet.
                early = error.args[0].code() in (KafkaError._STATE, KafkaError._UNKNOWN_PARTITION)
                waited_s = time.monotonic() - began_s
                if not early or waited_s > SEEK_S:
                    raise
                if waited_s > STOPPED_S and not is_assigned_again:
                    # It was there, and what lies at offset 0 was not: that stopped it for good.
                    self.consumer.incremental_unassign([tp])
                    self.consumer.incremental_assign([tp])
                    is_assigned_again = True
                time.sleep(0.01)
            else:
                break
        self.consumer.resume([tp])
        self.flowing[partition] = offset

    def hold(self, partition: int) -> None:
        """Let nothing more of a partition come until `flow`. Raises: KafkaException."""
        self.consumer.pause([TopicPartition(self._topic, partition)])
        self.flowing.pop(partition, None)
