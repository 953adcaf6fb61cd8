"""The upstream of the fault rows, held to what the rows rely on."""

import time

import pytest
from kafka import KafkaConsumer, TopicPartition

from stream.sandbox import LocalKafka
from tests.broker.checks import make_topic
from tests.instruments.faults.feeder import Feeder
from tests.patience import eventually

pytestmark = pytest.mark.broker

TOPIC = "fed"
DELIVERED_WITHIN_S = 4.0


def test_it_goes_on_after_a_broker_was_away_for_longer_than_it_delivers(
    own_kafka: LocalKafka,
) -> None:
    """An idempotent producer of kafka-python whose batches expired while it was away stays mute."""
    make_topic(own_kafka, TOPIC)
    feeder = Feeder(
        bootstrap=own_kafka.bootstrap_servers,
        topic=TOPIC,
        partitions_n=1,
        rate=50.0,
        delivered_within_s=DELIVERED_WITHIN_S,
    )
    feeder.start()
    try:
        eventually(lambda: fed_n(own_kafka) > 0, "events come")
        own_kafka.kill()
        time.sleep(2 * DELIVERED_WITHIN_S)
        own_kafka.start()
        before_n = fed_n(own_kafka)

        eventually(lambda: fed_n(own_kafka) > before_n, "events come again", within_s=90)
    finally:
        feeder.stop()


def fed_n(kafka: LocalKafka) -> int:
    """How many events there are."""
    tp = TopicPartition(TOPIC, 0)
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
    try:
        return int(consumer.end_offsets([tp])[tp])
    finally:
        consumer.close()
