"""Our endpoint is honest: it answers, and shows to a reader, what a real Kafka does."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from stream.core.event import Channel
from stream.sandbox import LocalKafka
from tests.instruments.endpoint import conversations
from tests.instruments.endpoint.codes import Code
from tests.instruments.endpoint.conversations import Conversation, Place
from tests.instruments.endpoint.stands import BrokerStand, EndpointStand, Stand

NAMES = [conversation.__name__ for conversation in conversations.ALL]


@pytest.fixture
def endpoint() -> Iterator[EndpointStand]:
    """Ours."""
    with EndpointStand() as stand:
        yield stand


def said(stand: Stand, bootstrap: str, conversation: Conversation) -> tuple[list[Code], list[str]]:
    """What a broker answers, and how often each producer's records are seen afterwards."""
    names = {channel: f"{channel.value}-{uuid4().hex[:8]}" for channel in Channel}
    stand.make_topics(names, partitions=1)
    place = Place(bootstrap, names[Channel.EVENTS], names[Channel.PREDICTIONS])
    codes = list(conversation(place))
    seen = stand.visible(names, Channel.PREDICTIONS, 0)
    assert b"never" not in seen
    # The names of the producers differ; what follows them does not.
    return codes, [value.decode().partition(" ")[2] for value in seen]


def test_a_transaction_is_seen_when_it_commits(endpoint: EndpointStand) -> None:
    """Not before, and never if it aborts."""
    codes, seen = said(endpoint, endpoint.bootstrap, conversations.a_transaction_commits)
    aborted, nothing = said(endpoint, endpoint.bootstrap, conversations.a_transaction_aborts)

    assert codes == [Code.NONE] * 7 + [Code.INVALID_TXN_STATE]
    assert aborted == codes
    assert len(seen) == 1
    assert nothing == []


def test_a_producer_whose_id_was_taken_is_fenced(endpoint: EndpointStand) -> None:
    """In every call, and what it had sent is gone."""
    codes, seen = said(endpoint, endpoint.bootstrap, conversations.taken_over)

    assert codes[:10] == [Code.NONE] * 10
    assert codes[10:] == [
        Code.PRODUCER_FENCED, Code.PRODUCER_FENCED, Code.INVALID_PRODUCER_EPOCH,
        Code.INVALID_PRODUCER_EPOCH, Code.PRODUCER_FENCED, Code.PRODUCER_FENCED, Code.NONE,
        Code.PRODUCER_FENCED,
    ]  # fmt: skip
    assert len(seen) == 1


@pytest.mark.broker
@pytest.mark.parametrize("conversation", conversations.ALL, ids=NAMES)
def test_the_endpoint_answers_as_kafka_does(
    endpoint: EndpointStand, kafka: LocalKafka, conversation: Conversation
) -> None:
    """Call by call; and afterwards a reader sees the same."""
    broker = BrokerStand(kafka.bootstrap_servers)
    try:
        kafkas = said(broker, kafka.bootstrap_servers, conversation)
    finally:
        broker.close()

    assert said(endpoint, endpoint.bootstrap, conversation) == kafkas
