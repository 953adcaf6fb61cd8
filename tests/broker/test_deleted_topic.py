"""An output topic that is deleted while somebody reads it."""

from contextlib import closing, suppress

import pytest
from kafka import KafkaAdminClient

from stream.core.event import Channel
from stream.errors import Misconfigured, Retryable
from stream.sandbox import LocalKafka
from tests.contract.confluent_world import ConfluentWorld
from tests.contract.kafka_world import KafkaWorld
from tests.patience import eventually

pytestmark = pytest.mark.broker


@pytest.mark.parametrize("opened", [KafkaWorld, ConfluentWorld])
def test_a_topic_that_is_deleted_while_it_is_read_is_missed(
    opened: type[KafkaWorld], kafka: LocalKafka
) -> None:
    """No broker answers for it any more; who waited for an answer would wait for ever."""
    world = opened(kafka)
    name = world.connection.names[Channel.ALERTS]
    with closing(world), closing(world.topics()) as topics, closing(world.reader()) as reader:
        topics.create(Channel.ALERTS, partitions=1, retention_ms=-1)
        eventually(lambda: reader.bounds(Channel.ALERTS, 0) is not None, "the topic is there")
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        with closing(admin):
            admin.delete_topics([name])

        def asks_on() -> bool:
            with suppress(Retryable):
                reader.bounds(Channel.ALERTS, 0)
            return False

        with pytest.raises(Misconfigured, match=f"there is no partition 0 of {name}"):
            eventually(asks_on, "it is missed", within_s=60)
