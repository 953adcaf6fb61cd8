"""Who copies a state for a snapshot or for undoing, and what becomes of a child that failed."""

from collections.abc import Callable

import pytest

from stream.core.fold.task import Task
from stream.errors import Retryable
from stream.runtime.snapshotter import IN_LINE_S_MAX, UNDO_TOO_LONG
from stream.telemetry import LogEvent, Metric
from tests.runtime.snapshotting import BUDGET_S, Child, Snapshots
from tests.runtime.surroundings import LARGE, event, events, folded, step


def test_a_cheap_state_is_pickled_in_line_and_a_dear_one_by_a_child() -> None:
    """By what the last time took; nothing is known before the first, nor of another state."""
    at = Snapshots(can_fork=True)
    task = at.adopted(10)
    for took_s, learned_n in ((IN_LINE_S_MAX / 2, 10), (0.0, 10), (IN_LINE_S_MAX * 2, 1)):
        at.took_s = took_s
        at.due(task)
        step(task, events(learned_n))
    at.snapshotter.release(0)
    at.snapshotter.adopt(0, stored_n=0)
    at.due(task)

    # The second costs as much as twice the first may; in line it took no time at all.
    assert at.how() == ["forked", "in line", "in line", "forked"]


def test_a_state_that_has_grown_since_is_expected_to_cost_more() -> None:
    """As much more as it has learned more."""
    at = Snapshots(can_fork=True)
    at.took_s = IN_LINE_S_MAX * 0.9
    task = at.adopted(10)
    at.due(task)
    step(task, events(2))
    at.due(task)

    assert at.how() == ["forked", "forked"]


def test_what_a_child_s_reading_back_took_is_no_part_of_what_pickling_costs() -> None:
    """Or a state would be called dear for being checked."""
    at = Snapshots(can_fork=True)

    def fork(pickled: Callable[[], bytes]) -> Child:
        at.clock.tick_s = 0.5  # of the look before it is read back, and of the one after
        try:
            return Child(pickled, 0.5 + IN_LINE_S_MAX / 2)
        finally:
            at.clock.tick_s = 0.0

    at.snapshotter._fork = fork
    task = at.adopted()
    at.due(task)
    at.due(folded(events(7)))

    assert at.how() == ["forked", "in line"]


@pytest.mark.parametrize("is_begun", [True, False])
def test_after_a_failed_child_the_next_copy_is_taken_in_line_at_once(*, is_begun: bool) -> None:
    """What it was for is still to be done, also if nothing comes; the one after is a child's."""
    at, why = Snapshots(can_fork=True), Retryable("none to be had" if not is_begun else "it died")
    at.fails, at.refuses = (why, None) if is_begun else (None, why)
    task = at.adopted()
    at.due(task)
    assert at.stored == []
    at.fails = at.refuses = None

    at.snapshotter.consider([task])
    step(task, events(3, seed=1))
    at.due(task)
    at.snapshotter.release(0)
    at.snapshotter.adopt(0, stored_n=0)
    at.due(task)

    assert at.how() == ["in line", "in line", "forked"]
    (failed,) = at.said(LogEvent.COPY_FAILED)
    assert failed["error"] is why
    assert at.diary.counters[Metric.COPIES_FAILED] == 1


def test_after_a_failed_child_a_drain_has_its_last_snapshot_all_the_same() -> None:
    """It counted as taken, and nothing came since."""
    at = Snapshots(can_fork=True)
    at.fails = Retryable("it died")
    task = at.adopted()
    at.due(task)

    at.snapshotter.consider([])
    at.snapshotter.finish([task], timeout_s=1.0)

    assert at.stored == [(0, 6)]


def test_the_failed_child_of_a_partition_that_went_elsewhere_leaves_nothing_behind() -> None:
    """Not even a share of the budget."""
    at = Snapshots(can_fork=True, are_jobs_late=True)
    task, other = at.adopted(), at.adopted(partition=1)
    at.due(task)
    at.children[0].fails = Retryable("it died")
    at.snapshotter.release(0)
    at.jobs.run_one()
    at.snapshotter.spent(1, BUDGET_S - 0.1)
    at.snapshotter.consider([other])
    at.jobs.run_one()

    assert at.said(LogEvent.COPY_FAILED)
    assert at.stored == []


def test_undoing_goes_back_to_the_child_s_copy_once_it_is_there() -> None:
    """Until then to the older one; what was folded meanwhile stays on the way."""
    at = Snapshots(can_fork=True, are_jobs_late=True)
    task = at.adopted()
    step(task, [LARGE] * 4)
    at.due(task)
    step(task, [LARGE])
    long = task.undo_length
    at.snapshotter.consider([task])
    waiting = task.undo_length
    at.jobs.run_one()
    at.snapshotter.consider([task])

    assert waiting == long
    assert task.undo_length == pytest.approx(long / 5, rel=0.01)
    _assert_undoes(task, [*events(6), *[LARGE] * 5])


def test_a_child_that_failed_leaves_the_older_way_back() -> None:
    """It is as long as before, and leads to the same state."""
    at = Snapshots(can_fork=True, are_jobs_late=True)
    task = at.adopted()
    step(task, [LARGE] * 4)
    at.due(task)
    long = task.undo_length
    at.children[0].fails = Retryable("it died")
    at.jobs.run_one()
    at.snapshotter.consider([])

    assert task.undo_length == long
    _assert_undoes(task, [*events(6), *[LARGE] * 4])


def test_a_child_s_copy_that_is_older_than_the_fold_s_own_is_left() -> None:
    """The fold took one meanwhile: there is no way back before it."""
    at = Snapshots(can_fork=True, are_jobs_late=True)
    task, more = at.adopted(), events(4, seed=3)
    at.due(task)
    step(task, more[:2])
    task.keep_copy()
    step(task, more[2:])
    short = task.undo_length
    at.jobs.run_one()
    at.snapshotter.consider([])

    assert at.stored == [(0, 6)]  # to be restored it is as good as any
    assert task.undo_length == short
    _assert_undoes(task, [*events(6), *more])


def _assert_undoes(task: Task, values: list[bytes]) -> None:
    """That an event which breaks the model half way leaves what a plain fold would be."""
    after = [event(0.3, bomb="learn"), *events(5, seed=4)]
    step(task, after)

    plain = folded([*values, *after])
    assert task.metadata() == plain.metadata()


@pytest.mark.parametrize("can_fork", [False, True])
def test_a_copy_for_undoing_alone_is_not_stored(*, can_fork: bool) -> None:
    """It is taken whatever the last one cost, before the fold would have to stand still."""
    at = Snapshots(can_fork=can_fork)
    task = at.adopted()
    at.due(task)
    at.snapshotter._copies.took(1e6)
    step(task, [*events(1), *[LARGE] * 11])
    at.snapshotter.consider([task])
    assert UNDO_TOO_LONG > task.undo_length > UNDO_TOO_LONG * 0.8

    step(task, [LARGE] * 2)
    at.snapshotter.consider([task])
    at.snapshotter.consider([])

    assert task.undo_length == 0.0
    assert at.stored == [(0, 6)]


def test_at_the_end_a_child_that_is_still_at_it_is_given_up() -> None:
    """Its snapshot counts as taken, and is not: it is made again, here."""
    at = Snapshots(can_fork=True, are_jobs_late=True)
    task = at.adopted()
    at.due(task)

    at.snapshotter.finish([task], timeout_s=1.0)

    assert at.children[0].is_cancelled
    assert at.stored == [(0, 6)]
    assert at.how() == ["in line"]
