"""The port `Reader`, held on every adapter."""

import pytest

from stream.core.event import Channel
from stream.errors import LogLost, Misconfigured
from stream.ports import Bounds, Reader
from tests.contract.worlds import (
    Ability,
    Fate,
    World,
    at,
    create,
    eventually,
    everything,
    output,
    patiently,
    raws,
    settle,
    values,
    working,
)


def bounds(world: World, reader: Reader, *, partition: int = 0) -> Bounds:
    """The stable range of an events partition."""
    return patiently(lambda: reader.bounds(Channel.EVENTS, partition), deadline_s=world.deadline_s)


def test_a_new_partition_is_empty(world: World) -> None:
    """The range of a new partition is [0, 0), and nothing is in it."""
    create(world, partitions=2)
    reader = world.reader()

    assert bounds(world, reader, partition=1) == Bounds(0, 0)
    assert values(reader, Channel.EVENTS, 1) == []
    assert reader.committed() == {}


def test_a_range_is_read_whole_and_no_further(world: World) -> None:
    """`read` gives start <= offset < stop, in order, whatever the batches."""
    create(world)
    world.append(raws(*(b"%d" % n for n in range(100))))
    reader = world.reader()

    batches = list(reader.read(Channel.EVENTS, 0, 10, 90))

    offsets = [record.offset for batch in batches for record in batch]
    assert offsets == list(range(10, 90))
    assert list(reader.read(Channel.EVENTS, 0, 5, 5)) == []


def test_a_reader_can_stand_still_and_go_on(world: World) -> None:
    """Several reads on one reader, the first one unfinished, do not disturb each other."""
    create(world, partitions=2)
    for partition in (0, 1):
        world.append(raws(*(b"%d-%d" % (partition, n) for n in range(20))), partition=partition)
    reader = world.reader()

    unfinished = reader.read(Channel.EVENTS, 0, 0, 20)
    first = next(unfinished)
    assert values(reader, Channel.EVENTS, 1) == [b"1-%d" % n for n in range(20)]
    rest = [record.value for batch in unfinished for record in batch]

    assert [r.value for r in first] + rest == [b"0-%d" % n for n in range(20)]


def test_a_read_beyond_the_end_waits_and_says_so(world: World) -> None:
    """An empty batch means: still waiting; when the record is there, it comes."""
    create(world)
    world.append(raws(b"a"))
    reader = world.reader()

    batches = reader.read(Channel.EVENTS, 0, 0, 2)
    batch = next(batches)
    while not batch:
        batch = next(batches)
    assert [record.value for record in batch] == [b"a"]
    assert not next(batches)
    world.append(raws(b"b"))

    assert [record.value for batch in batches for record in batch] == [b"b"]


def test_a_start_before_the_logs_start_is_lost(world: World) -> None:
    """Retention moves the range's start; records below it are lost, loudly."""
    create(world)
    world.append(raws(b"a", b"b", b"c"))
    world.delete_before(Channel.EVENTS, 0, 2)
    reader = world.reader()

    eventually(Bounds(2, 3), lambda: reader.bounds(Channel.EVENTS, 0), deadline_s=world.deadline_s)
    assert values(reader, Channel.EVENTS) == [b"c"]
    with pytest.raises(LogLost):
        list(reader.read(Channel.EVENTS, 0, 0, 3))


def test_a_log_emptied_by_retention_has_bounds(world: World) -> None:
    """A partition of which nothing is left still knows where it ends."""
    create(world)
    world.append(raws(b"a", b"b"))
    world.delete_before(Channel.EVENTS, 0, 2)
    reader = world.reader()

    eventually(Bounds(2, 2), lambda: reader.bounds(Channel.EVENTS, 0), deadline_s=world.deadline_s)
    with pytest.raises(LogLost):
        list(reader.read(Channel.EVENTS, 0, 0, 2))


def test_unknown_topics_and_partitions_are_misconfigured(world: World) -> None:
    """Nobody waits for what does not exist."""
    reader = world.reader()
    with pytest.raises(Misconfigured):
        reader.bounds(Channel.EVENTS, 0)
    create(world)

    with pytest.raises(Misconfigured):
        bounds(world, world.reader(), partition=7)


@pytest.mark.needs(Ability.TRANSACTIONS)
def test_aborted_records_are_never_seen(world: World) -> None:
    """A reader passes over aborted records and markers, at the end of the log too."""
    create(world)
    world.append(raws(b"a"))
    world.append(raws(b"never", b"never"), fate=Fate.ABORTED)
    world.append(raws(b"b"), fate=Fate.COMMITTED)
    world.append(raws(b"never"), fate=Fate.ABORTED)
    reader = world.reader()

    # One plain record, four in transactions, three markers.
    eventually(Bounds(0, 8), lambda: reader.bounds(Channel.EVENTS, 0), deadline_s=world.deadline_s)
    read = list(reader.read(Channel.EVENTS, 0, 0, 8))

    assert [(r.offset, r.value) for batch in read for r in batch] == [(0, b"a"), (4, b"b")]
    assert [r.value for batch in reader.read(Channel.EVENTS, 0, 5, 8) for r in batch] == []


@pytest.mark.needs(Ability.TRANSACTIONS)
def test_an_open_transaction_holds_the_end_back(world: World) -> None:
    """Records from the first unstable one on are not there yet, plain ones behind it included."""
    create(world)
    world.append(raws(b"a", b"b"))
    world.append(raws(b"open"), fate=Fate.OPEN)
    world.append(raws(b"behind"))
    reader = world.reader()

    eventually(Bounds(0, 2), lambda: reader.bounds(Channel.EVENTS, 0), deadline_s=world.deadline_s)
    assert values(reader, Channel.EVENTS) == [b"a", b"b"]
    assert not next(reader.read(Channel.EVENTS, 0, 2, 4))


@pytest.mark.needs(Ability.TRANSACTIONS)
def test_a_worker_reads_over_aborted_records(world: World) -> None:
    """A worker never gets what was aborted, and goes on behind it."""
    create(world)
    world.append(raws(b"never"), fate=Fate.ABORTED)
    world.append(raws(b"a"), fate=Fate.COMMITTED)
    member = working(world)

    settle(lambda: bool(member.records[0]), member, deadline_s=world.deadline_s)

    assert [(r.offset, r.value) for r in member.records[0]] == [(2, b"a")]


def test_outputs_of_several_commits_are_read_in_order(world: World) -> None:
    """What a worker published is read over the gaps between its commits, up to the end."""
    create(world)
    member = working(world)
    for n in range(5):
        member.log.commit([output(b"%d" % n)], {0: at(n + 1)})
    reader = world.reader()

    expected = [b"%d" % n for n in range(5)]
    eventually(expected, lambda: values(reader, Channel.PREDICTIONS), deadline_s=world.deadline_s)
    offsets = [record.offset for record in everything(reader, Channel.PREDICTIONS)]
    assert offsets == sorted(set(offsets))


def test_the_groups_offsets_are_seen_while_it_works(world: World) -> None:
    """Status needs no worker to stop."""
    create(world, partitions=2)
    reader = world.reader()
    member = working(world)

    member.log.commit([], {0: at(4)})

    eventually({0: at(4)}, reader.committed, deadline_s=world.deadline_s)
