"""The client's producer, held to what it should do: every delivery looked at, its end an end."""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any

from kafka import KafkaProducer, errors

from stream.adapters.kafka.meaning import no_place
from stream.adapters.kafka_python.connection import Connection
from stream.adapters.kafka_python.nulls import NULL, Nulls, to_client
from stream.core.event import Channel, Output
from stream.errors import CommitLost, Misconfigured, Retryable, StreamError

END_S = 2.0
"""How long a sender thread may take to end; with its connections closed it takes about 10 ms."""

IN_TRANSACTION_BACKOFF_MS = 2
"""The broker answers CONCURRENT_TRANSACTIONS while it writes the last transaction's markers, and
the client then sleeps its whole back-off: with 100 ms, its default, a commit right after another
took 109 ms. At an interval of 5 ms, p99 with 5 ms 18 to 24 ms (median of four 22.1), with 2 ms 20
to 23 (20.4), with 1 ms 18 to 20 (19.4), all at the same CPU; but so often it asks a broker in
trouble, too."""

TIMESTAMP_MS_MAX = 2**63 - 2
"""The client writes times as differences of 64 bits to a batch's first, which may be -1 (none)."""

SPLIT_BATCH_S = 0.005

LOOK_AGAIN_S = 2.0

TELLING_S = 0.5
"""So long after a producer's state has changed its deliveries say why."""


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
        value_serializer=Nulls(),
        metrics_enabled=False,
        **settings,
    )
    return producer


def deliver(
    producer: KafkaProducer, connection: Connection, outputs: Sequence[Output], *, timeout_s: float
) -> None:
    """Send outputs, and wait until each is acknowledged.

    Raises:
        Misconfigured: a topic or partition is missing, or a topic refuses a record for good.
        CommitLost: one was not delivered.
        errors.KafkaError: the client's own; `cause` says what it means.
    """
    deliveries: list[Any] = []
    try:
        try:
            _hand_over(producer, connection, outputs, deliveries)
        except ValueError:
            # A partition that the client does not know: it may be a new one.
            if missing(connection, outputs) is not None or not _look_again(producer):
                raise
            _hand_over(producer, connection, outputs[len(deliveries) :], deliveries)
    except errors.IllegalStateError as error:
        # A delivery failed meanwhile and took the transaction along: that one says why.
        raise _first_failure(deliveries) or error from error
    except (errors.KafkaTimeoutError, ValueError) as error:
        # The client looks long for a topic that is not there, and refuses a partition that it does
        # not know: ask a broker, for what the client knows may be minutes old.
        raise missing(connection, outputs) or CommitLost(f"sending: {error}") from error
    flush(producer, lambda: all(d.is_done for d in deliveries), timeout_s=timeout_s)
    for delivery in deliveries:
        if not delivery.succeeded():
            why = delivery.exception
            raise why if isinstance(why, errors.KafkaError) else CommitLost(repr(why))


def _hand_over(
    producer: KafkaProducer,
    connection: Connection,
    outputs: Sequence[Output],
    deliveries: list[Any],
) -> None:
    """Send outputs; `deliveries` gets an entry for each that was sent."""
    names, send = connection.names, producer.send
    deliveries.extend(
        send(
            names[o.channel], NULL if o.value is None else o.value, o.key,
            to_client(o.headers) if o.headers else None, o.partition,
            t if -1 <= (t := o.timestamp_ms) <= TIMESTAMP_MS_MAX else _in_range(t),
        )
        for o in outputs
    )  # fmt: skip


def _look_again(producer: KafkaProducer) -> bool:
    """Let a producer hear of new partitions, which it would in minutes. Returns: whether it did."""
    heard = threading.Event()
    producer._metadata.request_update().add_both(lambda *_: heard.set())  # noqa: SLF001
    producer._sender.wakeup()  # noqa: SLF001  # no public way to either
    return heard.wait(LOOK_AGAIN_S)


def _in_range(timestamp_ms: int) -> int:
    return min(max(timestamp_ms, -1), TIMESTAMP_MS_MAX)


def _first_failure(deliveries: Sequence[Any]) -> BaseException | None:
    """Wait a moment for a delivery to say why it failed; None: no delivery says so."""
    deadline_s = time.monotonic() + TELLING_S
    while time.monotonic() < deadline_s:
        for delivery in deliveries:
            if delivery.is_done and not delivery.succeeded():
                why: BaseException = delivery.exception
                return why
        time.sleep(SPLIT_BATCH_S)
    return None


def flush(producer: KafkaProducer, done: Callable[[], bool], *, timeout_s: float) -> None:
    """Wait until all deliveries are done. Raises: errors.KafkaTimeoutError.

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
    """Say why outputs have no place to go; None: all have one now."""
    wanted: dict[Channel, int] = {}
    for output in outputs:
        wanted[output.channel] = max(wanted.get(output.channel, 0), output.partition)
    try:
        there = connection.partitions([connection.names[channel] for channel in wanted])
    except (Retryable, Misconfigured) as error:
        return error
    places = (
        no_place(channel, name, there=there.get(name, 0), partition=partition)
        for channel, partition in wanted.items()
        for name in [connection.names[channel]]
    )
    return next(filter(None, places), None)


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
