"""The traps of kafka-python in joining, losing and leaving a group, each on a real broker."""

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.consumer import group

from stream.adapters.kafka_python import KafkaLog
from stream.config.timings import Timings
from stream.core.event import Channel
from stream.errors import CommitLost, Fenced, Misconfigured
from stream.sandbox import LocalKafka
from tests.broker import kafka_hands as hands
from tests.broker.checks import environment
from tests.contract.kafka_world import KafkaWorld
from tests.contract.worlds import (
    Member,
    at,
    create,
    output,
    raws,
    settle,
    values,
)
from tests.patience import eventually

pytestmark = pytest.mark.broker


@pytest.fixture
def world(kafka: LocalKafka) -> Iterator[KafkaWorld]:
    """Topics of our own on the shared broker."""
    opened = KafkaWorld(kafka)
    yield opened
    opened.close()


def test_metadata_taken_after_a_lost_membership_is_not_used(world: KafkaWorld) -> None:
    """With it Kafka would let a zombie commit, and the group's offset would go back."""
    create(world)
    zombie = world.log()
    hands.assigned(zombie, {0})
    world.expire(zombie)
    heir = world.log()
    hands.assigned(heir, {0})
    heir.commit([], {0: at(100)})
    client = zombie._consumer
    eventually(lambda: client.group_metadata().generation_id < 0, "the client hears of it")

    with pytest.raises(CommitLost):
        zombie.commit([output(b"zombie")], {0: at(3)})
    zombie._metadata = client.group_metadata()  # as if it had polled in the middle of the loss
    with pytest.raises(CommitLost, match="not a member"):
        zombie.commit([output(b"zombie")], {0: at(3)})

    assert heir.committed({0}) == {0: at(100)}
    zombie.close()
    eventually(lambda: values(world.reader(), Channel.PREDICTIONS) == [], "nothing was published")


def test_a_loss_that_the_client_passes_over_is_reported(world: KafkaWorld) -> None:
    """Thrown out while joining, a member comes back under another id, as if nothing had been."""
    create(world, partitions=2)
    for partition in (0, 1):
        world.append(raws(b"a", b"b", b"c"), partition=partition)
    log, idle = world.log(), world.log()
    member = Member(log, deadline_s=world.deadline_s)
    coordinator = log._consumer._coordinator
    hands.assigned(idle, {0, 1})  # the first to come has all, and the group waits for it to share

    def shared() -> bool:
        hands.poll(idle)
        return len(member.owned) == 1 and not coordinator.rejoining

    settle(shared, member, deadline_s=world.deadline_s)
    owned = set(member.owned)
    newcomer = world.log()
    hands.poll(newcomer)
    eventually(coordinator.need_rejoin, "the member hears of the newcomer")
    log.poll(timeout_s=0, records_max=1)
    assert coordinator.rejoining
    world.expire(log)  # the broker keeps the join waiting for the idle one
    eventually(lambda: coordinator._join_task.is_done, "the join is refused")
    assert coordinator._join_task.failed()
    idle.close()
    newcomer.close()

    polled = hands.poll(log)
    while not polled.revoked:
        assert not polled.records
        polled = hands.poll(log)

    assert polled.revoked == owned
    assert not polled.records.keys() & owned
    assert not hands.poll(log).records.keys() & owned


def test_a_join_ends_however_short_the_polls_are(world: KafkaWorld) -> None:
    """The client throws a join away that ended between two polls, and begins another one."""
    create(world, partitions=4)
    members = [world.log(instance="w-0")]
    hands.assigned(members[0], {0, 1, 2, 3})
    for n in (2, 3, 4):
        members.append(world.log(instance=f"w-{n}"))
        owned: list[set[int]] = [set() for _ in members]
        generations: set[int] = set()

        def settled(owned: list[set[int]] = owned, generations: set[int] = generations) -> bool:
            for log, mine in zip(members, owned, strict=True):
                polled = log.poll(timeout_s=0, records_max=1)
                mine.difference_update(polled.revoked)
                mine.update(polled.assigned)
                generations.add(log._metadata.generation_id)
            return bool(owned[-1])

        eventually(settled, f"member {n} gets its share", within_s=5.0)
        assert len(generations) < 6, "each join was begun once or twice, not for ever"


