"""The upstream: appends events all the while, whatever happens to the broker."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import Producer
from kafka import KafkaProducer, errors

from stream.adapters.kafka_python import producing
from tests.instruments.faults.events import stream

TICK_S = 0.05
LINGER_MS = 5
PARTITIONS_MAX = 16


class Feeder:
    """Feeds a topic from a thread of its own.

    What it meant to send does not matter: the log decides what was appended, and the verifier reads
    that.

    Args:
        rate: events a second and partition.
        delivered_within_s: longer a producer does not try; then a new one begins.
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        topic: str,
        partitions_n: int,
        rate: float,
        delivered_within_s: float = 120.0,
    ) -> None:
        self.partitions_n = partitions_n
        self._bootstrap = bootstrap
        self._topic = topic
        self.rate = rate
        self._delivered_within_ms = round(delivered_within_s * 1000)
        self._streams = [stream(seed) for seed in range(PARTITIONS_MAX)]
        # Of their own: a generator runs in one thread at a time.
        self._bursts = [stream(100 + seed) for seed in range(PARTITIONS_MAX)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="feeder", daemon=True)

    def start(self) -> None:
        """Begin to feed."""
        self._thread.start()

    def stop(self) -> None:
        """End, with everything appended or given up."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(60)

    def burst(self, n: int, partitions: Sequence[int] | None = None) -> None:
        """Append n events to each partition at once, and wait until they are there."""
        # librdkafka: a million events in a fifth of the time.
        failed: list[Any] = []
        producer = Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "log_level": 0,
                "linger.ms": 5,
                "delivery.report.only.error": True,
                "on_delivery": lambda error, _: failed.append(error),
            }
        )
        for p in partitions or range(self.partitions_n):
            for _ in range(n):
                producer.produce(self._topic, next(self._bursts[p]), b"k", p)
        waiting_n = producer.flush(60)
        assert not waiting_n + len(failed), f"{waiting_n} events not appended, {failed[:3]}"

    def values(self, values: Sequence[bytes], partition: int = 0) -> None:
        """Append these, and wait until they are there."""
        producer = self._producer()
        sent = [producer.send(self._topic, v, b"k", partition=partition) for v in values]
        producer.flush(60)
        producer.close(timeout=5)
        assert all(each.succeeded() for each in sent)

    def _producer(self) -> KafkaProducer:
        return KafkaProducer(
            bootstrap_servers=self._bootstrap,
            linger_ms=LINGER_MS,
            batch_size=1 << 17,
            max_block_ms=20_000,
            delivery_timeout_ms=self._delivered_within_ms,
            request_timeout_ms=min(30_000, self._delivered_within_ms - LINGER_MS),
        )

    def _feed(self) -> None:
        while not self._over.is_set():
            # A broker that is away: the next producer begins where the log is.
            # (A ValueError: a partition that was just added is not known to this one yet.)
            with suppress(errors.KafkaError, OSError, ValueError):
                self._feed_with(self._producer())

    def _feed_with(self, producer: KafkaProducer) -> None:
        owed, at = 0.0, time.monotonic()
        has_failed = threading.Event()
        try:
            # An idempotent producer whose batches expired may never send again: not this one.
            while not (self._over.wait(TICK_S) or has_failed.is_set()):
                now = time.monotonic()
                # After a pause the whole debt would come as one flood.
                owed = min(owed + (now - at) * self.rate, self.rate)
                at = now
                for partition in range(self.partitions_n):
                    for _ in range(int(owed)):
                        sent = producer.send(
                            self._topic, next(self._streams[partition]), b"k", partition=partition
                        )
                        sent.add_errback(lambda _: has_failed.set())
                owed -= int(owed)
            if not has_failed.is_set():
                producer.flush(30)
        finally:
            producing.discard(producer)
