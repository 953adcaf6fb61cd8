"""librdkafka's messages as our records."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, Message

from stream.adapters.confluent.connection import Connection
from stream.core.event import Record
from stream.errors import Retryable


class Sorted(NamedTuple):
    """What a poll's messages hold, taken apart.

    Attributes:
        records: the records of each partition, in their order.
        ends: where partitions stand that have no more.
        trouble: an error that came along and may pass; the records are delivered all the same.
    """

    records: dict[int, list[Record]]
    ends: dict[int, int]
    trouble: Retryable | None


def polled(
    consumer: Consumer, *, timeout_s: float, records_max: int
) -> list["Message[bytes, bytes]"]:
    """Take what is there, up to `records_max`; if nothing is, wait for the first and more.

    `consume` alone would wait for all of `records_max`. Raises: KafkaException.
    """
    messages = consumer.consume(records_max, 0)
    if not messages:
        first = consumer.poll(timeout_s)
        if first is not None:
            messages = [first, *consumer.consume(records_max - 1, 0)]
    return messages


def sorted_out(
    messages: Iterable[Any],
    connection: Connection,
    doing: str,
    *,
    starts: Mapping[int, int] | None = None,
) -> Sorted:
    """Sort messages into records, ends and trouble.

    Args:
        messages: those that the client gave.
        connection: translates errors.
        doing: what was tried, for the errors' messages.
        starts: the partitions that are wanted, and from where. That the log does not hold what
            lies before, or another partition's offset, is nobody's concern then.

    Raises: Fenced, LogLost, Misconfigured: what a message says instead of being one.
    """
    trouble: Retryable | None = None
    records: dict[int, list[Record]] = {}
    ends: dict[int, int] = {}
    for message in messages:
        error = message.error()
        if error is None:
            partition = message.partition()
            try:
                headers = message.headers()
                record = Record(
                    partition, message.offset(), message.timestamp()[1], message.key(),
                    message.value(), tuple(headers) if headers else (),
                )  # fmt: skip
            except SystemError as wrong:
                record = _without_odd_headers(message, wrong)
            found = records.get(partition)
            if found is None:
                records[partition] = [record]
            else:
                found.append(record)
        elif error.code() == KafkaError._PARTITION_EOF:
            ends[message.partition()] = message.offset()
        elif error.code() not in _PASSING and not _is_unwanted(message, starts):
            meaning = connection.translate(error, doing)
            if not isinstance(meaning, Retryable):
                raise meaning
            trouble = trouble or meaning
    return Sorted(records, ends, trouble)


def _is_unwanted(message: Any, starts: Mapping[int, int] | None) -> bool:
    if starts is None or message.error().code() != KafkaError._AUTO_OFFSET_RESET:
        return False
    start = starts.get(message.partition())
    return start is None or message.offset() < start


# What librdkafka tells and then mends by itself; a topic that stays away is looked for elsewhere.
_PASSING = frozenset({
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._MAX_POLL_EXCEEDED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
})  # fmt: skip


def _without_odd_headers(message: Any, error: SystemError) -> Record:
    """Read a record without those headers whose name is no UTF-8: all else of it is sound.

    Of such a name the client (seen in 2.16.1) leaves an exception set, which the interpreter finds
    in this call or in one of the next, and a hole in its place, which only `repr` may look at.
    """
    cause = error.__cause__
    while isinstance(cause, SystemError):
        cause = cause.__cause__
    if not isinstance(cause, UnicodeDecodeError):
        raise error
    sound = [pair for pair in message.headers() if not repr(pair).startswith("(<NULL>")]
    return Record(
        message.partition(), message.offset(), message.timestamp()[1], message.key(),
        message.value(), tuple(sound),
    )  # fmt: skip
