"""The ports `Topics` and `Feed`, held on every adapter."""

import msgspec
import pytest

from stream.core.event import ALWAYS, Channel
from stream.errors import Misconfigured
from stream.ports import TopicInfo, Topics
from tests.contract.worlds import (
    Ability,
    Raw,
    World,
    create,
    eventually,
    everything,
    patiently,
    values,
    working,
)


def described(world: World, topics: Topics, channel: Channel) -> TopicInfo:
    """A topic that is there, as soon as the broker says so."""
    eventually(True, lambda: topics.describe()[channel] is not None, deadline_s=world.deadline_s)
    info = topics.describe()[channel]
    assert info is not None
    return info


def test_missing_topics_are_none(world: World) -> None:
    """`describe` names the channels of every pipeline, whether their topics exist or not."""
    topics = world.topics()

    assert patiently(topics.describe, deadline_s=world.deadline_s) == dict.fromkeys(ALWAYS)
    assert topics.describe((Channel.BASES,)) == {Channel.BASES: None}


def test_a_group_has_as_many_members_as_work_in_it(world: World) -> None:
    """Nobody before the first, nobody after the last; one process alone never sees another."""
    create(world)
    topics = world.topics()
    assert patiently(topics.members, deadline_s=world.deadline_s) == 0

    log = working(world).log

    assert topics.members() == (0 if Ability.GROUPS in world.unsupported else 1)
    log.close()
    eventually(0, topics.members, deadline_s=world.deadline_s)


def test_what_this_instance_left_behind_is_no_member_beside_it(world: World) -> None:
    """One with a name stays a member after it stopped, until its session ends."""
    create(world)
    topics = world.topics()
    log = working(world, instance="w-0").log

    assert topics.members(but="w-0") == 0
    assert topics.members(but="w-1") == (0 if Ability.GROUPS in world.unsupported else 1)
    log.close()
    assert topics.members(but="w-0") == 0


def test_a_made_topic_is_described(world: World) -> None:
    """Partitions and retention are as asked; an id tells it from another topic of that name."""
    topics = world.topics()

    topics.create(Channel.EVENTS, partitions=3, retention_ms=86_400_000)
    topics.create(Channel.ALERTS, partitions=1, retention_ms=-1)

    events = described(world, topics, Channel.EVENTS)
    alerts = described(world, topics, Channel.ALERTS)
    assert (events.partitions, alerts.partitions) == (3, 1)
    assert events.retention_ms in (86_400_000, None)
    assert alerts.retention_ms in (-1, None)
    assert events.cleanup_policy in ("delete", None)
    assert events.name != alerts.name
    assert not events.topic_id or events.topic_id != alerts.topic_id
    assert topics.describe()[Channel.PREDICTIONS] is None


def test_making_a_topic_twice_changes_nothing(world: World) -> None:
    """`create` is fine with a topic that is there, and leaves it as it is."""
    topics = world.topics()
    topics.create(Channel.EVENTS, partitions=2, retention_ms=-1)
    made = described(world, topics, Channel.EVENTS)

    topics.create(Channel.EVENTS, partitions=5, retention_ms=-1)

    assert described(world, world.topics(), Channel.EVENTS) == made


def test_nothing_is_denied_to_an_allowed_user(world: World) -> None:
    """A user who may do everything gets no complaint."""
    create(world)

    assert world.topics().denied() == []


def test_a_feed_says_how_many_were_acknowledged(world: World) -> None:
    """`flush` counts all acknowledged events since the start."""
    create(world)
    feed = world.feed()

    for n in range(3):
        feed.send(b"%d" % n, key=None, timestamp_ms=None)
    assert feed.flush(timeout_s=30) == 3
    feed.send(b"3", key=None, timestamp_ms=None)
    assert feed.flush(timeout_s=30) == 4
    assert feed.flush(timeout_s=30) == 4

    reader = world.reader()
    records = everything(reader, Channel.EVENTS)
    assert [record.value for record in records] == [b"0", b"1", b"2", b"3"]
    assert all(record.timestamp_ms > 1_700_000_000_000 for record in records)


