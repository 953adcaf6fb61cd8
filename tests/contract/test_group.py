"""The port `Log`, held on every adapter that knows several workers: sharing, loss, twins."""

import time

import pytest

from stream.core.event import Channel
from stream.errors import CommitLost, Fenced
from tests.contract.worlds import (
    Ability,
    Member,
    World,
    at,
    create,
    eventually,
    fail,
    output,
    patiently,
    raws,
    settle,
    values,
    working,
)


def test_one_worker_gets_all_partitions(world: World) -> None:
    """A worker alone is assigned everything, once."""
    create(world, partitions=4)
    member = Member(world.log(), deadline_s=world.deadline_s)

    settle(lambda: len(member.owned) == 4, member, deadline_s=world.deadline_s)

    assert sorted(p for polled in member.polls for p in polled.assigned) == [0, 1, 2, 3]


@pytest.mark.needs(Ability.GROUPS)
def test_two_members_share_and_a_leaver_gives_back(world: World) -> None:
    """A newcomer gets what its owners gave up; a leaver's partitions come back."""
    create(world, partitions=4)
    first = working(world)
    settle(lambda: len(first.owned) == 4, first, deadline_s=world.deadline_s)
    second = Member(world.log(), deadline_s=world.deadline_s)

    settle(
        lambda: len(first.owned) == len(second.owned) == 2,
        first,
        second,
        deadline_s=world.deadline_s,
    )
    assert not first.owned & second.owned
    kept = set(first.owned)

    second.log.close()
    settle(lambda: len(first.owned) == 4, first, deadline_s=world.deadline_s)

    # Cooperative: what stays with its owner is not taken away in between.
    assert not any(kept & polled.revoked for polled in first.polls)


@pytest.mark.needs(Ability.GROUPS)
def test_a_moved_partition_goes_on_from_its_committed_offset(world: World) -> None:
    """The new owner continues where the old one committed."""
    create(world, partitions=2)
    for partition in (0, 1):
        world.append(raws(b"a", b"b", b"c"), partition=partition)
    first = working(world)
    settle(lambda: len(first.owned) == 2, first, deadline_s=world.deadline_s)
    first.log.commit([], {0: at(2), 1: at(2)})
    second = Member(world.log(), deadline_s=world.deadline_s)

    settle(lambda: len(second.owned) == 1, first, second, deadline_s=world.deadline_s)
    (moved,) = second.owned
    world.append(raws(b"d"), partition=moved)

    # The old owner polls too: a `Member` refuses records of a partition that it gave up.
    settle(lambda: len(second.records[moved]) == 2, first, second, deadline_s=world.deadline_s)
    patiently(first.poll, deadline_s=world.deadline_s)
    assert second.values(moved) == [b"c", b"d"]


@pytest.mark.needs(Ability.GROUPS)
def test_a_dead_members_partitions_move_when_its_session_ends(world: World) -> None:
    """Nobody has to tell the group of a death, and what the dead one did not commit comes again."""
    create(world)
    world.append(raws(b"a", b"b"))
    first = working(world)
    settle(lambda: len(first.records[0]) == 2, first, deadline_s=world.deadline_s)
    first.log.commit([output(b"p0")], {0: at(1)})

    world.kill(first.log)
    world.expire(first.log)
    second = working(world)

    settle(lambda: len(second.records[0]) == 1, second, deadline_s=world.deadline_s)
    assert second.values() == [b"b"]


@pytest.mark.needs(Ability.GROUPS)
def test_a_lost_members_commit_is_refused(world: World) -> None:
    """A zombie changes nothing: neither its outputs nor its offsets are ever seen."""
    create(world)
    zombie = working(world)
    zombie.log.commit([output(b"before")], {0: at(1)})
    world.expire(zombie.log)
    heir = working(world)

    with pytest.raises(CommitLost):
        zombie.log.commit([output(b"zombie")], {0: at(99)})

    patiently(lambda: heir.log.commit([output(b"heir")], {0: at(2)}), deadline_s=world.deadline_s)
    reader = world.reader()
    eventually(
        [b"before", b"heir"],
        lambda: values(reader, Channel.PREDICTIONS),
        deadline_s=world.deadline_s,
    )
    eventually({0: at(2)}, reader.committed, deadline_s=world.deadline_s)


@pytest.mark.needs(Ability.GROUPS)
def test_a_lost_member_is_told_and_may_come_back(world: World) -> None:
    """A lost membership shows in the next polls: everything revoked, then assigned anew."""
    member = between_two(world)
    world.expire(member.log)
    world.append(raws(b"c"))
    n = len(member.polls)

    settle(
        lambda: any(0 in p.assigned for p in member.polls[n:]),
        member,
        deadline_s=world.deadline_s,
    )

    assert any(0 in polled.revoked for polled in member.polls[n:])
    settle(lambda: member.values() == [b"b", b"c"], member, deadline_s=world.deadline_s)
    member.log.commit([], {0: at(2)})
    eventually({0: at(2)}, lambda: member.log.committed({0}), deadline_s=world.deadline_s)


