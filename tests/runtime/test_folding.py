"""How far a poll's records are folded, and what becomes of the rest."""

import pytest

from stream.core.event import Record
from stream.core.fold.task import Task
from stream.core.result import StepResult
from stream.ports import Polled
from stream.runtime.breaker import Breaker, Limit
from stream.runtime.commit_policy import RECORDS_MAX, CommitPolicy, CommitSchedule
from stream.runtime.folding import GAP_AFTER_S, Folding
from stream.runtime.life import Life, Lives, Move
from stream.telemetry import Metric
from tests.runtime.snapshotting import BUDGET_S, Snapshots
from tests.runtime.surroundings import JUNK, RECIPE, events

FOLD_S_MAX = 1.0
EVENTS = events(12)


class Room(Snapshots):
    """A worker of which only the folding is there; both of its partitions fold from 0 on."""

    def __init__(self, *, tick_s: float = 0.0) -> None:
        super().__init__()
        self.lives = Lives()
        self.results: list[StepResult] = []
        self.schedule = CommitSchedule(
            CommitPolicy(
                commit_interval_s=1e6, fold_s_max=FOLD_S_MAX, call_deadline_s=10.0, min_gap_s=0.0
            ),
            self.clock,
        )
        self.schedule.committed(began=0.0)  # the next one is due long from now
        self.join()
        breaker = Breaker(Limit(window=4, share=0.5), self.sources())
        self.tasks = [Task(RECIPE, partition=p) for p in (0, 1)]
        for task in self.tasks:
            for move in (Move.ASSIGN, Move.RESTORE, Move.RESTORED):
                self.lives.move(task.partition, move, task)
            breaker.adopt(task)
            self.snapshotter.adopt(task.partition, stored_n=0)
            self.watched.seek(task)
        self.folding = Folding(
            self.lives,
            self.results,
            log=self.watched,
            breaker=breaker,
            snapshotter=self.snapshotter,
            schedule=self.schedule,
            sources=self.sources(),
            fold_s_max=FOLD_S_MAX,
        )
        self.clock.tick_s = tick_s

    def turn(self) -> Polled:
        """Poll, and fold what came."""
        polled = self.watched.poll(timeout_s=0.0, records_max=1000)
        self.folding.fold(polled.records)
        return polled

    @property
    def offsets(self) -> list[int]:
        """How far each partition is folded."""
        return [task.next_offset for task in self.tasks]


def test_a_poll_s_records_are_folded_in_order_and_owe_a_commit() -> None:
    """Each has its outcome, and is counted; nothing is committed before its time."""
    at = Room()
    at.send(EVENTS)
    at.send(EVENTS[:3], partition=1)

    at.turn()

    assert at.offsets == [12, 3]
    folded = [(each.record.partition, each.record.offset) for each in at.results]
    assert sorted(folded) == [*((0, n) for n in range(12)), *((1, n) for n in range(3))]
    assert [offset for p, offset in folded if p == 0] == list(range(12))
    assert at.lives.dirty == [0, 1]
    assert at.diary.counters[Metric.RECORDS] == 15
    assert not at.schedule.is_commit_due()


def test_past_its_time_the_rest_is_left_to_the_next_poll() -> None:
    """Which delivers it from there: none is lost, none comes twice."""
    at = Room(tick_s=0.3)
    at.send(EVENTS)
    reached = []
    for _ in range(3):
        at.turn()
        reached.append(at.offsets[0])

    assert reached == [4, 8, 12]
    assert at.diary.counters[Metric.RECORDS] == 12
    assert [each.record.offset for each in at.results] == list(range(12))


def test_whatever_the_first_takes_every_partition_gets_on() -> None:
    """By a record at least; else one that is slow would starve the others."""
    at = Room(tick_s=2 * FOLD_S_MAX)
    at.send(EVENTS)
    at.send(EVENTS, partition=1)

    at.turn()

    assert at.offsets == [1, 1]
    assert at.polled() == {0: list(range(1, 12)), 1: list(range(1, 12))}


@pytest.mark.parametrize("doubtful", [0, 1])
def test_what_is_not_folding_is_passed_over(doubtful: int) -> None:
    """In doubt since a lost commit: its restore decides where it goes on; the others do."""
    at = Room()
    at.send(EVENTS)
    at.send(EVENTS, partition=1)
    at.lives.move(doubtful, Move.DOUBT)

    at.turn()

    assert at.offsets == ([0, 12] if doubtful == 0 else [12, 0])
    assert at.lives.dirty == [1 - doubtful]


