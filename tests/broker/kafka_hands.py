"""What the Kafka tests share: a worker's life in a few words, and what it leaves behind."""

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition

from stream.adapters.kafka_python import KafkaLog
from stream.core.event import Channel
from stream.errors import Retryable
from stream.ports import Committed, Polled
from stream.sandbox import LocalKafka
from tests.contract.kafka_world import KafkaWorld
from tests.patience import HELD_UP_S, eventually

POLL_S = 0.1


def poll(log: KafkaLog) -> Polled:
    """One poll as a worker makes it."""
    return log.poll(timeout_s=POLL_S, records_max=500)


def assigned(log: KafkaLog, partitions: set[int]) -> None:
    """Poll until exactly these are assigned."""
    owned: set[int] = set()

    def settled() -> bool:
        polled = poll(log)
        owned.difference_update(polled.revoked)
        owned.update(polled.assigned)
        return owned == partitions

    eventually(settled, f"the assignment of {sorted(partitions)}")


def assigned_again(log: KafkaLog, partitions: set[int]) -> None:
    """After trouble: poll until the membership stands and no change comes any more."""
    quiet = 0

    def settled() -> bool:
        nonlocal quiet
        try:
            polled = poll(log)
        except Retryable:
            return False
        quiet = 0 if polled.revoked or polled.assigned else quiet + 1
        coordinator = log._consumer._coordinator
        return quiet > 3 and coordinator.stable() and not coordinator.need_rejoin()

    eventually(settled, f"the assignment of {sorted(partitions)} stands")
    assert {tp.partition for tp in log._consumer.assignment()} == partitions


def raw_producer(world: KafkaWorld, transactional_id: str) -> KafkaProducer:
    """Somebody else's producer, ready for a transaction."""
    producer = KafkaProducer(
        bootstrap_servers=world.broker.bootstrap_servers,
        transactional_id=transactional_id,
        transaction_timeout_ms=60_000,
        retry_backoff_ms=20,
    )
    producer.init_transactions()
    producer.begin_transaction()
    return producer


def offsets_of(world: KafkaWorld, committed: dict[int, Committed]) -> dict[TopicPartition, object]:
    """Offsets as the client takes them."""
    topic = world.connection.names[Channel.EVENTS]
    return {
        TopicPartition(topic, p): OffsetAndMetadata(c.offset, c.metadata, -1)
        for p, c in committed.items()
    }


@contextmanager
def paused(broker: LocalKafka) -> Iterator[None]:
    """The broker accepts connections and answers nothing."""
    broker.pause()
    try:
        yield
    finally:
        broker.resume()


@contextmanager
def takes(at_most_s: float, *, at_least_s: float = 0.0) -> Iterator[None]:
    """What is inside ends in time; or later, by as much as a busy machine may hold it up.

    Told apart are waits of ours from those of a client that nobody told: half a minute and more.
    """
    began_s = time.monotonic()
    yield
    took_s = time.monotonic() - began_s
    assert at_least_s <= took_s <= at_most_s + HELD_UP_S, f"took {took_s:.1f} s"


def threads() -> set[threading.Thread]:
    """Every live thread of this process."""
    return set(threading.enumerate())


def open_files_n() -> int:
    """How many files, sockets and selectors this process holds."""
    gc.collect()  # sockets that a failed connection left to the collector
    return len(list(Path("/proc/self/fd").iterdir()))