@pytest.mark.needs(Ability.GROUPS)
def test_a_loss_is_told_although_the_poll_fails(world: World) -> None:
    """A worker that never heard of it would go on with what another one had meanwhile."""
    member = between_two(world)
    n = len(member.polls)

    with world.troubled(member.log):
        world.expire(member.log)
        # Long enough to hear of it and to come back, both in polls that fail.
        fail(member, for_s=world.hearing_s)

    settle(lambda: member.values() == [b"b"], member, deadline_s=world.deadline_s)
    assert any(0 in polled.revoked for polled in member.polls[n:])
    assert any(0 in polled.assigned for polled in member.polls[n:])


@pytest.mark.needs(Ability.GROUPS)
def test_what_a_lost_member_had_goes_to_who_joins_with_it(world: World) -> None:
    """If it still claimed that, it would be kept for it in this round, and no other would come."""
    create(world, partitions=3)
    first = working(world)
    settle(lambda: len(first.owned) == 3, first, deadline_s=world.deadline_s)
    second = Member(world.log(), deadline_s=world.deadline_s)
    settle(
        lambda: (len(first.owned), len(second.owned)) == (2, 1),
        first,
        second,
        deadline_s=world.deadline_s,
    )
    third = Member(world.log(), deadline_s=world.deadline_s)

    # The round that the loss begins waits for the second, and so the third joins in it, too.
    world.expire(first.log)
    until_s = time.monotonic() + world.hearing_s
    while time.monotonic() < until_s:
        for member in (first, third):
            patiently(member.poll, deadline_s=world.deadline_s)

    every = (first, second, third)
    settle(
        lambda: [len(member.owned) for member in every] == [1, 1, 1],
        *every,
        deadline_s=world.deadline_s,
    )


@pytest.mark.needs(Ability.INSTANCES)
def test_a_restart_under_one_instance_name_takes_over_at_once(world: World) -> None:
    """Nobody waits for the session of a dead predecessor with the same instance name."""
    create(world, partitions=2)
    world.append(raws(b"a", b"b"))
    first = working(world, instance="w-0")
    settle(lambda: len(first.owned) == 2, first, deadline_s=world.deadline_s)
    first.log.commit([output(b"p0")], {0: at(1)})
    world.kill(first.log)

    second = working(world, instance="w-0")

    settle(lambda: second.values() == [b"b"], second, deadline_s=world.deadline_s)
    assert second.owned == {0, 1}


@pytest.mark.needs(Ability.INSTANCES)
def test_the_older_of_two_twins_is_fenced(world: World) -> None:
    """Of two living workers with one instance name the older one ends, loudly and harmlessly."""
    create(world)
    older = working(world, instance="w-0")
    older.log.commit([output(b"before")], {0: at(1)})
    younger = working(world, instance="w-0")

    with pytest.raises(Fenced):
        older.log.commit([output(b"twin")], {0: at(99)})
    with pytest.raises(Fenced, match=r"its own worker\.instance"):
        settle(lambda: False, older, deadline_s=world.deadline_s)

    younger.log.commit([output(b"after")], {0: at(2)})
    reader = world.reader()
    eventually(
        [b"before", b"after"],
        lambda: values(reader, Channel.PREDICTIONS),
        deadline_s=world.deadline_s,
    )
    eventually({0: at(2)}, reader.committed, deadline_s=world.deadline_s)


@pytest.mark.needs(Ability.INSTANCES)
def test_a_static_member_that_closed_keeps_its_place(world: World) -> None:
    """A rolling restart moves no partition: a static member does not leave the group."""
    create(world, partitions=2)
    first = working(world, instance="w-0")
    settle(lambda: len(first.owned) == 2, first, deadline_s=world.deadline_s)
    second = Member(world.log(instance="w-1"), deadline_s=world.deadline_s)
    settle(lambda: len(second.owned) == 1, first, second, deadline_s=world.deadline_s)
    kept = set(first.owned)

    second.log.close()
    for _ in range(5):
        patiently(first.poll, deadline_s=world.deadline_s)
    assert first.owned == kept
    again = Member(world.log(instance="w-1"), deadline_s=world.deadline_s)
    settle(lambda: len(again.owned) == 1, again, first, deadline_s=world.deadline_s)

    assert first.owned == kept
    assert again.owned == {0, 1} - kept


def between_two(world: World) -> Member:
    """A member that has two records and committed the first."""
    create(world)
    world.append(raws(b"a", b"b"))
    member = working(world)
    settle(lambda: len(member.records[0]) == 2, member, deadline_s=world.deadline_s)
    member.log.commit([], {0: at(1)})
    return member
