"""`Log.commit` and `Log.committed`, held on every adapter: one worker alone."""

import gc
import statistics
import time
import weakref

import pytest

from stream.core.event import Channel, Output
from stream.errors import Misconfigured, StreamError
from stream.ports import Committed
from tests.contract.worlds import (
    Ability,
    World,
    at,
    create,
    eventually,
    everything,
    failure,
    output,
    raws,
    settle,
    values,
    working,
)


def test_a_commit_shows_outputs_and_offsets_together(world: World) -> None:
    """After a commit an outsider sees all outputs, in order, and the offset with its metadata."""
    create(world)
    member = working(world)
    reader = world.reader()

    member.log.commit(
        [
            output(b"p0"),
            output(b"a0", channel=Channel.ALERTS),
            output(b"p1"),
            output(b"q0", channel=Channel.QUARANTINE),
        ],
        {0: at(2)},
    )

    outputs = (Channel.PREDICTIONS, Channel.ALERTS, Channel.QUARANTINE)
    eventually(
        [[b"p0", b"p1"], [b"a0"], [b"q0"]],
        lambda: [values(reader, channel) for channel in outputs],
        deadline_s=world.deadline_s,
    )
    eventually({0: at(2)}, reader.committed, deadline_s=world.deadline_s)
    eventually({0: at(2)}, lambda: member.log.committed({0}), deadline_s=world.deadline_s)


def test_an_output_keeps_all_it_carries(world: World) -> None:
    """Key, value, timestamp and headers of an output are published untouched."""
    create(world, partitions=2)
    member = working(world)
    sent = [
        Output(Channel.QUARANTINE, 1, 1_234_567_890_123, b"\x00\xff", bytes(range(256))),
        Output(Channel.QUARANTINE, 1, 1, None, None, (("stream.reason", b"not_json"),)),
        Output(Channel.QUARANTINE, 1, 2, b"", b"", (("a", b""), ("a", b"\xff"), ("a", None))),
    ]

    member.log.commit(sent, {0: at(1)})

    def seen() -> list[Output]:
        return [
            Output(
                Channel.QUARANTINE, r.partition, r.timestamp_ms, r.key, r.value, tuple(r.headers)
            )
            for r in everything(world_reader, Channel.QUARANTINE, 1)
        ]

    world_reader = world.reader()
    eventually(sent, seen, deadline_s=world.deadline_s)


def test_a_commit_right_after_another_takes_milliseconds(world: World) -> None:
    """A broker sends a transaction away while it still writes the marks of the last one."""
    create(world)
    member = working(world)
    took_s = []
    for offset in range(1, 21):
        began = time.monotonic()
        member.log.commit([output(b"p")], {0: at(offset)})
        took_s.append(time.monotonic() - began)

    # A client waits 100 ms after such an answer, which is nearly each, unless it is told otherwise.
    # The quickest quarter: a busy machine holds up many of the others.
    assert statistics.quantiles(took_s)[0] < 0.09, took_s


def test_commits_may_be_empty_on_one_side(world: World) -> None:
    """Offsets may move without outputs, and outputs come without offsets, large ones too."""
    create(world)
    member = working(world)

    member.log.commit([], {0: at(5)})
    eventually({0: at(5)}, lambda: member.log.committed({0}), deadline_s=world.deadline_s)
    member.log.commit([output(b"p")], {0: at(6)})

    eventually({0: at(6)}, lambda: member.log.committed({0}), deadline_s=world.deadline_s)
    reader = world.reader()
    eventually([b"p"], lambda: values(reader, Channel.PREDICTIONS), deadline_s=world.deadline_s)
    # As a base is published, in pieces as large as they are, before an offset names it.
    pieces = [output(b"%d" % i * 900_000, channel=Channel.BASES) for i in range(3)]
    member.log.commit(pieces, {})

    expected = [piece.value for piece in pieces]
    eventually(expected, lambda: values(reader, Channel.BASES), deadline_s=world.deadline_s)
    assert member.log.committed({0}) == {0: at(6)}


def test_a_partition_never_committed_is_left_out(world: World) -> None:
    """`committed` tells a missing offset from offset 0, and only of what was asked."""
    create(world, partitions=3)
    member = working(world)

    member.log.commit([], {0: at(0), 1: at(9)})

    eventually({0: at(0)}, lambda: member.log.committed({0, 2}), deadline_s=world.deadline_s)


@pytest.mark.parametrize("metadata", ["", "v1;n=12;h=0123456789abcdef;f=01234567", "~" * 200])
def test_metadata_comes_back_as_it_was(world: World, metadata: str) -> None:
    """ASCII metadata of up to 200 bytes lies beside the offset."""
    create(world)
    member = working(world)

    committed = {0: Committed(3, metadata)}
    member.log.commit([], committed)

    eventually(committed, lambda: member.log.committed({0}), deadline_s=world.deadline_s)


