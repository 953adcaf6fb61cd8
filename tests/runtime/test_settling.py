"""Which state an assigned partition comes to life with, and what the worker is told of it."""

import pytest

from stream.core.fold.task import Task
from stream.core.snapshots.seal import seal
from stream.errors import Fenced, LogLost, Retryable
from stream.ports import Committed
from stream.runtime.life import LIVING, Life, Lives, Move
from stream.runtime.settling import RESTORE_SLICE_S, Settled, Settling
from stream.telemetry import LogEvent
from tests.runtime.surroundings import KEYS, RECIPE, Surroundings, events, folded, step

EVENTS = events(12)
TURNS_MAX = 50


class Room(Surroundings):
    """A worker of which only the settling is there; it is a member of the group."""

    def __init__(self, *, tick_s: float = 0.0) -> None:
        super().__init__(tick_s=tick_s)
        self.lives = Lives()
        self.settling = Settling(
            self.watched,
            self.lives,
            sources=self.sources(),
            deadlined=self.deadlined,
            call_deadline_s=10.0,
        )
        self.join()

    def assign(self, *partitions: int) -> None:
        """The group gives them."""
        for partition in partitions:
            self.lives.move(partition, Move.ASSIGN)

    def settle(self) -> list[Settled]:
        """Until nothing waits any more."""
        settled: list[Settled] = []
        for _ in range(TURNS_MAX):
            settled += self.settling.advance()
            if not self.settling:
                return settled
        raise AssertionError(f"{self.lives.within(set(Life))} wait after {TURNS_MAX} turns")

    def living(self, partition: int = 0, *, n: int = len(EVENTS)) -> Task:
        """Bring a partition to life that has folded so many events, all committed."""
        self.send(EVENTS, partition=partition)
        self.commit(folded(EVENTS[:n], partition=partition))
        self.assign(partition)
        (settled,) = self.settle()
        return settled.task

    def doubt(self, *partitions: int) -> None:
        """A commit of theirs may be lost."""
        for partition in partitions:
            self.lives.move(partition, Move.DOUBT)


def test_what_was_never_committed_begins_and_owes_its_first_commit() -> None:
    """Where the fold begins must be durable before it goes on."""
    at = Room()
    at.send(EVENTS)
    at.assign(0)

    (settled,) = at.settle()

    assert (settled.task.next_offset, settled.stored_n, settled.end) == (0, 0, 12)
    assert not settled.is_committed
    assert settled.base is None
    assert at.lives.tasks({Life.FOLDING}) == {0: settled.task}
    assert at.polled() == {0: list(range(12))}


def test_what_was_committed_comes_back_as_it_was_and_goes_on_from_there() -> None:
    """Proved by its digest, it owes nothing; what it took is what a recovery would take again."""
    at = Room(tick_s=0.001)
    at.send(EVENTS)
    before = folded(EVENTS[:9])
    at.commit(before)
    at.assign(0)

    (settled,) = at.settle()

    assert settled.task.metadata() == before.metadata()
    assert settled.is_committed
    assert (settled.stored_n, settled.end) == (0, 12)
    assert settled.debt_s > 0
    assert at.polled() == {0: [9, 10, 11]}


def test_what_lies_behind_a_snapshot_is_no_debt() -> None:
    """The offset of the snapshot is what the next one is compared with."""
    at = Room()
    at.send(EVENTS)
    older = folded(EVENTS[:5])
    header = older.header(topic_id=at.topic_id, taken_at_ms=0)
    sealed = seal(header, older.pickled(), KEYS.signing)
    at.store.save(0, header.n, sealed, next_offset=5, topic_id=at.topic_id)
    at.commit(folded(EVENTS[:9]))
    at.assign(0)

    (settled,) = at.settle()

    assert (settled.stored_n, settled.task.next_offset) == (5, 9)
    (restored,) = at.said(LogEvent.TASK_RESTORED)
    assert restored["origin"] == "snapshot at 5"


@pytest.mark.parametrize(
    ("is_paused", "is_held", "life"),
    [
        (False, False, Life.FOLDING),
        (True, False, Life.UNDECIDED),  # its last owner paused it: rehearsed first
        (False, True, Life.FOLDING),
        (True, True, Life.PAUSED),  # it has been rehearsed, or has tripped here
    ],
)
def test_in_which_state_a_partition_comes_to_life(
    is_paused: bool, is_held: bool, life: Life
) -> None:
    """A pause outlives both a restart and a doubt; no other state is possible."""
    at = Room()
    at.send(EVENTS)
    before = folded(EVENTS[:9])
    before.is_paused = is_paused
    at.commit(before)
    at.assign(0)
    (settled,) = at.settle()
    if is_held:
        if is_paused:
            at.lives.move(0, Move.WORSE)  # or nothing would be held of it
        at.doubt(0)
        (settled,) = at.settle()

    assert at.lives.life(0) is life
    assert life in LIVING
    assert settled.task.is_paused == is_paused
    assert bool(at.said(LogEvent.TASK_KEPT)) == is_held


def test_a_doubtful_commit_that_took_effect_settles_as_the_state_that_is_held() -> None:
    """Nothing is read again; the log delivers what comes behind it."""
    at = Room()
    task = at.living(n=4)
    step(task, EVENTS[4:7])
    at.commit(task)
    at.doubt(0)
    reads = at.calls["read"]

    (settled,) = at.settle()

    assert settled == Settled(
        task=task, is_committed=True, end=None, stored_n=0, debt_s=0.0, base=None
    )
    assert at.calls["read"] == reads
    assert at.polled() == {0: list(range(7, 12))}


