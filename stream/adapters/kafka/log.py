"""What a worker's log on Kafka is, whatever the client: who it is, and what a lost commit means."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Container
from contextlib import suppress
from typing import Any, Generic, TypeVar

from stream.adapters.kafka.cluster import Cluster
from stream.adapters.kafka.transactional_ids import transactional_id
from stream.config.timings import Timings
from stream.core.event import Channel
from stream.errors import (
    CommitLost,
    Fenced,
    Internal,
    Misconfigured,
    Retryable,
    StreamError,
    forget_frames,
)

BATCH_BYTES = 512 << 10
RECORD_BYTES_MAX = 32 << 20
"""The largest record: a refused value of `limits.value_bytes_max`, at its largest, and its key."""

COMMITTED_TIMEOUT_S = 5.0

Producer = TypeVar("Producer")
Member = TypeVar("Member")


class MemberLog(ABC, Generic[Producer, Member]):
    """A group member, and one producer that is thrown away after any failure.

    Args:
        connection: reaches the cluster.
        timings: sessions, transactions, deliveries.
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
        connection: Cluster,
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
        self._producer: Producer | None = None
        if exactly_once:
            # Fencing first: it ends what a dead predecessor of this name left open, at once.
            self._ready_producer()
        try:
            self._membership = self._joined()
        except StreamError:
            self._discard_producer()
            raise
        self._begin()

    @abstractmethod
    def _begin(self) -> None:
        """Set what a member has beside its producer."""

    @abstractmethod
    def _joined(self) -> Member:
        """A member of the group. Raises: Retryable, Misconfigured."""

    @abstractmethod
    def _made(self, doing: str) -> Producer:
        """A new producer, transactional where it is exactly once. Raises: as `_joined`."""

    @abstractmethod
    def _take_id(self, producer: Producer) -> None:
        """Let a producer take the transactional id. Raises: the client's errors."""

    @abstractmethod
    def _end(self, producer: Producer) -> None:
        """End a producer for good, whatever the brokers do."""

    @abstractmethod
    def _meaning(self, error: Any) -> StreamError:
        """What an error in the middle of a commit says about this worker."""

    def _ready_producer(self) -> Producer:
        """The producer in hand, or a new one that has taken the transactional id already."""
        if self._producer is not None:
            return self._producer
        doing = "taking the transactional id"
        producer = self._made(doing)
        if self._exactly_once:
            try:
                with self._connection.translated(doing):
                    self._take_id(producer)
            except BaseException:
                self._end(producer)
                raise
        self._producer = producer
        return producer

    def _discard_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            self._end(producer)

    @property
    def _transaction_timeout_s(self) -> float:
        return self._timings.transaction_timeout_ms / 1000

    def _stop_if_fenced(self) -> None:
        if self._fenced:
            raise Fenced.by_twin(self._instance)

    def _check_own(self, doing: str, partition: int, owned: Container[int]) -> None:
        """Refuse to touch what is not ours. Raises: Internal."""
        if partition not in owned:
            raise Internal(f"{doing} partition {partition}, which is not assigned to this worker")

    def _check_member(self, *, is_member: bool) -> None:
        """Let only a member commit: of others Kafka accepts it unfenced, and offsets may go back.

        Raises: CommitLost.
        """
        if not is_member:
            raise CommitLost("this worker is not a member of the group any more")

    def _given_up(self, error: BaseException) -> StreamError:
        """Throw a failed commit's producer away. Returns: the error that the commit ends with."""
        meaning = self._meaning(error)
        self._discard_producer()
        forget_frames(error, meaning=meaning)
        return meaning

    def _lost(self, why: StreamError) -> StreamError:
        """What a commit that failed ends with: but for what must stop us, the offsets decide."""
        if isinstance(why, Fenced):
            self._fenced = True
        if isinstance(why, CommitLost | Fenced | Misconfigured):
            return why
        return CommitLost(f"{why}; the committed offsets decide")

    def _end_what_others_left(self) -> None:
        """End what the dead nameless workers left open whose partitions were taken over, if any."""
        if self._takes_over and self._end_abandoned is not None:
            # Where that cannot be done the broker does it, later: the look-up waits for it.
            with suppress(Retryable, Misconfigured):
                self._end_abandoned(self._transactional_id)