def test_a_failing_commit_leaves_neither(world: World) -> None:
    """Outputs of a failed commit are never seen and its offsets never move; the log goes on."""
    create(world)
    world.append(raws(b"a"))
    member = working(world)
    member.log.commit([output(b"first")], {0: at(1)})

    with world.spoiled(member.log), pytest.raises(StreamError):
        member.log.commit([output(b"lost")], {0: at(2)})

    eventually({0: at(1)}, lambda: member.log.committed({0}), deadline_s=world.deadline_s)
    settle(lambda: 0 in member.owned, member, deadline_s=world.deadline_s)
    member.log.commit([output(b"second")], {0: at(2)})
    reader = world.reader()
    eventually(
        [b"first", b"second"],
        lambda: values(reader, Channel.PREDICTIONS),
        deadline_s=world.deadline_s,
    )
    eventually({0: at(2)}, lambda: member.log.committed({0}), deadline_s=world.deadline_s)


def test_a_commit_to_a_missing_partition_is_misconfigured(world: World) -> None:
    """An output topic with too few partitions is the operator's to mend; nothing is published."""
    create(world)
    member = working(world)
    misplaced = Output(Channel.PREDICTIONS, 3, 0, None, b"lost")

    with pytest.raises(Misconfigured):
        member.log.commit([output(b"lost"), misplaced], {0: at(1)})

    member.log.commit([output(b"kept")], {0: at(1)})
    reader = world.reader()
    eventually([b"kept"], lambda: values(reader, Channel.PREDICTIONS), deadline_s=world.deadline_s)


@pytest.mark.needs(Ability.AT_LEAST_ONCE)
def test_at_least_once_may_show_outputs_whose_offsets_never_moved(world: World) -> None:
    """With the weaker guarantee a failed commit may leave outputs, and never moves offsets."""
    create(world)
    member = working(world, exactly_once=False)

    with world.spoiled(member.log), pytest.raises(StreamError):
        member.log.commit([output(b"p")], {0: at(1)})

    eventually({}, lambda: member.log.committed({0}), deadline_s=world.deadline_s)
    reader = world.reader()
    eventually([b"p"], lambda: values(reader, Channel.PREDICTIONS), deadline_s=world.deadline_s)


def test_at_least_once_makes_both_durable(world: World) -> None:
    """With the weaker guarantee outputs and offsets are both there when a commit returns."""
    create(world)
    member = working(world, exactly_once=False)

    member.log.commit([output(b"p")], {0: at(1)})

    reader = world.reader()
    eventually([b"p"], lambda: values(reader, Channel.PREDICTIONS), deadline_s=world.deadline_s)
    eventually({0: at(1)}, lambda: member.log.committed({0}), deadline_s=world.deadline_s)


def test_big_batches_keep_their_order(world: World) -> None:
    """Thousands of records in, thousands of outputs in one commit: none is missing or moved."""
    create(world)
    sent = [b"%06d" % n + b"x" * 200 for n in range(5_000)]
    world.append(raws(*sent))
    member = working(world)
    settle(lambda: len(member.records[0]) == len(sent), member, deadline_s=world.deadline_s)
    assert member.values() == sent

    member.log.commit([output(value) for value in sent], {0: at(len(sent))})

    reader = world.reader()
    eventually(sent, lambda: values(reader, Channel.PREDICTIONS), deadline_s=world.deadline_s)


def test_a_successor_goes_on_from_the_committed_offset(world: World) -> None:
    """After a clean end the next worker gets exactly what was not committed."""
    create(world)
    world.append(raws(b"a", b"b", b"c"))
    first = working(world)
    settle(lambda: len(first.records[0]) == 3, first, deadline_s=world.deadline_s)
    first.log.commit([output(b"p0")], {0: at(1)})
    first.log.close()

    second = working(world)

    settle(lambda: len(second.records[0]) == 2, second, deadline_s=world.deadline_s)
    assert second.values() == [b"b", b"c"]


class Batch(list[Output]):
    """A list that can be referred to weakly."""


def test_a_lost_commit_keeps_nothing_of_its_outputs(world: World) -> None:
    """They are some megabytes, and cycles are collected rarely in a worker."""
    create(world)
    log = working(world).log
    outputs = Batch([output(b"lost")])
    kept = weakref.ref(outputs)
    gc.disable()
    try:
        with world.spoiled(log):
            assert failure(log, outputs, {0: at(1)})
        del outputs
        assert kept() is None
    finally:
        gc.enable()