def test_a_join_for_new_partitions_is_not_forgotten(world: KafkaWorld) -> None:
    """The client forgets that it is joining, if it does so because of the topic's partitions."""
    create(world)
    log = world.log()
    hands.assigned(log, {0})
    coordinator, name = log._consumer._coordinator, world.connection.names[Channel.EVENTS]
    with KafkaAdminClient(bootstrap_servers=world.broker.bootstrap_servers) as admin:
        admin.create_partitions({name: 2})

    def heard() -> bool:
        log._consumer._cluster.request_update()  # by itself it asks after five minutes
        return bool(coordinator.need_rejoin())

    eventually(heard, "the client hears of the new partition")
    log.poll(timeout_s=0, records_max=1)
    assert coordinator.rejoining
    eventually(lambda: coordinator._join_task.is_done, "the join ends between two polls")

    eventually(lambda: hands.poll(log).assigned == {1}, "the new partition", within_s=5.0)
    log.commit([], {0: at(1), 1: at(1)})


def test_the_older_of_two_twins_is_fenced_when_idle(world: KafkaWorld) -> None:
    """The client only logs it and lives on without heartbeats; the younger is not disturbed."""
    world.timings = Timings.of(10.0)
    create(world)
    older = world.log(instance="w-0")
    hands.assigned(older, {0})
    younger = world.log(instance="w-0")
    hands.assigned(younger, {0})

    def fenced() -> bool:
        try:
            hands.poll(older)
        except Fenced:
            return True
        return False

    eventually(fenced, "the older one notices", within_s=3.0)
    for call in (
        lambda: hands.poll(older),
        lambda: older.committed({0}),
        lambda: older.commit([output(b"older")], {0: at(9)}),
    ):
        with pytest.raises(Fenced):
            call()

    younger.commit([output(b"younger")], {0: at(1)})
    assert younger.committed({0}) == {0: at(1)}
    assert values(world.reader(), Channel.PREDICTIONS) == [b"younger"]


CHILD = """
import sys, time
from stream.adapters.kafka_python import Connection, KafkaLog
from stream.adapters.kafka_python import KafkaLog
from stream.config.timings import Timings
from stream.core.event import Channel
from tests.broker import kafka_hands as hands
from tests.contract.worlds import at, output

servers, name = sys.argv[1:]
names = {channel: f"{name}.{channel.value}" for channel in Channel}
connection = Connection(bootstrap_servers=servers, names=names, group=name)
log = KafkaLog(connection, timings=Timings.of(60.0), instance="w-0")
hands.assigned(log, {0})
log.commit([output(b"kept")], {0: at(1)})
topic = names[Channel.PREDICTIONS]
log._producer.begin_transaction()
log._producer.send(topic, b"lost", partition=0).get(10)
from kafka import OffsetAndMetadata, TopicPartition
offsets = {TopicPartition(names[Channel.EVENTS], 0): OffsetAndMetadata(99, "", -1)}
log._producer.send_offsets_to_transaction(offsets, log._metadata)
print("open", flush=True)
time.sleep(60)
"""


def test_a_stable_instance_takes_over_from_a_killed_one_at_once(world: KafkaWorld) -> None:
    """Neither the session (30 s) nor the open transaction (30 s) of the dead is waited for."""
    create(world)
    command = [sys.executable, "-c", CHILD, world.broker.bootstrap_servers, world.connection.group]
    child = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    child.kill()
    child.wait()

    with hands.takes(3.0):
        world.timings = Timings.of(60.0)
        heir = world.log(instance="w-0")
        hands.assigned(heir, {0})
        assert heir.committed({0}) == {0: at(1)}
        heir.commit([output(b"heir")], {0: at(2)})

    assert values(world.reader(), Channel.PREDICTIONS) == [b"kept", b"heir"]


