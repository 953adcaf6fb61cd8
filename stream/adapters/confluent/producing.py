"""A producer that remembers the first delivery that failed, and whose end is an end."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.adapters.confluent.connection import (
    ADMIN_TIMEOUT_S,
    CLIENT_LOG,
    Connection,
    partitions,
)
from stream.adapters.kafka.log import RECORD_BYTES_MAX
from stream.adapters.kafka.meaning import no_place
from stream.core.event import Channel, Output
from stream.errors import CommitLost, Misconfigured, Retryable, StreamError

QUEUED_MAX = 500_000
IN_TRANSACTION_BACKOFF_MS = 5
"""The broker sends a transaction away whose predecessor's marks it still writes: for milliseconds,
and librdkafka's own 100 would be the latency. It doubles with each failure, up to a second."""

UNKNOWN_TOPIC_MS = 2_000
"""So long a topic that no broker knows is waited for; librdkafka's own is 30 s."""


_NO_PLACE = frozenset({
    KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION,
})  # fmt: skip

_LOSSES = ("FAIL", "REQTMOUT")
"""What librdkafka's log calls a connection that broke and a request that was not answered."""


def make(
    connection: Connection,
    doing: str,
    *,
    delivery_timeout_ms: int,
    request_timeout_ms: int,
    settings: Mapping[str, Any],
) -> "Deliveries":
    """A producer that waits for all replicas and never repeats a record.

    Raises: Retryable, Misconfigured.
    """
    deliveries = Deliveries(connection)
    deliveries.client = connection.make(
        Producer,
        doing,
        {
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "retry.backoff.ms": IN_TRANSACTION_BACKOFF_MS,
            "message.max.bytes": RECORD_BYTES_MAX,
            "queue.buffering.max.messages": QUEUED_MAX,
            "message.timeout.ms": delivery_timeout_ms,
            "request.timeout.ms": request_timeout_ms,
            "socket.timeout.ms": request_timeout_ms,
            "topic.metadata.propagation.max.ms": UNKNOWN_TOPIC_MS,
            "delivery.report.only.error": True,
            "on_delivery": deliveries.heard,
            "logger": deliveries,
            "log.connection.close": True,
            **settings,
        },
    )
    return deliveries


class Deliveries:
    """Follows the outputs that were handed to one producer.

    Attributes:
        client: librdkafka's producer.
    """

    client: Producer

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._failed: tuple[KafkaError, str | None, int | None] | None = None
        self._is_lost = False

    def log(self, level: int, text: str, facility: str, *arguments: object) -> None:
        """Librdkafka's hook for its log, within `poll` and `flush`.

        Nowhere else does it tell of every connection that was lost.
        """
        if facility in _LOSSES:
            self._is_lost = True
            level = logging.DEBUG  # it mends that itself
        CLIENT_LOG.log(level, text, facility, *arguments)

    def has_lost_a_connection(self) -> bool:
        """Whether a request may have been sent twice, and may still arrive once more."""
        self.client.poll(0)
        return self._is_lost

    def heard(self, error: KafkaError | None, message: Message) -> None:
        """Librdkafka's hook for a failed delivery, within `poll` and `flush`."""
        if error is not None and self._failed is None:
            self._failed = error, message.topic(), message.partition()

    def send(self, outputs: Sequence[Output]) -> None:
        """Hand outputs to the client. Raises: KafkaException; CommitLost: its queue stays full."""
        if len(self.client) + len(outputs) > QUEUED_MAX:
            self.client.flush(ADMIN_TIMEOUT_S)
        self._hand_over(iter(outputs), may_be_new=True)

    def _hand_over(self, outputs: Iterator[Output], *, may_be_new: bool) -> None:
        """Queue outputs in the client; one whose partition is new gets a second try."""
        produce, channel, topic = self.client.produce, None, ""
        try:
            for output in outputs:
                if output.channel is not channel:  # a look-up costs as much as half of `produce`
                    channel = output.channel
                    topic = self._connection.names[channel]
                headers: Any = list(output.headers) if output.headers else None
                # By position: names take a third of the call. The two None are its `callback`s.
                produce(
                    topic, output.value, output.key, output.partition,
                    None, None, output.timestamp_ms or 1, headers,  # 0 is its word for now
                )  # fmt: skip
        except KafkaException as error:
            if error.args[0].code() in _NO_PLACE:
                # Asked for the topic, the client hears of new partitions, too.
                if may_be_new and self._no_place(topic, output.partition) is None:
                    self._hand_over(chain([output], outputs), may_be_new=False)
                    return
                self._failed = error.args[0], topic, output.partition
            raise
        except BufferError as error:
            raise CommitLost(f"sending: {error}") from error

    def deliver(self, outputs: Sequence[Output], *, timeout_s: float) -> None:
        """Send outputs, and wait until each is acknowledged. Raises: KafkaException, CommitLost."""
        self.send(outputs)
        waiting_n = self.client.flush(timeout_s)
        if self._failed is not None:
            raise KafkaException(self._failed[0])
        if waiting_n:
            raise CommitLost(f"{waiting_n} outputs were not acknowledged within {timeout_s:g} s")

    def failed_with(self) -> int | None:
        """The code of the first delivery that failed; None: as far as known none did."""
        with suppress(KafkaException):  # a fatal one; the call that failed has said it already
            self.client.poll(0)
        return None if self._failed is None else self._failed[0].code()

    def failure(self) -> StreamError | None:
        """Why the first failed delivery failed; None: as far as known none did."""
        if self.failed_with() is None or self._failed is None:
            return None
        error, topic, partition = self._failed
        if error.code() in _NO_PLACE and topic is not None:
            return self._no_place(topic, partition or 0)
        if error.code() in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            return None
        return self._connection.translate(error, f"sending to {topic}")

    def _no_place(self, topic: str, partition: int) -> StreamError | None:
        """Say why an output has no place to go; a broker is asked, the client's view may be old."""
        names = self._connection.names
        channel = next(each for each in Channel if names[each] == topic)
        try:
            there = partitions(self.client, topic, self._connection)
        except (Retryable, Misconfigured) as error:
            return error
        return no_place(channel, topic, there=there, partition=partition)

    def discard(self) -> None:
        """End the producer for good, whatever the brokers do; nothing more of it is sent."""
        self.client.purge()
        del self.client
