"""Four ways in which a plain use of a Kafka client breaks exactly-once, tried through our port.

Each was first shown with the bare client on a real broker: the group's offset went back from 100 to
3, and from 100 to 7; a transaction was committed although a send in it had failed; a fenced twin
lived on. Here a verifier watches, which knows nothing of ours.
"""

import json
from collections.abc import Callable, Iterator

import pytest

from stream.core.event import Channel, Output
from stream.errors import CommitLost, Fenced
from stream.ports import Committed
from stream.sandbox import LocalKafka
from tests.broker import kafka_hands as hands
from tests.conftest import running_kafka
from tests.contract.confluent_world import ConfluentWorld
from tests.contract.kafka_world import KafkaWorld
from tests.contract.worlds import (
    Member,
    World,
    at,
    create,
    patiently,
    raws,
    settle,
    working,
)
from tests.instruments.faults.verifier import Verifier
from tests.patience import eventually

pytestmark = pytest.mark.broker

CLIENTS = {"kafka-python": KafkaWorld, "confluent": ConfluentWorld}
FAR = 100
IDLE_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def stoppable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """One broker for these tests, which each leave it running."""
    yield from running_kafka(tmp_path_factory.mktemp("stoppable"))


@pytest.fixture(params=CLIENTS)
def world(request: pytest.FixtureRequest, stoppable: LocalKafka) -> Iterator[KafkaWorld]:
    """Topics of our own on it, for each client."""
    opened: KafkaWorld = CLIENTS[request.param](stoppable)
    yield opened
    opened.close()


@pytest.fixture
def watched(world: KafkaWorld) -> Iterator[Callable[[int], None]]:
    """Call it with the number of partitions, once the topics are there; judges at the end."""
    verifiers: list[Verifier] = []

    def watch(partitions_n: int) -> None:
        bootstrap, pipeline = world.broker.bootstrap_servers, world.connection.group
        verifiers.append(
            Verifier(bootstrap=bootstrap, pipeline=pipeline, partitions_n=partitions_n)
        )
        verifiers[0].start()

    yield watch
    (verifier,) = verifiers
    wanted = world.reader().committed()
    eventually(
        lambda: verifier.committed == {p: c.offset for p, c in wanted.items()},
        "the verifier has seen the last commit",
    )
    eventually(
        lambda: verifier.outcomes_n() == sum(c.offset for c in wanted.values()),
        "and the outcome of each event below it",
    )
    verifier.stop()
    assert verifier.broken == []


def outcomes(first: int, end: int, *, partition: int = 0) -> list[Output]:
    """One prediction for each input offset."""
    return [
        Output(
            Channel.PREDICTIONS,
            partition,
            1_600_000_000_000,
            b"key",
            json.dumps({"offset": offset}).encode(),
        )
        for offset in range(first, end)
    ]


def with_events(world: World, watch: Callable[[int], None], *, partitions: int = 1) -> None:
    """Topics, more events than any worker here folds, and the verifier."""
    create(world, partitions=partitions)
    for partition in range(partitions):
        world.append(raws(*(b"%d" % n for n in range(FAR + 10))), partition=partition)
    watch(partitions)


def test_a_zombie_does_not_take_the_offset_back(
    world: KafkaWorld, watched: Callable[[int], None]
) -> None:
    """Before it knows that it is out, and after: with the bare client the offset went to 3."""
    with_events(world, watched)
    zombie = working(world)
    world.expire(zombie.log)
    heir = working(world)
    heir.log.commit(outcomes(0, FAR), {0: at(FAR)})

    with pytest.raises(CommitLost):
        zombie.log.commit(outcomes(0, 3), {0: at(3)})
    settle(lambda: 0 not in zombie.owned, zombie, heir, deadline_s=world.deadline_s)
    with pytest.raises(CommitLost):
        zombie.log.commit(outcomes(0, 3), {0: at(3)})

    found = patiently(lambda: heir.log.committed({0}), deadline_s=world.deadline_s)
    assert found == {0: at(FAR)}


def test_offsets_of_a_lost_commit_are_not_sent_along_with_the_next(
    world: KafkaWorld, watched: Callable[[int], None]
) -> None:
    """A member loses all, and wins one partition back: with the bare client the other went to 7."""
    with_events(world, watched, partitions=2)
    loser = working(world)
    settle(lambda: len(loser.owned) == 2, loser, deadline_s=world.deadline_s)
    world.expire(loser.log)
    heir = Member(world.log(), deadline_s=world.deadline_s)
    settle(lambda: len(heir.owned) == 2, heir, deadline_s=world.deadline_s)
    heir.log.commit([*outcomes(0, FAR), *outcomes(0, FAR, partition=1)], {0: at(FAR), 1: at(FAR)})
    with pytest.raises(CommitLost):
        loser.log.commit([*outcomes(0, 7), *outcomes(0, 7, partition=1)], {0: at(7), 1: at(7)})

    settle(
        lambda: len(loser.owned) == len(heir.owned) == 1,
        loser,
        heir,
        deadline_s=world.deadline_s,
    )
    (won,), (other,) = loser.owned, heir.owned
    patiently(
        lambda: loser.log.commit(outcomes(FAR, FAR + 1, partition=won), {won: at(FAR + 1)}),
        deadline_s=world.deadline_s,
    )

    assert world.reader().committed() == {won: at(FAR + 1), other: at(FAR)}


def test_a_transaction_with_a_failed_send_is_not_committed(
    world: KafkaWorld, watched: Callable[[int], None]
) -> None:
    """The broker hangs until the delivery has timed out, and then goes on."""
    with_events(world, watched)
    member = working(world)
    member.log.commit(outcomes(0, 1), {0: at(1)})

    with (
        hands.paused(world.broker),
        hands.takes(world.timings.call_deadline_s),
        pytest.raises(CommitLost),
    ):
        member.log.commit(outcomes(1, 2), {0: at(2)})

    assert patiently(lambda: asked(member), deadline_s=30.0) == {0: at(1)}
    patiently(lambda: committed_again(member, outcomes(1, 2), 2), deadline_s=30.0)


def asked(member: Member) -> dict[int, Committed]:
    """The committed offsets, as a worker asks again: it polls in between."""
    member.log.poll(timeout_s=0.05, records_max=1)
    return member.log.committed({0})


def committed_again(member: Member, again: list[Output], offset: int) -> None:
    """Commit as a worker does after a lost commit, unless it is there. Raises: Retryable."""
    if asked(member) != {0: at(offset)}:
        member.log.commit(again, {0: at(offset)})


def test_a_fenced_twin_does_not_live_on(world: KafkaWorld, watched: Callable[[int], None]) -> None:
    """Idle, it only polls: the bare client logs that it is fenced, and polls for ever."""
    with_events(world, watched)
    older = working(world, instance="w-0")
    older.log.commit(outcomes(0, 1), {0: at(1)})
    younger = working(world, instance="w-0")

    def is_fenced() -> bool:
        try:
            older.log.poll(timeout_s=0.1, records_max=1)
        except Fenced:
            return True
        return False

    eventually(is_fenced, "the older one stops", within_s=IDLE_WITHIN_S)
    with pytest.raises(Fenced):
        older.log.commit(outcomes(1, 9), {0: at(9)})
    younger.log.commit(outcomes(1, 2), {0: at(2)})

    assert younger.log.committed({0}) == {0: at(2)}
