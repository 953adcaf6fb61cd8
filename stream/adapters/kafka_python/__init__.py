"""Kafka through kafka-python, used only in the ways that are proven to keep exactly-once.

`log.py` holds the transactions, `reader.py`, `topics.py` and `feed.py` the other ports.
"""

from stream.adapters.kafka_python.abandoned import end_abandoned
from stream.adapters.kafka_python.connection import Connection
from stream.adapters.kafka_python.feed import KafkaFeed
from stream.adapters.kafka_python.log import KafkaLog
from stream.adapters.kafka_python.reader import KafkaReader
from stream.adapters.kafka_python.topics import KafkaTopics

__all__ = [
    "Connection", "KafkaFeed", "KafkaLog", "KafkaReader", "KafkaTopics", "end_abandoned",
]  # fmt: skip
