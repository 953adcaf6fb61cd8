"""The client's producer, held to what it should do: every delivery looked at, its end an end."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from kafka import KafkaProducer, errors
from kafka.serializer import Serializer

from stream.adapters.kafka_python.connection import Connection
from stream.core.event import Channel, Output
from stream.errors import CommitLost, Misconfigured, Retryable, StreamError

END_S = 2.0
"""How long a sender thread may take to end; with its connections closed it takes about 10 ms."""

IN_TRANSACTION_BACKOFF_MS = 5
"""The broker answers CONCURRENT_TRANSACTIONS while it writes the last transaction's markers, and
the client then waits its whole back-off: 100 ms, its default, made a commit take 109 ms, 5 ms makes
it 5."""

SPLIT_BATCH_S = 0.005


class _Null:
    """A value that is not there."""


NULL = _Null()


class _NullSerializer(Serializer):  # type: ignore[misc]  # untyped; the client demands the class
    """Lets a record with neither key nor value pass, which the client refuses."""

    def serialize(
        self,
        topic: str,  # noqa: ARG002
        headers: Sequence[tuple[str, bytes]],  # noqa: ARG002
        data: bytes | _Null,
    ) -> bytes | None:
        """The client's hook."""
        return None if isinstance(data, _Null) else data


def make(connection: Connection, doing: str, **settings: Any) -> KafkaProducer:
    """A producer that waits for all replicas, never repeats a record and makes no topic.

    Raises: Retryable, Misconfigured.
    """
    producer: KafkaProducer = connection.make(
        KafkaProducer,
        doing,
        acks="all",
        enable_idempotence=True,
        allow_auto_create_topics=False,
        value_serializer=_NullSerializer(),
        metrics_enabled=False,
        **settings,
    )
    return producer


class Resent:
    """Knows whether a transactional request may still be on its way after its answer came.

    When a connection breaks the client sends its request again over another one; the first may
    arrive later. Brokers take it for a part of the producer's *next* transaction: an EndTxn commits
    half of that one, a TxnOffsetCommit takes the group's offset back (KAFKA-17754). Only a new
    producer epoch makes brokers refuse it.
    """

    def __init__(self, producer: KafkaProducer) -> None:
        manager = producer._transaction_manager  # noqa: SLF001  # no public way to hear of it
        self._look_up = manager._lookup_coordinator  # noqa: SLF001
        self._looked_up: set[object] = set()
        self.happened = False
        manager._lookup_coordinator = self._heard  # noqa: SLF001

    def _heard(self, kind: object, key: object) -> None:
        # The client looks for a coordinator at first, and then whenever it lost the last one.
        self.happened = self.happened or kind in self._looked_up
        self._looked_up.add(kind)
        self._look_up(kind, key)


def deliver(
    producer: KafkaProducer, connection: Connection, outputs: Sequence[Output], *, timeout_s: float
) -> None:
    """Send, and wait until each is acknowledged.

    Raises:
        Misconfigured: a topic or partition is missing, or a topic refuses a record for good.
        CommitLost: one was not delivered.
        errors.KafkaError: the client's own; `cause` says what it means.
    """
    names, send = connection.names, producer.send
    try:
        deliveries = [
            send(
                names[o.channel], NULL if o.value is None else o.value, o.key,
                list(o.headers) or None, o.partition, o.timestamp_ms,
            )
            for o in outputs
        ]  # fmt: skip
    except (errors.KafkaTimeoutError, ValueError) as error:
        # The client looks long for a topic that is not there, and refuses a partition that it does
        # not know: ask a broker, for what the client knows may be minutes old.
        raise missing(connection, outputs) or CommitLost(f"sending: {error}") from error
    flush(producer, lambda: all(d.is_done for d in deliveries), timeout_s=timeout_s)
    for delivery in deliveries:
        if not delivery.succeeded():
            why = delivery.exception
            raise why if isinstance(why, errors.KafkaError) else CommitLost(repr(why))


def flush(producer: KafkaProducer, done: Callable[[], bool], *, timeout_s: float) -> None:
    """Wait until `done`. Raises: errors.KafkaTimeoutError.

    The client's own `flush` loses sight of a batch that a topic found too large and that is sent
    again in parts.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        remaining_s = deadline_s - time.monotonic()
        if remaining_s < 0:
            raise errors.KafkaTimeoutError(f"not acknowledged within {timeout_s:g} s")
        try:
            producer.flush(remaining_s)
        except errors.UnknownError:  # its way to say that it lost sight of one
            continue
        if done():
            return
        time.sleep(SPLIT_BATCH_S)


def missing(connection: Connection, outputs: Collection[Output]) -> StreamError | None:
    """Why outputs have no place to go; None: all have one now."""
    wanted: dict[Channel, int] = {}
    for output in outputs:
        wanted[output.channel] = max(wanted.get(output.channel, 0), output.partition)
    try:
        there = connection.partitions([connection.names[channel] for channel in wanted])
    except (Retryable, Misconfigured) as error:
        return error
    return next(
        (
            _no_place(f"topics.{channel}", connection.names[channel], partition, there)
            for channel, partition in wanted.items()
            if there.get(connection.names[channel], 0) <= partition
        ),
        None,
    )


def _no_place(key: str, name: str, partition: int, there: Mapping[str, int]) -> Misconfigured:
    if name not in there:
        return Misconfigured(f"{key}: {name} does not exist; create it")
    return Misconfigured(
        f"{key}: {name} has {there[name]} partitions and needs {partition + 1}: an output goes to "
        "the partition of its event; add partitions"
    )


def cause(producer: KafkaProducer, error: BaseException) -> BaseException:
    """What really went wrong: after its first error a producer only says that it had one."""
    manager = producer._transaction_manager  # noqa: SLF001  # the client has no public way to it
    first = None if manager is None else manager.last_error
    return first if isinstance(first, BaseException) else error


def discard(producer: KafkaProducer) -> bool:
    """End a producer for good, whatever the brokers do; its thread and its sockets are gone then.

    Its own `close()` would flush first, and on a time-out leave a thread alive that delivers old
    records later. A sender that waits for a broker would not look up before its request times out:
    so its connections are closed, on its own thread, as only that thread may touch them.

    Returns: whether the thread has ended.
    """
    producer._unregister_cleanup()  # noqa: SLF001
    producer._closed = True  # noqa: SLF001  # or its __del__ flushes after all
    sender = producer._sender  # noqa: SLF001
    sender.force_close()
    with suppress(RuntimeError):  # the sender was quicker, and its selector is closed already
        sender._client._net.call_soon_threadsafe(sender._client._manager.close)  # noqa: SLF001
    sender.join(END_S)
    return not sender.is_alive()
