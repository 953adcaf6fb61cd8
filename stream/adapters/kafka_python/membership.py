"""A worker's place in the consumer group, seen as it is and not only as the client tells it."""

import time
from collections.abc import Callable, Collection
from typing import Any

from kafka import (
    ConsumerGroupMetadata,
    ConsumerRebalanceListener,
    KafkaConsumer,
    TopicPartition,
)
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from stream.adapters.kafka.meaning import no_topic
from stream.adapters.kafka_python.connection import Connection
from stream.adapters.kafka_python.records import tolerate
from stream.config.timings import Timings
from stream.core.event import Channel

FETCH_BYTES_MAX = 4 << 20
"""Of one partition: large fetches amortise kafka-python's cost a request."""

MISSING_S = 2.0
"""A topic that no broker showed for this long is missing, and not only new."""

ROUND_S = 0.05
"""The longest that one round of the client's poll waits while a heartbeat is overdue."""

METADATA_MAX_AGE_MS = 30_000
"""So soon a new partition is noticed; the client's own five minutes are too long to go unread."""


class _Joined:
    """A join that is over, for the client to find: it drops those that say so with `is_done`."""

    is_done = False

    def __init__(self, assignment: bytes) -> None:
        self._assignment = assignment

    def add_callback(self, tell: Callable[[bytes], object]) -> None:
        """Call back at once, for the join is over."""
        tell(self._assignment)

    def add_errback(self, tell: Callable[[BaseException], object]) -> None:
        """There is no error to tell."""


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # untyped; the client demands the class
    """Collects what rebalances did; `take` hands it on after each poll.

    The listener's methods run on the client's own thread, which sends the heartbeats: nothing in
    them blocks.

    Args:
        instance: see `KafkaLog`.

    Raises: Retryable, Misconfigured.
    """

    def __init__(self, connection: Connection, *, timings: Timings, instance: str | None) -> None:
        self._connection = connection
        self._topic = connection.names[Channel.EVENTS]
        self._instance = instance
        self._member_id = ""
        self._owned: set[int] = set()
        self._revoked: set[int] = set()
        self._assigned: set[int] = set()
        self._seen_at = time.monotonic()
        self._joined_for: int | None = None
        static = {} if instance is None else {"group_instance_id": instance}
        self.consumer: KafkaConsumer = connection.make(
            KafkaConsumer,
            "joining the group",
            group_id=connection.group,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",  # where to begin is the worker's decision, never the client's
            allow_auto_create_topics=False,
            partition_assignment_strategy=[CooperativeStickyAssignor],
            session_timeout_ms=timings.session_timeout_ms,
            heartbeat_interval_ms=timings.heartbeat_interval_ms,
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            fetch_max_bytes=8 * FETCH_BYTES_MAX,
            fetch_max_wait_ms=100,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            metrics_enabled=False,
            **static,
        )
        tolerate(self.consumer)
        self._slow_down()
        self._look_again()
        self.consumer.subscribe([self._topic], listener=self)

    def _slow_down(self) -> None:
        """Let a poll wait although a heartbeat is overdue: another thread sends those.

        While a broker hangs, the client's poll goes round without a pause otherwise, and every
        round leaves a callback at the fetch that is under way: a core and 13 MB a second, measured.
        """
        coordinator: Any = self.consumer._coordinator  # noqa: SLF001
        soonest_s: Callable[[], float] = coordinator.time_to_next_poll
        coordinator.time_to_next_poll = lambda: max(ROUND_S, soonest_s())

    def _look_again(self) -> None:
        """Find an answer that comes between the client's look for one and its next request.

        It has no request under way then, takes that for having nothing to wait for, and sleeps for
        100 ms with the records in hand: some times a second, at 1,000 events/s.
        """
        fetcher: Any = self.consumer._fetcher  # noqa: SLF001
        fetch: Callable[..., tuple[Any, bool]] = fetcher.fetch_records

        def fetch_records(
            max_records: int, *, update_offsets: bool, timeout_ms: float
        ) -> tuple[Any, bool]:
            records, is_idle = fetch(
                max_records, update_offsets=update_offsets, timeout_ms=timeout_ms
            )
            if not is_idle or not fetcher._completed_fetches:  # noqa: SLF001
                return records, is_idle
            # Even if it holds no record: the next one can be asked for now.
            records, _ = fetcher.fetched_records(max_records, update_offsets=update_offsets)
            return records, False

        fetcher.fetch_records = fetch_records

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Called before other members get them."""
        gone = {tp.partition for tp in revoked}
        self._owned -= gone
        self._assigned -= gone
        self._revoked |= gone

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """Called when they may belong to others already, before this joins again.

        The client would claim them all the same: the group's leader would keep some of them for
        this member in this round, it would give none of them up, and no next round would come.
        """
        for assignor in self.consumer._coordinator._assignors.values():  # noqa: SLF001
            assignor.member_assignment = None
        self.on_partitions_revoked(lost)

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Hold the new ones back until the worker seeks."""
        for tp in assigned:
            self._hold(tp)
            self._owned.add(tp.partition)
            self._assigned.add(tp.partition)

    def _hold(self, tp: TopicPartition) -> None:
        self.consumer.pause(tp)
        # Any position will do while paused; without one the client would ask for its reset policy.
        self.consumer.seek(tp, 0)

    def take(self, metadata: ConsumerGroupMetadata) -> tuple[frozenset[int], frozenset[int]]:
        """What changed since the last call.

        Args:
            metadata: the group's, as it is after the poll.

        Returns: (revoked, assigned).
        """
        if metadata.member_id and metadata.member_id != self._member_id:
            if self._member_id:
                self._regain()
            self._member_id = metadata.member_id
        self._join_for_all()
        revoked, assigned = frozenset(self._revoked), frozenset(self._assigned)
        self._revoked.clear()
        self._assigned.clear()
        return revoked, assigned

    def _regain(self) -> None:
        """Report the loss of partitions that the client passed over.

        A member that was thrown out while it was joining comes back under another id, and the
        client then tells only of partitions that it did not have before: but in between they may
        have been another worker's, who committed.
        """
        for partition in self._owned - self._assigned:
            self._revoked.add(partition)
            self._assigned.add(partition)
            self._hold(TopicPartition(self._topic, partition))

    def _join_for_all(self) -> None:
        """Join again when the topic's partitions may be others than the group has shared out.

        Only the group's leader looks after new ones, and a leader with a stable instance name that
        was started again does not know that it leads: the broker gives it what its predecessor had,
        without a rebalance, be it nothing (KIP-814 mends it in later protocols). Asked again, the
        leader's join shares all out anew, and another's changes nothing.
        """
        coordinator: Any = self.consumer._coordinator  # noqa: SLF001
        partitions_n = len(self._known())
        if not partitions_n or not coordinator.stable() or coordinator.rejoining:
            return
        if self._joined_for is None and (
            self._instance is None or len(self._owned) == partitions_n
        ):
            self._joined_for = partitions_n
        if self._joined_for != partitions_n:
            self._joined_for = partitions_n
            coordinator.request_rejoin()

    def _known(self) -> set[int]:
        """The topic's partitions, as far as the client knows."""
        return self.consumer._cluster.partitions_for_topic(self._topic) or set()  # noqa: SLF001

    def mend(self) -> None:
        """Keep a join from getting lost that began in one poll and is to end in the next.

        The client forgets that it is joining when it does so because the topic's partitions became
        known or more, and then waits for ever, without heartbeats. And a join that ended between
        two polls it throws away and begins another one, which disturbs the whole group again; with
        short polls, as a worker makes them while it restores, that does not end.
        """
        coordinator: Any = self.consumer._coordinator  # noqa: SLF001
        if not coordinator.rejoining:
            return
        coordinator.request_rejoin()
        join = coordinator._join_task  # noqa: SLF001
        if join is not None and join.is_done and join.succeeded():
            coordinator._join_task = _Joined(join.value)  # noqa: SLF001

    def fenced(self) -> bool:
        """Whether another process took our instance name.

        The client only logs it and stops its heartbeats. A member that is joining has none either.
        """
        if self._instance is None:
            return False
        coordinator: Any = self.consumer._coordinator  # noqa: SLF001  # no public sign of it
        return bool(
            coordinator.stable()
            and not coordinator.rejoining
            and not coordinator._heartbeat_enabled  # noqa: SLF001
        )

    def check_topic(self) -> None:
        """Notice a missing topic: the group itself says nothing, it has just nothing to assign.

        Raises: Misconfigured, Retryable.
        """
        now = time.monotonic()
        if self._owned or self._known():
            self._seen_at = now
            return
        # The answer to a question from before the subscription makes the client forget to ask.
        self.consumer._cluster.request_update()  # noqa: SLF001
        if now - self._seen_at > MISSING_S:
            if not self._connection.partitions([self._topic]):
                raise no_topic(Channel.EVENTS, self._topic)
            self._seen_at = now
