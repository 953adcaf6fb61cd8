"""librdkafka's reader after a broker that was away."""

from collections.abc import Iterator
from contextlib import closing
from typing import NoReturn

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream.adapters import confluent
from stream.adapters.confluent.reader import FAILED_N_MAX
from stream.core.event import Channel
from stream.errors import Retryable
from stream.sandbox import LocalKafka
from tests.contract.confluent_world import ConfluentWorld

pytestmark = pytest.mark.broker


class Deaf:
    """A client for which all brokers are down, whether they are or not; it was seen to stay so."""

    is_closed = False

    def list_topics(self, *_: object, **__: object) -> NoReturn:
        """Also when it is asked for topics."""
        raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))

    get_watermark_offsets = committed = list_topics

    def close(self) -> None:
        """It is thrown away."""
        self.is_closed = True


@pytest.fixture
def world(kafka: LocalKafka) -> Iterator[ConfluentWorld]:
    """Topics of our own on it."""
    opened = ConfluentWorld(kafka)
    with closing(opened.topics()) as topics:
        for channel in Channel:
            topics.create(channel, partitions=1, retention_ms=-1)
    yield opened
    opened.close()


def test_a_client_that_never_gets_an_answer_again_is_replaced(world: ConfluentWorld) -> None:
    """Whatever is asked, a new one asks after some questions in vain; then it goes on as before."""
    with closing(confluent.KafkaReader(world.confluent)) as reader:
        before = reader.bounds(Channel.EVENTS, 0)
        for ask in (lambda: reader.bounds(Channel.EVENTS, 0), reader.committed):
            deaf = Deaf()
            reader._consumer.close()
            reader._consumer = deaf  # type: ignore[assignment]
            for _ in range(FAILED_N_MAX):
                with pytest.raises(Retryable, match="_ALL_BROKERS_DOWN"):
                    ask()
            assert not deaf.is_closed

            ask()

            assert deaf.is_closed
            assert reader.bounds(Channel.EVENTS, 0) == before
