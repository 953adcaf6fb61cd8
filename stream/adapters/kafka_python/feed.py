"""How an upstream appends records: idempotent, bounded, each acknowledged."""

from kafka import errors

from stream.adapters.kafka.meaning import no_place, no_topic
from stream.adapters.kafka_python import producing
from stream.adapters.kafka_python.connection import Connection
from stream.adapters.kafka_python.nulls import to_client
from stream.core.event import Channel, Headers
from stream.errors import Misconfigured, Retryable, StreamError

DELIVERY_TIMEOUT_MS = 60_000
REQUEST_TIMEOUT_MS = 15_000
METADATA_TIMEOUT_MS = 5_000
BUFFERED_MAX = 10_000
"""Records sent and not yet looked at; beyond it `send` waits for all of them."""


class KafkaFeed:
    """See `stream.ports.Feed`. Raises: Retryable, Misconfigured."""

    def __init__(self, connection: Connection, *, channel: Channel = Channel.EVENTS) -> None:
        self._connection = connection
        self._channel = channel
        self._topic = connection.names[channel]
        self._acknowledged = 0
        self._failure: BaseException | None = None
        self._sent = 0
        self._producer = producing.make(
            connection,
            "connecting",
            linger_ms=20,
            batch_size=256 << 10,
            max_request_size=64 << 20,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
            max_block_ms=METADATA_TIMEOUT_MS,
        )

    def send(
        self,
        value: bytes,
        *,
        key: bytes | None,
        timestamp_ms: int | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> None:
        """See `Feed.send`; without a key the records spread over the partitions."""
        self._raise_failure()
        with self._connection.translated(f"sending to {self._topic}"):
            try:
                future = self._producer.send(
                    self._topic, value, key, to_client(headers), partition, timestamp_ms,
                )  # fmt: skip
            except errors.KafkaTimeoutError as error:
                raise self._missing() or error from error
            except ValueError as error:  # a partition that this client does not know
                raise self._no_place(partition) or error from error
        self._sent += 1
        future.add_callback(self._on_success)
        future.add_errback(self._on_failure)
        if self._sent - self._acknowledged >= BUFFERED_MAX:
            self.flush(timeout_s=DELIVERY_TIMEOUT_MS / 1000)

    def _missing(self) -> Misconfigured | None:
        """Ask whether the topic is missing: the client looks long for one, and does not say so."""
        if self._connection.partitions([self._topic]):
            return None
        return no_topic(self._channel, self._topic)

    def _no_place(self, partition: int | None) -> StreamError | None:
        """Say why a partition is not there: ask a broker, the client may have heard too early."""
        if partition is None:
            return None
        there = self._connection.partitions([self._topic]).get(self._topic, 0)
        why = no_place(self._channel, self._topic, there=there, partition=partition)
        return why or Retryable(
            f"sending to {self._topic}: partition {partition} is new; try again"
        )

    def _on_success(self, _metadata: object) -> None:
        self._acknowledged += 1

    def _on_failure(self, error: BaseException) -> None:
        self._failure = error

    def _raise_failure(self) -> None:
        failure = self._failure
        if isinstance(failure, errors.KafkaError):
            raise self._connection.translate(failure, f"sending to {self._topic}") from failure
        if failure is not None:
            raise failure

    def flush(self, *, timeout_s: float) -> int:
        """See `Feed.flush`."""
        with self._connection.translated(f"sending to {self._topic}"):
            producing.flush(self._producer, self._is_all_delivered, timeout_s=timeout_s)
        self._raise_failure()
        return self._acknowledged

    def _is_all_delivered(self) -> bool:
        return self._acknowledged == self._sent or self._failure is not None

    def close(self) -> None:
        """See `Feed.close`; what was not flushed may get lost."""
        producing.discard(self._producer)