def test_a_doubtful_commit_that_was_lost_settles_as_what_was_committed_before() -> None:
    """The state ran ahead of what anybody will ever see: it is folded again from there."""
    at = Room()
    task = at.living(n=4)
    step(task, EVENTS[4:7])
    at.doubt(0)

    (settled,) = at.settle()

    assert settled.task is not task
    assert settled.task.metadata() == folded(EVENTS[:4]).metadata()
    assert settled.is_committed
    assert not at.said(LogEvent.TASK_KEPT)
    assert at.polled() == {0: list(range(4, 12))}


def test_a_state_at_the_committed_offset_is_not_kept_if_another_digest_is_beside_it() -> None:
    """Another owner's may have come as far; the offset alone proves nothing."""
    at = Room()
    task = at.living(n=4)
    digest = task.metadata().digest
    forged = task.metadata().encode().replace(digest, digest[::-1])
    at.committed[0] = Committed(4, forged)
    at.doubt(0)

    with pytest.raises(LogLost, match=f"gives digest {digest} .* committed was {digest[::-1]}"):
        at.settle()
    assert at.lives.tasks(set(Life)) == {}


def test_one_partition_is_restored_at_a_time_in_their_order() -> None:
    """So that each comes to life as early as it can."""
    at = Room(tick_s=0.1)  # two or three records a slice
    at.send(EVENTS)
    at.send(EVENTS, partition=1)
    for partition in (0, 1):
        at.commit(folded(EVENTS, partition=partition))
    at.assign(1, 0)

    assert list(at.settling.advance()) == []
    assert (at.lives.within({Life.RESTORING}), at.lives.within({Life.ASSIGNED})) == ([0], [1])
    assert [each.task.partition for each in at.settle()] == [0, 1]


def test_a_long_restore_goes_on_slice_by_slice_and_asks_for_the_offset_once() -> None:
    """In between a worker polls, and its other partitions go on; each slice has its deadline."""
    at = Room(tick_s=0.1)
    at.send(EVENTS)
    at.commit(folded(EVENTS))
    at.assign(0)
    found: list[Settled] = []
    slices = 0
    while at.settling and slices < TURNS_MAX:
        found, slices = list(at.settling.advance()), slices + 1

    assert [each.task.next_offset for each in found] == [12]
    assert slices > 3
    assert at.calls["committed"] == 1
    watched = [seconds for what, seconds in at.deadlines if what == "restoring"]
    assert watched == [RESTORE_SLICE_S + 10.0] * slices


def test_a_held_state_does_not_wait_for_another_partition_s_restore() -> None:
    """To look whether it is the committed one takes no time."""
    at = Room(tick_s=0.1)
    held = at.living(1)
    at.send(EVENTS)
    at.commit(folded(EVENTS))
    at.assign(0)
    assert list(at.settling.advance()) == []

    at.doubt(1)
    (settled,) = at.settling.advance()

    assert settled.task is held
    assert at.lives.within({Life.RESTORING}) == [0]
    assert [each.task.partition for each in at.settle()] == [0]


@pytest.mark.parametrize("gone", [0, 1])
def test_only_the_restore_of_a_partition_that_was_taken_away_is_given_up(gone: int) -> None:
    """Then the next one begins; the restore of another partition is not disturbed."""
    at = Room(tick_s=0.1)
    for partition in (0, 1):
        at.send(EVENTS, partition=partition)
        at.commit(folded(EVENTS, partition=partition))
    at.assign(0, 1)
    assert list(at.settling.advance()) == []
    assert at.lives.within({Life.RESTORING}) == [0]

    at.lives.move(gone, Move.REVOKE)
    at.settling.drop({gone})

    assert [each.task.partition for each in at.settle()] == [1 - gone]


def test_it_is_true_while_anything_waits() -> None:
    """Neither before nor afterwards."""
    at = Room()
    before = bool(at.settling)
    at.send(EVENTS)
    at.assign(0)
    waiting = bool(at.settling)
    at.settle()

    assert (before, waiting, bool(at.settling)) == (False, True, False)


@pytest.mark.parametrize("failing", ["committed", "bounds", "read", "seek"])
def test_whatever_fails_on_the_way_the_next_call_goes_on(failing: str) -> None:
    """Nothing came to life by halves: once it does, it is what was committed."""
    at = Room()
    at.send(EVENTS)
    at.commit(folded(EVENTS[:9]))
    at.assign(0)
    at.fail[failing] = [Retryable("away")]

    with pytest.raises(Retryable, match="away"):
        list(at.settling.advance())
    assert at.lives.tasks(set(Life)) == {}
    (settled,) = at.settle()

    assert settled.task.metadata() == folded(EVENTS[:9]).metadata()
    assert at.polled() == {0: [9, 10, 11]}


def test_a_partition_that_a_newer_recipe_has_folded_is_left_alone() -> None:
    """It is not ours any more, whatever was assigned."""
    at = Room()
    at.send(EVENTS)
    newer = folded(EVENTS[:9])
    newer.generation = newer.generation.next(RECIPE.fingerprint(), "deadbeef")
    foreign = newer.metadata().encode().replace(RECIPE.fingerprint(), "deadbeef", 1)
    at.committed[0] = Committed(9, foreign)
    at.assign(0)

    with pytest.raises(Fenced, match="newer recipe"):
        at.settle()
    assert at.lives.within(LIVING) == []