def test_a_feed_sends_an_event_as_it_is(world: World) -> None:
    """Key, value, timestamp and headers are untouched."""
    create(world)
    feed = world.feed()

    feed.send(
        b'{"a": 1}',
        key=b"\x00k",
        timestamp_ms=1_234_567_890_123,
        headers=(("h", b"\xff"), ("n", None)),
    )
    feed.flush(timeout_s=30)

    (record,) = everything(world.reader(), Channel.EVENTS)
    assert (record.key, record.value) == (b"\x00k", b'{"a": 1}')
    assert record.timestamp_ms == 1_234_567_890_123
    assert tuple(record.headers) == (("h", b"\xff"), ("n", None))


def test_a_key_decides_the_partition(world: World) -> None:
    """Events with one key stay in one partition, in order; many keys use all partitions."""
    create(world, partitions=3)
    feed = world.feed()

    for n in range(300):
        feed.send(b"%d" % n, key=b"k%d" % (n % 30), timestamp_ms=None)
    assert feed.flush(timeout_s=30) == 300

    reader = world.reader()
    places: dict[bytes | None, set[int]] = {}
    for partition in range(3):
        numbers: dict[bytes | None, list[int]] = {}
        for record in everything(reader, Channel.EVENTS, partition):
            places.setdefault(record.key, set()).add(partition)
            numbers.setdefault(record.key, []).append(int(record.value or b"-1"))
        assert all(sent == sorted(sent) and len(sent) == 10 for sent in numbers.values())
    assert all(len(partitions) == 1 for partitions in places.values())
    assert set().union(*places.values()) == {0, 1, 2}


def test_many_events_go_through_a_feed(world: World) -> None:
    """More events than any queue holds: all are acknowledged and in order."""
    create(world)
    feed = world.feed()

    for n in range(10_000):
        feed.send(b"%d" % n, key=b"k", timestamp_ms=n)
    assert feed.flush(timeout_s=60) == 10_000

    records = everything(world.reader(), Channel.EVENTS)
    assert [int(record.value or b"-1") for record in records] == list(range(10_000))


def test_a_feed_without_a_topic_is_misconfigured(world: World) -> None:
    """Events for a missing topic are refused, at the latest when they are flushed."""
    feed = world.feed()

    def feed_one() -> None:
        feed.send(b"{}", key=None, timestamp_ms=None)
        feed.flush(timeout_s=30)

    with pytest.raises(Misconfigured):
        feed_one()


def test_a_feed_sends_to_the_partition_and_the_topic_that_are_asked_for(world: World) -> None:
    """Whatever the key is: a command goes beside the events that it is about."""
    create(world, partitions=3)
    feed = world.feed(channel=Channel.CONTROL)

    for n in range(9):
        feed.send(b"%d" % n, key=b"k" if n % 2 else None, timestamp_ms=n, partition=n % 3)
    feed.send(b"by its key", key=b"k", timestamp_ms=None)
    assert feed.flush(timeout_s=30) == 10

    reader = world.reader()
    sent = [values(reader, Channel.CONTROL, partition) for partition in range(3)]
    spread = [value for part in sent for value in part if value == b"by its key"]
    assert [[v for v in part if v not in spread] for part in sent] == [
        [b"%d" % n for n in range(9) if n % 3 == partition] for partition in range(3)
    ]
    assert len(spread) == 1
    assert values(reader, Channel.EVENTS) == []


def test_a_feed_to_a_partition_that_is_not_there_is_misconfigured(world: World) -> None:
    """At the latest when it is flushed; nothing is sent to another one."""
    create(world, partitions=2)
    feed = world.feed(channel=Channel.CONTROL)

    def feed_one() -> None:
        feed.send(b"{}", key=None, timestamp_ms=None, partition=2)
        feed.flush(timeout_s=30)

    with pytest.raises(Misconfigured):
        feed_one()
    reader = world.reader()
    assert [values(reader, Channel.CONTROL, partition) for partition in range(2)] == [[], []]


def test_a_topic_can_be_widened(world: World) -> None:
    """It has as many partitions as were asked for, never fewer, and keeps what was in it."""
    create(world)
    world.append([Raw(b"kept")])
    topics = world.topics()
    before = described(world, topics, Channel.EVENTS)

    topics.widen(Channel.EVENTS, partitions=3)
    topics.widen(Channel.EVENTS, partitions=3)
    topics.widen(Channel.EVENTS, partitions=2)

    after = described(world, topics, Channel.EVENTS)
    assert after == msgspec.structs.replace(before, partitions=3)
    assert [r.value for r in everything(world.reader(), Channel.EVENTS)] == [b"kept"]
