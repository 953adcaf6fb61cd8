"""Log, reader, topics and feed on librdkafka (`kafka.client = "confluent"`): the fast client."""

from stream.adapters.confluent.connection import Connection
from stream.adapters.confluent.feed import KafkaFeed
from stream.adapters.confluent.log import KafkaLog
from stream.adapters.confluent.reader import KafkaReader
from stream.adapters.confluent.topics import KafkaTopics

__all__ = ["Connection", "KafkaFeed", "KafkaLog", "KafkaReader", "KafkaTopics"]