def test_records_of_unsought_partitions_never_come(world: KafkaWorld) -> None:
    """Also while others flow, and over a rebalance."""
    create(world, partitions=2)
    for partition in (0, 1):
        world.append(raws(b"a", b"b"), partition=partition)
    log = world.log()
    hands.assigned(log, {0, 1})
    log.seek(0, 0)
    eventually(lambda: 0 in hands.poll(log).records, "the one that was sought")
    other = world.log()
    owned = {0, 1}

    def shared() -> bool:
        for each in (log, other):
            polled = hands.poll(each)
            assert polled.records.keys() <= {0}
            assert polled.positions.keys() <= {0}
            if each is log:
                owned.difference_update(polled.revoked)
        return len(owned) == 1

    eventually(shared, "the newcomer got one")
    other.close()
    deadline_s = time.monotonic() + 1.0
    while time.monotonic() < deadline_s:
        assert hands.poll(log).records.keys() <= {0}


def test_a_deleted_events_topic_is_misconfigured(world: KafkaWorld) -> None:
    """The group silently has nothing to assign then; the worker is told."""
    create(world)
    log = world.log()
    hands.assigned(log, {0})
    with KafkaAdminClient(bootstrap_servers=world.broker.bootstrap_servers) as admin:
        admin.delete_topics([world.connection.names[Channel.EVENTS]])

    def told() -> bool:
        try:
            hands.poll(log)
        except Misconfigured as error:
            assert "does not exist" in str(error)  # noqa: PT017  # only some polls raise
            return True
        return False

    log._consumer._cluster.request_update()  # the client asks by itself after five minutes
    eventually(told, "the missing topic is noticed")


def test_a_standby_without_partitions_is_no_error(world: KafkaWorld) -> None:
    """More workers than partitions: those without one just wait."""
    create(world)
    first, second = world.log(), world.log()
    hands.assigned(first, {0})
    deadline_s = time.monotonic() + 4.0
    while time.monotonic() < deadline_s:
        for log in (first, second):
            hands.poll(log)

    first.close()
    hands.assigned(second, {0})


def test_a_topic_that_the_client_overlooked_is_asked_for_again(world: KafkaWorld) -> None:
    """An answer to a question from before the subscription clears it; it would wait 5 minutes."""
    create(world)
    log = world.log()
    cluster = log._consumer._cluster
    eventually(lambda: not cluster.need_update, "the first metadata")
    cluster._partitions.clear()  # as if the answer had been to the client's first, empty question
    for tell in list(cluster._listeners):
        tell(cluster)

    eventually(lambda: hands.poll(log).assigned == {0}, "the partition", within_s=5.0)


def test_a_static_member_that_joined_too_early_gets_its_partition(world: KafkaWorld) -> None:
    """The broker gives the restarted member what its predecessor had: nothing."""
    early = world.log(instance="w-0")
    eventually(lambda: joined(early), "it joins")
    early._consumer._coordinator._disable_heartbeat()
    create(world)

    heir = world.log(instance="w-0")

    eventually(lambda: hands.poll(heir).assigned == {0}, "the partition", within_s=8.0)


def joined(log: KafkaLog) -> bool:
    """Whether one more poll makes it a member of the group, of whatever partitions."""
    hands.poll(log)
    return bool(log._consumer._coordinator.stable())


def test_an_answer_that_comes_between_two_looks_is_given_at_once(
    world: KafkaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client looks, then asks; what arrives in between it would leave lying for 100 ms."""
    create(world)
    member = world.log()
    hands.assigned(member, {0})
    member.seek(0, 0)
    fetcher = member._consumer._fetcher
    look, looks = fetcher.fetched_records, 0

    def too_early(*args: Any, **named: Any) -> Any:
        """The first look of a poll that finds something sees what was there just before."""
        nonlocal looks
        if not fetcher._completed_fetches or looks:
            return look(*args, **named)
        looks += 1
        return {}, False

    eventually(
        lambda: poll(member) == [] and bool(fetcher.in_flight_fetches()), "a fetch is under way"
    )
    monkeypatch.setattr(fetcher, "fetched_records", too_early)
    world.append(raws(b"one"))
    eventually(lambda: bool(fetcher._completed_fetches), "its answer is there")
    naps_s: list[float] = []
    monkeypatch.setattr(group.time, "sleep", naps_s.append)

    assert poll(member, timeout_s=5.0) == [b"one"]

    assert looks == 1
    assert naps_s == []
    member.close()


def poll(log: KafkaLog, *, timeout_s: float = 0.0) -> list[bytes | None]:
    """The values of what comes."""
    polled = log.poll(timeout_s=timeout_s, records_max=10)
    return [record.value for record in polled.records.get(0, ())]
