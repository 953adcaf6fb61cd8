"""The proven traps of kafka-python, each on a real broker: the adapter does not fall into them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from stream.config.timings import Timings
from stream.core.event import Channel, Output
from stream.errors import CommitLost, Fenced, Misconfigured, Retryable
from stream.sandbox import LocalKafka
from tests.broker import kafka_hands as hands
from tests.broker.checks import environment, eventually
from tests.contract.kafka_world import KafkaWorld
from tests.contract.worlds import (
    Fate,
    Member,
    at,
    create,
    output,
    raws,
    settle,
    values,
    working,
)

pytestmark = pytest.mark.broker


@pytest.fixture
def world(kafka: LocalKafka) -> Iterator[KafkaWorld]:
    """Topics of our own on the shared broker."""
    opened = KafkaWorld(kafka)
    yield opened
    opened.close()


def test_offsets_of_a_failed_transaction_are_not_committed_by_the_next(world: KafkaWorld) -> None:
    """The client keeps them, and would send them along with the next transaction's."""
    create(world, partitions=2)
    log = world.log()
    hands.assigned(log, {0, 1})
    with world.spoiled(log), pytest.raises(CommitLost):
        log.commit([output(b"lost")], {0: at(100), 1: at(100)})

    log.commit([output(b"kept")], {1: at(7)})

    assert log.committed({0, 1}) == {1: at(7)}
    assert values(world.reader(), Channel.PREDICTIONS) == [b"kept"]


def test_a_rebuilt_producer_has_the_same_transactional_id(world: KafkaWorld) -> None:
    """So its first call ends what the old one left open, and the old one is fenced."""
    create(world)
    log = world.log()
    hands.assigned(log, {0})
    old = log._producer
    assert old is not None
    with world.spoiled(log), pytest.raises(CommitLost):
        log.commit([output(b"lost")], {0: at(1)})
    assert log._producer is None

    with hands.takes(2.0):
        assert log.committed({0}) == {}

    new = log._producer
    assert new is not None
    assert new.config["transactional_id"] == old.config["transactional_id"]
    log.commit([output(b"kept")], {0: at(1)})
    assert values(world.reader(), Channel.PREDICTIONS) == [b"kept"]


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
    settle(
        lambda: bool(hands.poll(idle).assigned) or len(member.owned) == 1,
        member,
        deadline_s=world.deadline_s,
    )
    settle(
        lambda: not log._consumer._coordinator.rejoining and bool(hands.poll(idle)),
        member,
        deadline_s=world.deadline_s,
    )
    coordinator, owned = log._consumer._coordinator, set(member.owned)
    assert owned
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


def test_positions_move_past_markers_and_aborted_records(world: KafkaWorld) -> None:
    """Lag reaches 0 although the last offsets hold no record; what is open holds it back."""
    create(world)
    world.append(raws(b"a"))
    world.append(raws(b"never", b"never"), fate=Fate.ABORTED)
    world.append(raws(b"b"), fate=Fate.COMMITTED)
    world.append(raws(b"never"), fate=Fate.ABORTED)
    member = working(world)
    settle(lambda: len(member.records[0]) == 2, member, deadline_s=world.deadline_s)
    assert member.values() == [b"a", b"b"]
    eventually(lambda: member.poll().positions == {0: 8}, "the position is past the last marker")

    world.append(raws(b"open"), fate=Fate.OPEN)
    world.append(raws(b"behind"))
    for _ in range(5):
        polled = member.poll()
        assert not polled.records
        assert polled.positions == {0: 8}


def test_positions_wait_for_records_that_were_fetched_but_not_given(world: KafkaWorld) -> None:
    """A poll that gives no record does not claim those that lie in the client's buffer."""
    create(world)
    world.append(raws(*(b"%d" % n for n in range(50))))
    log = world.log()
    hands.assigned(log, {0})
    log.seek(0, 0)
    seen, deadline_s = 0, time.monotonic() + world.deadline_s
    while seen < 50:
        polled = log.poll(timeout_s=0, records_max=1)
        for record in polled.records.get(0, ()):
            assert record.offset == seen
            seen += 1
        assert polled.positions.get(0, seen) == seen
        assert time.monotonic() < deadline_s


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


def test_an_unfinished_foreign_transaction_makes_committed_retryable(world: KafkaWorld) -> None:
    """Its offsets may still move: nobody is told the old ones, and nobody hangs."""
    create(world)
    log = world.log()
    hands.assigned(log, {0})
    log.commit([], {0: at(1)})
    other = hands.raw_producer(world, f"{world.connection.group}-other")
    offsets = hands.offsets_of(world, {0: at(5)})
    other.send_offsets_to_transaction(offsets, world.connection.group)

    with hands.takes(6.5, at_least_s=4.5), pytest.raises(Retryable):
        log.committed({0})

    other.abort_transaction()
    other.close(timeout=2)
    assert log.committed({0}) == {0: at(1)}


