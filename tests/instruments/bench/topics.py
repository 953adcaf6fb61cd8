"""The topics of a run on a real Kafka: filled, read back from outside, removed."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.instruments.bench.events import KEY, encoded

ANSWERS_WITHIN_S = 60.0
FLUSHED_WITHIN_S = 300.0
READ_WITHIN_S = 300.0


class Topics:
    """A Kafka as an administrator and as a reader see it."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._admin: Any = AdminClient(
            {"bootstrap.servers": bootstrap, "log_level": 0}  # it outlives the broker
        )

    def create(self, name: str, *, partitions: int = 1) -> None:
        """Raises: KafkaException."""
        topic = NewTopic(name, partitions, 1)
        self._admin.create_topics([topic])[name].result(ANSWERS_WITHIN_S)

    def remove(self, prefix: str) -> None:
        """Everything whose name begins so. Raises: KafkaException."""
        known = self._admin.list_topics(timeout=ANSWERS_WITHIN_S).topics
        names = [name for name in known if name.startswith(prefix)]
        for done in self._admin.delete_topics(names).values() if names else ():
            try:
                done.result(ANSWERS_WITHIN_S)
            except KafkaException as error:
                # What was removed a moment ago may be listed yet.
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise

    def fill(self, name: str, n: int, *, partitions: int = 1) -> None:
        """Make a topic with n events in each partition. Raises: KafkaException."""
        self.create(name, partitions=partitions)
        producer: Any = Producer({"bootstrap.servers": self._bootstrap, "linger.ms": 50})
        for value in encoded(n):
            for partition in range(partitions):
                while True:
                    try:
                        producer.produce(name, value, KEY, partition)
                        break
                    except BufferError:
                        producer.poll(0.1)
        if producer.flush(FLUSHED_WITHIN_S):
            raise KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT))

    def read(self, name: str) -> Iterator[bytes]:
        """The committed values of partition 0, until its end. Raises: KafkaException."""
        consumer: Any = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": f"outside-{uuid4()}",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        try:
            consumer.assign([TopicPartition(name, 0, 0)])
            deadline = time.monotonic() + READ_WITHIN_S
            while time.monotonic() < deadline:
                # It waits the whole time for fewer than it was asked for.
                for record in consumer.consume(1_000, 0.1):
                    error = record.error()
                    if error is None:
                        yield record.value()
                    elif error.code() == KafkaError._PARTITION_EOF:
                        return
                    else:
                        raise KafkaException(error)
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        finally:
            consumer.close()
