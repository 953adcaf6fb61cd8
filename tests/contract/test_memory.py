"""What the in-memory log adds to its port: faults at every step, and the broker's own clocks."""

from collections.abc import Iterator

import pytest

from stream.adapters.memory.topic import RECORDS_MAX
from stream.core.event import Channel
from stream.errors import CommitLost, Fenced, Internal, Retryable
from stream.ports import Bounds
from tests.contract.memory_world import NAMES, MemoryWorld
from tests.contract.worlds import (
    GROUP,
    at,
    create,
    eventually,
    output,
    raws,
    settle,
    values,
    working,
)

COMMIT_STEPS = [
    "send",
    *(f"{s}:{w}" for s in ("begin", "flush", "offsets", "end") for w in ("before", "after")),
]


class Crash(BaseException):
    """The worker's process is gone."""


@pytest.fixture
def memory() -> Iterator[MemoryWorld]:
    """A broker in memory with topics of two partitions."""
    memory = MemoryWorld()
    create(memory, partitions=2)
    yield memory
    memory.close()


def fail_once(memory: MemoryWorld, step: str, error: BaseException) -> None:
    """Let the next such step fail, and no other."""
    pending = [error]

    def faults(name: str) -> None:
        if name == step and pending:
            raise pending.pop()

    memory.broker.faults = faults


@pytest.mark.parametrize("step", COMMIT_STEPS)
def test_a_commit_failing_at_any_step_is_whole_or_nothing(memory: MemoryWorld, step: str) -> None:
    """Outputs and offset agree after a failure anywhere; only the very last step's was too late."""
    member = working(memory)
    fail_once(memory, step, Retryable("the network is down"))

    with pytest.raises(CommitLost):
        member.log.commit([output(b"p0"), output(b"p1")], {0: at(2)})

    took_effect = step == "end:after"
    assert member.log.committed({0}) == ({0: at(2)} if took_effect else {})
    assert values(memory.reader(), Channel.PREDICTIONS) == ([b"p0", b"p1"] if took_effect else [])


@pytest.mark.parametrize("step", COMMIT_STEPS)
def test_a_restart_after_a_crash_at_any_step_finds_the_truth(
    memory: MemoryWorld, step: str
) -> None:
    """A successor with the same instance ends what was left open before it looks at the offsets."""
    member = working(memory, instance="w-0")
    fail_once(memory, step, Crash())
    with pytest.raises(Crash):
        member.log.commit([output(b"p")], {0: at(1)})

    successor = working(memory, instance="w-0")

    took_effect = step == "end:after"
    assert successor.log.committed({0}) == ({0: at(1)} if took_effect else {})
    assert values(memory.reader(), Channel.PREDICTIONS) == ([b"p"] if took_effect else [])
    assert memory.broker.open_transactions() == ()


def test_an_heir_waits_for_a_dead_workers_transaction(memory: MemoryWorld) -> None:
    """Offsets in a foreign open transaction are not told until it ends, by its timeout at last."""
    dead = working(memory)
    fail_once(memory, "end:before", Crash())
    with pytest.raises(Crash):
        dead.log.commit([output(b"p")], {0: at(1)})
    memory.expire(dead.log)
    heir = memory.log()
    heir.poll(timeout_s=0, records_max=1)

    with pytest.raises(Retryable):
        heir.committed({0})
    assert heir.committed({1}) == {}
    assert memory.reader().bounds(Channel.PREDICTIONS, 0) == Bounds(0, 0)

    memory.broker.time_out()
    assert heir.committed({0}) == {}
    # The record and the marker stay in the log as a gap.
    assert memory.reader().bounds(Channel.PREDICTIONS, 0) == Bounds(0, 2)


def test_a_transaction_that_timed_out_cannot_commit(memory: MemoryWorld) -> None:
    """A worker slower than its transaction's timeout loses the commit and may go on."""
    member = working(memory)

    def faults(step: str) -> None:
        if step == "end:before":
            memory.broker.time_out()

    memory.broker.faults = faults
    with pytest.raises(CommitLost):
        member.log.commit([output(b"p")], {0: at(1)})

    memory.broker.faults = lambda _: None
    member.log.commit([output(b"q")], {0: at(1)})
    assert values(memory.reader(), Channel.PREDICTIONS) == [b"q"]


