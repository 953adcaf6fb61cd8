"""How an upstream appends records, through librdkafka."""

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.adapters.confluent.connection import Connection, partitions
from stream.adapters.kafka.meaning import no_place, no_topic
from stream.core.event import Channel, Headers
from stream.errors import Retryable

BUFFERED_MAX = 50_000
DELIVERY_TIMEOUT_MS = 30_000
REQUEST_TIMEOUT_MS = 10_000
UNKNOWN_TOPIC_MS = 5_000

ANY_PARTITION = -1
"""librdkafka's word for the one that the key decides."""

UNKNOWN = (
    KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION,
)  # fmt: skip


class KafkaFeed:
    """See `stream.ports.Feed`. Raises: Retryable, Misconfigured."""

    def __init__(self, connection: Connection, *, channel: Channel = Channel.EVENTS) -> None:
        self._connection = connection
        self._channel = channel
        self._topic = connection.names[channel]
        self._partition_max = 0
        self._failure: KafkaError | None = None
        self._sent = 0
        self._producer: Producer = connection.make(
            Producer,
            "connecting",
            {
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 20,
                "batch.size": 256 << 10,
                "message.max.bytes": 64 << 20,
                "queue.buffering.max.messages": BUFFERED_MAX,
                "message.timeout.ms": DELIVERY_TIMEOUT_MS,
                "request.timeout.ms": REQUEST_TIMEOUT_MS,
                "topic.metadata.propagation.max.ms": UNKNOWN_TOPIC_MS,
                "delivery.report.only.error": True,
                # murmur2 as every other client does, so that a key keeps its partition.
                "partitioner": "murmur2_random",
                "on_delivery": self._heard,
            },
        )

    def _heard(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None and self._failure is None:
            self._failure = error

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
        if len(self._producer) >= BUFFERED_MAX:
            self._producer.flush(DELIVERY_TIMEOUT_MS / 1000)
        self._producer.poll(0)
        self._raise_failure()
        if partition is None:
            place = ANY_PARTITION
        else:
            place = partition
            self._partition_max = max(self._partition_max, partition)
        with self._connection.translated(f"sending to {self._topic}"):
            try:
                self._producer.produce(
                    self._topic, value, key, place, timestamp=timestamp_ms or 0,
                    headers=list(headers) or None,
                )  # fmt: skip
            except BufferError as error:
                raise Retryable(f"sending to {self._topic}: {error}") from error
            except KafkaException as error:
                self._failure = error.args[0]
                self._raise_failure()
                raise
        self._sent += 1

    def _raise_failure(self) -> None:
        """Raise the first delivery's failure as ours; a missing topic is named as such.

        So is a missing partition.
        """
        failure = self._failure
        if failure is None:
            return
        if failure.code() in UNKNOWN:
            there = partitions(self._producer, self._topic, self._connection)
            if not there:
                raise no_topic(self._channel, self._topic)
            wanted = self._partition_max
            why = no_place(self._channel, self._topic, there=there, partition=wanted)
            if why is not None:
                raise why
        raise self._connection.translate(failure, f"sending to {self._topic}")

    def flush(self, *, timeout_s: float) -> int:
        """See `Feed.flush`."""
        waiting_n = self._producer.flush(timeout_s)
        self._raise_failure()
        if waiting_n:
            raise Retryable(
                f"sending to {self._topic}: {waiting_n} records were not acknowledged within "
                f"{timeout_s:g} s; is Kafka at {self._connection.bootstrap_servers} reachable?"
            )
        return self._sent

    def close(self) -> None:
        """See `Feed.close`; what was not flushed may get lost."""
        self._producer.purge()
        self._producer.flush(0)