def test_discarded_producers_leave_nothing_behind(world: KafkaWorld) -> None:
    """Twenty failed commits: no thread, no socket, no selector more than before."""
    create(world)
    log = world.log()
    hands.assigned(log, {0})
    log.commit([output(b"p")], {0: at(1)})
    threads, files_n = hands.threads(), hands.open_files_n()

    for _ in range(20):
        with world.spoiled(log), pytest.raises(CommitLost):
            log.commit([output(b"lost")], {0: at(2)})
        assert log.committed({0}) == {0: at(1)}
    log.commit([output(b"p")], {0: at(2)})

    assert len(hands.threads()) == len(threads)
    # A connection to the group's coordinator may have come.
    assert hands.open_files_n() <= files_n + 1


def test_closed_clients_leave_nothing_behind(world: KafkaWorld) -> None:
    """Each kind of client gives all of it back."""
    create(world)
    threads, files_n = hands.threads(), hands.open_files_n()
    for _ in range(3):
        log, reader, topics, feed = world.log(), world.reader(), world.topics(), world.feed()
        hands.assigned(log, {0})
        log.commit([output(b"p")], {0: at(1)})
        reader.committed()
        assert list(reader.read(Channel.PREDICTIONS, 0, 0, 1))
        topics.describe()
        feed.send(b"{}", key=None, timestamp_ms=None)
        feed.flush(timeout_s=10)
        for client in (log, reader, topics, feed):
            client.close()
            client.close()

    assert hands.threads() <= threads
    assert hands.open_files_n() <= files_n


def test_a_record_that_no_topic_takes_is_misconfigured(world: KafkaWorld) -> None:
    """Too large for the topic, or for us: a retry would not help; nothing of it is published."""
    create(world)
    log = world.log()
    hands.assigned(log, {0})
    for size in (2 << 20, 9 << 20):
        with pytest.raises(Misconfigured, match=r"max\.message\.bytes"):
            log.commit([output(b"small"), output(b"x" * size)], {0: at(1)})

    assert log.committed({0}) == {}
    log.commit([output(b"kept")], {0: at(1)})
    assert values(world.reader(), Channel.PREDICTIONS) == [b"kept"]


def test_a_batch_larger_than_a_topic_takes_is_split(world: KafkaWorld) -> None:
    """Records that fit one by one are published, however small `max.message.bytes` is."""
    create(world)
    name = world.connection.names[Channel.PREDICTIONS]
    with KafkaAdminClient(bootstrap_servers=world.broker.bootstrap_servers) as admin:
        limit = ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": "5000"})
        admin.alter_configs([limit])
    log = world.log()
    hands.assigned(log, {0})
    sent = [b"%03d" % n + os.urandom(997) for n in range(100)]

    log.commit([output(value) for value in sent], {0: at(1)})

    assert values(world.reader(), Channel.PREDICTIONS) == sent


def test_a_missing_output_topic_is_misconfigured(world: KafkaWorld) -> None:
    """No topic is made by the way, and the message names the key."""
    create(world)
    name = world.connection.names[Channel.ALERTS]
    log = world.log()
    hands.assigned(log, {0})
    with KafkaAdminClient(bootstrap_servers=world.broker.bootstrap_servers) as admin:
        admin.delete_topics([name])

    with hands.takes(world.timings.call_deadline_s), pytest.raises(Misconfigured, match="alerts"):
        log.commit([output(b"lost", channel=Channel.ALERTS)], {0: at(1)})

    assert world.topics().describe()[Channel.ALERTS] is None
    assert log.committed({0}) == {}


def test_partitions_that_were_just_added_can_be_written_to(world: KafkaWorld) -> None:
    """The client's knowledge of a topic may be minutes old: the next commit finds them."""
    create(world)
    log = world.log()
    hands.assigned(log, {0})
    log.commit([output(b"p")], {0: at(1)})
    name = world.connection.names[Channel.PREDICTIONS]
    with KafkaAdminClient(bootstrap_servers=world.broker.bootstrap_servers) as admin:
        admin.create_partitions({name: 2})
    added = Output(Channel.PREDICTIONS, 1, 0, b"k", b"added")

    def commits() -> bool:
        try:
            log.commit([added], {0: at(2)})
        except CommitLost:
            return False
        return True

    eventually(commits, "the new partition is known")
    assert values(world.reader(), Channel.PREDICTIONS, 1) == [b"added"]


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