def test_a_younger_producer_fences_and_aborts(memory: MemoryWorld) -> None:
    """Of two producers with one transactional id the older one's transaction never commits."""
    older = memory.broker.producer("id")
    transaction = memory.broker.begin(older)
    memory.broker.append(NAMES[Channel.ALERTS], 0, value=b"never", transaction=transaction)

    memory.broker.producer("id")

    with pytest.raises(Fenced):
        memory.broker.commit(older, transaction)
    with pytest.raises(Fenced):
        memory.broker.begin(older)
    assert values(memory.reader(), Channel.ALERTS) == []


def test_a_fenced_twin_does_not_fence_back(memory: MemoryWorld) -> None:
    """A zombie that asks for its offsets must not abort its successor's transaction."""
    older = working(memory, instance="w-0")
    fail_once(memory, "send", Retryable("the network is down"))
    with pytest.raises(CommitLost):
        older.log.commit([output(b"p")], {0: at(1)})
    younger = working(memory, instance="w-0")

    with pytest.raises(Fenced):
        older.log.committed({0})
    with pytest.raises(Fenced):
        older.log.commit([output(b"zombie")], {0: at(9)})

    younger.log.commit([output(b"q")], {0: at(1)})
    assert values(memory.reader(), Channel.PREDICTIONS) == [b"q"]


def test_added_partitions_are_assigned(memory: MemoryWorld) -> None:
    """A topic that grew is noticed in the next poll."""
    member = working(memory)

    memory.broker.topic(NAMES[Channel.EVENTS]).grow(4)

    settle(lambda: member.owned == {0, 1, 2, 3}, member, deadline_s=memory.deadline_s)


def test_a_recreated_topic_has_another_id(memory: MemoryWorld) -> None:
    """A topic deleted and made again under its old name is told apart."""
    topics = memory.topics()
    before = topics.describe()[Channel.EVENTS]
    del memory.broker.topics[NAMES[Channel.EVENTS]]
    create(memory)

    after = topics.describe()[Channel.EVENTS]

    assert before is not None
    assert after is not None
    assert before.topic_id != after.topic_id


def test_an_idle_poll_asks_the_clock_to_wait(memory: MemoryWorld) -> None:
    """Time passes in an idle poll, and only there."""
    memory.append(raws(b"a"))
    member = working(memory)
    settle(lambda: bool(member.records[0]), member, deadline_s=memory.deadline_s)
    before_s = memory.broker.clock.monotonic()

    member.log.poll(timeout_s=2.5, records_max=1)
    assert memory.broker.clock.monotonic() == before_s + 2.5

    memory.append(raws(b"b"))
    member.log.poll(timeout_s=2.5, records_max=1)
    assert memory.broker.clock.monotonic() == before_s + 2.5


def test_partitions_are_shared_evenly_whoever_comes_and_goes(memory: MemoryWorld) -> None:
    """Each partition has one owner, and loads differ by one at most."""
    memory.broker.topic(NAMES[Channel.EVENTS]).grow(7)
    members = [working(memory)]
    for step in ("join", "join", "leave", "join", "leave", "join", "join"):
        if step == "leave":
            members.pop(0).log.close()
        else:
            log = memory.log()
            members.append(type(members[0])(log, deadline_s=memory.deadline_s))

        def even() -> bool:
            loads = [len(member.owned) for member in members]
            return sum(loads) == 7 and max(loads) - min(loads) <= 1

        settle(even, *members, deadline_s=memory.deadline_s)
        assert set().union(*(member.owned for member in members)) == set(range(7))


def test_other_groups_do_not_matter(memory: MemoryWorld) -> None:
    """Members and offsets belong to one group."""
    member = working(memory)
    member.log.commit([], {0: at(1)})

    assert memory.broker.group("other").offsets == {}
    eventually({0: at(1)}, lambda: memory.broker.group(GROUP).offsets, deadline_s=memory.deadline_s)


def test_the_memory_is_bounded(memory: MemoryWorld) -> None:
    """A runaway test ends with a word about it, not with all memory used."""
    partition = memory.broker.partition(NAMES[Channel.EVENTS], 0)
    partition._entries = [(None, None)] * (RECORDS_MAX - 1)
    memory.append(raws(b"last"))

    with pytest.raises(Internal):
        memory.append(raws(b"one more"))