def test_at_the_refusal_that_is_one_too_many_it_stops_and_has_it_committed() -> None:
    """The rest of the batch is not folded, and not delivered again; the other partition goes on."""
    at = Room()
    at.send([*EVENTS[:2], *[JUNK] * 10])
    at.send(EVENTS, partition=1)

    at.turn()

    assert at.offsets == [5, 12]
    assert at.lives.within({Life.TRIPPED}) == [0]
    assert at.schedule.is_commit_due()
    for partition in (0, 1):
        at.send(EVENTS[:2], partition=partition)
    assert at.polled() == {1: [12, 13]}


def test_a_full_hand_of_outcomes_is_committed_at_once() -> None:
    """Whatever the interval is: they are held in memory until then."""
    at = Room()
    record = Record(0, 0, 0, None, EVENTS[0])
    at.results += [StepResult(record)] * (RECORDS_MAX - 2)
    at.send(EVENTS[:1])
    at.turn()
    before = at.schedule.is_commit_due()
    at.send(EVENTS[:1])
    at.turn()

    assert (before, at.schedule.is_commit_due()) == (False, True)


def test_what_folding_took_makes_a_snapshot_due_of_the_partition_it_was_for() -> None:
    """A recovery would take as long again; of the other one nothing."""
    at = Room(tick_s=BUDGET_S / 40)
    for _ in range(8):
        at.send(EVENTS[:3])
        at.send(EVENTS[:1], partition=1)
        at.turn()
    at.clock.tick_s = 0.0

    for _ in range(2):
        at.snapshotter.consider(at.tasks)

    # Each has half of the budget: the one took 0.8 of it, the other 0.4.
    assert at.stored == [(0, 24)]


def test_how_long_a_record_takes_decides_how_many_are_polled_for() -> None:
    """As many as can be folded in time."""
    at = Room(tick_s=0.05)
    at.send(EVENTS)

    at.turn()

    assert 10 < at.schedule.records_max(outputs_n=0) < 20


@pytest.mark.parametrize(
    ("quiet_s", "positions", "offsets", "dirty"),
    [
        (GAP_AFTER_S, {0: 5}, [5, 0], [0]),
        (GAP_AFTER_S, {0: 5, 1: 3}, [5, 3], [0, 1]),
        (GAP_AFTER_S, {0: 0}, [0, 0], []),  # it is there already
        (GAP_AFTER_S, {7: 5}, [0, 0], []),  # it is none of ours any more
        (GAP_AFTER_S - 0.1, {0: 5}, [0, 0], []),
    ],
)
def test_a_quiet_partition_passes_what_holds_no_record(
    quiet_s: float, positions: dict[int, int], offsets: list[int], dirty: list[int]
) -> None:
    """Or its lag would never come to nothing; not at once, for each is a commit."""
    at = Room()
    at.clock.sleep(quiet_s)

    at.folding.pass_gaps(Polled({}, positions=positions))

    assert (at.offsets, at.lives.dirty) == (offsets, dirty)


def test_no_gap_is_passed_just_after_a_record() -> None:
    """It is quiet again a while later."""
    at = Room()
    at.send(EVENTS[:1])
    at.clock.sleep(GAP_AFTER_S)
    at.turn()
    gap = Polled({}, positions={0: 5})
    at.folding.pass_gaps(gap)
    just_after = at.offsets[0]
    at.clock.sleep(GAP_AFTER_S)
    at.folding.pass_gaps(gap)

    assert (just_after, at.offsets[0]) == (1, 5)


def test_no_gap_is_passed_with_a_poll_that_has_records() -> None:
    """Also if none of them was folded: what such a poll says of positions may be ahead of them."""
    at = Room()
    at.lives.move(1, Move.DOUBT)
    at.clock.sleep(GAP_AFTER_S)

    at.folding.pass_gaps(Polled({1: [Record(1, 0, 0, None, JUNK)]}, positions={0: 5}))

    assert at.offsets == [0, 0]


@pytest.mark.parametrize("moves", [(Move.TRIP,), (Move.DOUBT,)])
def test_what_does_not_fold_passes_no_gap(moves: tuple[Move, ...]) -> None:
    """Where it stands is where it will go on."""
    at = Room()
    for move in moves:
        at.lives.move(0, move)
    at.clock.sleep(GAP_AFTER_S)

    at.folding.pass_gaps(Polled({}, positions={0: 5}))

    assert at.offsets == [0, 0]
