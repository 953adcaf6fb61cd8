"""The adapters end on our endpoint as they do on a real Kafka: what the matrix shows is real."""

from collections.abc import Iterator

import pytest

from stream.sandbox import Unavailable
from tests.conftest import skip_or_fail
from tests.instruments.endpoint import wire
from tests.instruments.endpoint.codes import Code
from tests.instruments.endpoint.matrix import CLIENTS, Player
from tests.instruments.endpoint.situations import EXPECTED, Situation, nothing_happens
from tests.instruments.endpoint.spoilings import Spoiling
from tests.instruments.endpoint.stands import BrokerStand, EndpointStand, Stand
from tests.instruments.faults.stage import Stage

CASES = (
    Spoiling(api="AddPartitionsToTxn", how="refused", code=Code.CONCURRENT_TRANSACTIONS),
    Spoiling(api="AddPartitionsToTxn", how="answer cut"),
    Spoiling(api="Produce", how="refused", code=Code.NOT_ENOUGH_REPLICAS),
    Spoiling(api="Produce", how="told", code=Code.INVALID_PRODUCER_EPOCH),
    Spoiling(api="Produce", how="answer cut"),
    Spoiling(api="TxnOffsetCommit", how="refused", code=Code.ILLEGAL_GENERATION),
    Spoiling(api="TxnOffsetCommit", how="told", code=Code.UNKNOWN_MEMBER_ID),
    Spoiling(api="TxnOffsetCommit", how="overtaken"),
    Spoiling(api="EndTxn", how="refused", code=Code.INVALID_TXN_STATE),
    Spoiling(api="EndTxn", how="told", code=Code.PRODUCER_FENCED),
    Spoiling(api="EndTxn", how="answer cut"),
    Spoiling(api="EndTxn", how="overtaken"),
    Spoiling(api="InitProducerId", how="told", code=Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
)

OF_A_COMMIT = frozenset({
    wire.FIND_COORDINATOR, wire.INIT_PRODUCER_ID, wire.ADD_PARTITIONS, wire.PRODUCE,
    wire.ADD_OFFSETS, wire.TXN_OFFSET_COMMIT, wire.END_TXN, wire.OFFSET_FETCH, wire.JOIN_GROUP,
    wire.SYNC_GROUP, wire.METADATA, wire.API_VERSIONS,
})  # fmt: skip
"""Every call of a worker that starts and commits; heartbeats come or don't."""


@pytest.fixture(scope="module")
def kafka_stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerStand]:
    """A real Kafka behind a proxy."""
    with Stage(tmp_path_factory.mktemp("stage"), lambda _: None) as stage:
        try:
            stand = BrokerStand(stage.kafka.bootstrap_servers, stage.proxy)
        except Unavailable as error:
            skip_or_fail("kafka", error)
        yield stand
        stand.close()


@pytest.fixture(scope="module")
def endpoint_stand() -> Iterator[EndpointStand]:
    """Our endpoint behind a proxy."""
    with EndpointStand() as stand:
        yield stand


SITUATIONS = pytest.mark.parametrize(
    ("situation", "instance", "expected"),
    EXPECTED,
    ids=[f"{situation.__name__}-{name}" for situation, name, _ in EXPECTED],
)


def ended(stand: Stand, client: str, instance: str | None, situation: Situation) -> str:
    """How a commit in a situation ends; all-or-nothing is looked at, and the next one works."""
    with Player(stand, client, instance=instance) as player:
        return player.meet(situation).how


@pytest.mark.parametrize("client", CLIENTS)
@SITUATIONS
def test_the_endpoint_makes_the_adapter_end_as_it_should(
    endpoint_stand: EndpointStand,
    client: str,
    situation: Situation,
    instance: str | None,
    expected: str,
) -> None:
    """Nothing is rewritten here: the endpoint itself answers what follows."""
    assert ended(endpoint_stand, client, instance, situation) == expected


@pytest.mark.broker
@pytest.mark.parametrize("client", CLIENTS)
@SITUATIONS
def test_kafka_makes_the_adapter_end_in_the_same_way(
    kafka_stand: BrokerStand,
    client: str,
    situation: Situation,
    instance: str | None,
    expected: str,
) -> None:
    """A real broker's answers mean to the adapter what the endpoint's do."""
    assert ended(kafka_stand, client, instance, situation) == expected


@pytest.mark.broker
@pytest.mark.parametrize("client", CLIENTS)
def test_spoiled_calls_end_on_both_in_the_same_way(
    kafka_stand: BrokerStand, endpoint_stand: EndpointStand, client: str
) -> None:
    """The same outcome, and the same answer to: is the commit there?

    A call of librdkafka's may hang by itself, after whatever answer (`adapters.confluent.calls`):
    what differs once is played again, and a difference is one that is there twice.
    """
    differing = list(CASES)
    with Player(kafka_stand, client) as kafkas, Player(endpoint_stand, client) as ours:
        for _ in range(2):
            played = [(s, kafkas.play(s), ours.play(s)) for s in differing]
            differing = [s for s, theirs, own in played if theirs != own]

    assert [(str(s), theirs, own) for s, theirs, own in played if theirs != own] == []


@pytest.mark.broker
@pytest.mark.parametrize("client", CLIENTS)
def test_the_endpoint_is_asked_in_the_versions_that_kafka_is(
    kafka_stand: BrokerStand, endpoint_stand: EndpointStand, client: str
) -> None:
    """So a client talks to it as it talks to Kafka, and not as to some old broker."""
    asked = []
    for stand in (kafka_stand, endpoint_stand):
        stand.proxy.versions.clear()
        ended(stand, client, None, nothing_happens)
        asked.append({v for v in stand.proxy.versions if v[0] in OF_A_COMMIT})
    kafkas, ours = asked

    assert kafkas == ours
    assert {api for api, _ in ours} == OF_A_COMMIT
