"""The proven traps of kafka-python, each on a real broker: the adapter does not fall into them."""

import os
import time
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from stream.adapters.kafka_python import producing
from stream.core.event import Channel, Output
from stream.errors import CommitLost, Misconfigured, Retryable
from stream.sandbox import LocalKafka
from tests.broker import kafka_hands as hands
from tests.contract.kafka_world import KafkaWorld
from tests.contract.worlds import (
    Fate,
    at,
    create,
    output,
    raws,
    settle,
    values,
    working,
)
from tests.patience import eventually

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


def test_what_a_dead_nameless_worker_left_open_is_ended_by_its_successor(
    world: KafkaWorld,
) -> None:
    """Its id is known to nobody; the broker alone would let all wait, up to ten seconds longer."""
    create(world)
    dead = hands.raw_producer(world, f"{world.connection.group}-0123456789ab")
    dead.send(world.connection.names[Channel.PREDICTIONS], b"never", partition=0)
    dead.send_offsets_to_transaction(hands.offsets_of(world, {0: at(5)}), world.connection.group)
    other = hands.raw_producer(world, f"{world.connection.group}-else-0123456789ab")
    other.send(world.connection.names[Channel.ALERTS], b"somebody else's", partition=0)
    other.flush()
    producing.discard(dead)
    time.sleep(world.timings.session_timeout_ms / 1000)
    log = world.log()
    hands.assigned(log, {0})

    with hands.takes(3.0):
        assert log.committed({0}) == {}

    log.commit([output(b"mine")], {0: at(1)})
    assert values(world.reader(), Channel.PREDICTIONS) == [b"mine"]
    other.commit_transaction()
    other.close(timeout=2)
    assert values(world.reader(), Channel.ALERTS) == [b"somebody else's"]


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
        feed.flush(timeout_s=60)
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
        # The answer is the controller's; the broker takes records until it has heard of it.
        eventually(lambda: name not in admin.list_topics(), "the topic is gone")

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
