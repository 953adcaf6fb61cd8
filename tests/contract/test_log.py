"""The port `Log`, held on every adapter: polling alone."""

import pytest

from stream.core.event import Channel
from stream.errors import Internal, LogLost, Misconfigured
from tests.contract.worlds import (
    Member,
    Raw,
    World,
    create,
    eventually,
    fail,
    patiently,
    raws,
    settle,
    working,
)


def test_records_come_only_after_seek(world: World) -> None:
    """An assigned partition is silent until the worker said where to begin."""
    create(world)
    world.append(raws(b"a", b"b"))
    log = world.log()
    member = Member(log, deadline_s=world.deadline_s)
    polled = log.poll(timeout_s=0.1, records_max=10)
    while not polled.assigned:
        assert not polled.records
        polled = log.poll(timeout_s=0.1, records_max=10)

    assert polled.assigned == {0}
    assert not polled.records
    assert not log.poll(timeout_s=0.3, records_max=10).records

    log.seek(0, 1)
    member.owned, member.records = {0}, {0: []}
    settle(lambda: bool(member.records[0]), member, deadline_s=world.deadline_s)

    assert member.values() == [b"b"]


def test_a_paused_partition_is_silent_until_the_next_seek(world: World) -> None:
    """Polling goes on, other partitions come, and the seek decides where it goes on."""
    create(world, partitions=2)
    world.append(raws(b"a", b"b"))
    member = working(world)
    settle(lambda: member.values() == [b"a", b"b"], member, deadline_s=world.deadline_s)
    settle(lambda: 1 in member.owned, member, deadline_s=world.deadline_s)

    member.log.pause(0)
    world.append(raws(b"c"))
    world.append(raws(b"other"), partition=1)
    settle(lambda: member.values(1) == [b"other"], member, deadline_s=world.deadline_s)
    for _ in range(3):
        assert not member.poll().records
    member.log.seek(0, 1)
    settle(lambda: len(member.values()) == 4, member, deadline_s=world.deadline_s)

    assert member.values() == [b"a", b"b", b"b", b"c"]


def test_records_come_in_order_with_all_they_carry(world: World) -> None:
    """Key, value, timestamp and headers arrive as they were sent: null, empty and binary ones."""
    create(world)
    sent = [
        Raw(b"plain", key=b"k"),
        Raw(b"", key=b""),
        Raw(None, key=None),
        Raw(bytes(range(256)), key=b"\x00\xff", timestamp_ms=1_234_567_890_123),
        Raw(
            b"h",
            headers=(
                ("reason", b"not_json"),
                ("reason", b""),
                ("binary", b"\x00\xff"),
                ("null", None),
            ),
        ),
    ]
    world.append(sent)
    member = working(world)

    settle(lambda: len(member.records[0]) == len(sent), member, deadline_s=world.deadline_s)

    received = member.records[0]
    assert [r.offset for r in received] == [0, 1, 2, 3, 4]
    assert {r.partition for r in received} == {0}
    assert [Raw(r.value, r.key, r.timestamp_ms, tuple(r.headers)) for r in received] == sent


def test_a_seek_goes_back_and_forth(world: World) -> None:
    """The last seek decides, also on a partition that was read already."""
    create(world)
    world.append(raws(b"a", b"b", b"c"))
    member = working(world)
    settle(lambda: len(member.records[0]) == 3, member, deadline_s=world.deadline_s)

    member.log.seek(0, 1)

    settle(lambda: len(member.records[0]) == 5, member, deadline_s=world.deadline_s)
    assert member.values() == [b"a", b"b", b"c", b"b", b"c"]


def test_a_seek_on_a_foreign_partition_is_our_mistake(world: World) -> None:
    """Only assigned partitions can be told where to begin."""
    create(world)
    with pytest.raises(Internal):
        working(world).log.seek(7, 0)


def test_a_poll_gives_no_more_than_asked(world: World) -> None:
    """`records_max` bounds all partitions of a batch together, and nothing is skipped by it."""
    create(world, partitions=2)
    sent = {partition: [b"%d-%d" % (partition, n) for n in range(10)] for partition in (0, 1)}
    for partition, batch in sent.items():
        world.append(raws(*batch), partition=partition)
    log = world.log()
    seen: dict[int, list[bytes | None]] = {0: [], 1: []}
    sizes: list[int] = []

    def look() -> bool:
        polled = patiently(
            lambda: log.poll(timeout_s=0.1, records_max=3), deadline_s=world.deadline_s
        )
        for partition in polled.assigned:
            log.seek(partition, 0)
        for partition, records in polled.records.items():
            seen[partition] += [record.value for record in records]
        sizes.append(sum(map(len, polled.records.values())))
        return seen == sent

    eventually(True, look, deadline_s=world.deadline_s)
    assert max(sizes) <= 3


def test_a_poll_that_fails_loses_no_record(world: World) -> None:
    """What the client had fetched comes with a later poll: once, and in order."""
    create(world, partitions=2)
    member = working(world)
    settle(lambda: member.owned == {0, 1}, member, deadline_s=world.deadline_s)
    sent = {partition: [b"%d-%d" % (partition, n) for n in range(20)] for partition in (0, 1)}

    with world.troubled(member.log):
        for partition, batch in sent.items():
            world.append(raws(*batch), partition=partition)
        fail(member, for_s=world.hearing_s)

    settle(
        lambda: all(len(member.records[p]) >= 20 for p in sent),
        member,
        deadline_s=world.deadline_s,
    )
    assert {p: member.values(p) for p in sent} == sent


def test_a_poll_without_a_topic_is_misconfigured(world: World) -> None:
    """A missing events topic is the operator's to make; waiting would not help."""
    member = Member(world.log(), deadline_s=world.deadline_s)

    with pytest.raises(Misconfigured):
        settle(lambda: False, member, deadline_s=world.deadline_s)


def test_a_position_that_retention_overtook_is_lost(world: World) -> None:
    """A worker is told of records that are gone; nothing is skipped silently."""
    create(world)
    world.append(raws(b"a", b"b", b"c"))
    world.delete_before(Channel.EVENTS, 0, 2)

    with pytest.raises(LogLost):
        settle(lambda: False, working(world), deadline_s=world.deadline_s)
