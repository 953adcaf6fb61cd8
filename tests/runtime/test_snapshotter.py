"""When a snapshot is due, what it is of, and what the end of a worker makes of it."""

from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

import pytest

from stream.core.event import LabelRecord, Record
from stream.core.fold.labelling import LabellingTask
from stream.core.fold.task import Task
from stream.core.fold.tasks import task_of
from stream.core.labels.labels_spec import LabelsSpec
from stream.core.snapshots.seal import unseal
from stream.core.spec import Limits
from stream.runtime.snapshotter import AGE_S_MAX
from stream.telemetry import LogEvent
from tests.runtime.snapshotting import BUDGET_S, Snapshots
from tests.runtime.surroundings import KEYS, RECIPE, events, folded, recipe, step


@pytest.mark.parametrize(
    ("debt_s", "spent_s", "is_due"),
    [(0.0, 9.9, False), (0.0, 10.0, True), (9.0, 0.9, False), (9.0, 1.0, True)],
)
def test_it_is_due_when_a_recovery_would_take_as_long_as_it_may(
    debt_s: float, spent_s: float, is_due: bool
) -> None:
    """What the restore before took is a part of that: it would be taken again."""
    at = Snapshots()
    task = folded(events(3))
    at.snapshotter.adopt(0, stored_n=0, debt_s=debt_s)
    at.snapshotter.spent(0, spent_s)

    at.snapshotter.consider([task])

    assert at.stored == ([(0, 3)] if is_due else [])


def test_the_budget_is_shared_by_the_partitions_that_there_are() -> None:
    """One worker recovers them all; one that went elsewhere gives its share back."""
    at = Snapshots()
    task, other = at.adopted(), at.adopted(partition=1)
    at.snapshotter.spent(0, BUDGET_S / 2)
    at.snapshotter.consider([task, other])
    first = at.stored

    at.snapshotter.release(1)
    step(task, events(2))
    at.snapshotter.spent(0, BUDGET_S / 2)
    at.snapshotter.consider([task])

    assert (first, at.stored) == ([(0, 6)], [(0, 6)])


def test_after_a_snapshot_the_time_is_counted_anew() -> None:
    """Only what came since would be folded again."""
    at = Snapshots()
    task = at.adopted()
    at.due(task)
    step(task, events(2))
    at.snapshotter.spent(0, BUDGET_S - 0.1)
    at.snapshotter.consider([task])
    before = at.stored
    at.snapshotter.spent(0, 0.1)
    at.snapshotter.consider([task])

    assert (before, at.stored) == ([(0, 6)], [(0, 6), (0, 8)])


@pytest.mark.parametrize(("since_n", "stored"), [(1, [(0, 1)]), (0, [])])
def test_a_quiet_partition_has_one_in_the_end_if_it_moved_on(
    since_n: int, stored: list[tuple[int, int]]
) -> None:
    """Retention would take the few records that it learned; without any nothing is new."""
    at = Snapshots()
    task = at.adopted(since_n)
    at.clock.sleep(AGE_S_MAX - 0.1)
    at.snapshotter.consider([task])
    assert at.stored == []

    at.clock.sleep(0.1)
    at.snapshotter.consider([task])

    assert at.stored == stored


def test_where_nothing_was_folded_since_the_last_one_none_is_due() -> None:
    """Whatever the restore took."""
    at = Snapshots()
    at.snapshotter.adopt(0, stored_n=6, debt_s=10 * BUDGET_S)

    at.snapshotter.consider([folded(events(6))])

    assert at.stored == []


@pytest.mark.parametrize("is_over", [False, True])
def test_labels_alone_make_one_due(*, is_over: bool) -> None:
    """They are steps without an offset: a month of labels would be folded again."""
    at = Snapshots()
    task = task_of(
        replace(RECIPE, extras=(LabelsSpec(wait_ms=1_000, has_topic=True),)), partition=0
    )
    assert isinstance(task, LabellingTask)
    step(task, events(6))
    at.snapshotter.adopt(0, stored_n=6)
    label = Record(0, 70, 0, None, b'{"id": "x", "label": true}')
    read = task.read_label(label)
    assert isinstance(read, LabelRecord)
    task.step_label(label, read)

    if is_over:
        at.snapshotter.finish([task], timeout_s=1.0)
    else:
        at.due(task)

    assert at.stored == [(0, 6)]


def test_one_is_taken_at_a_time() -> None:
    """Several in a row would stall the loop; and the next waits until the last is stored."""
    at = Snapshots(are_jobs_late=True)
    tasks = [at.adopted(), at.adopted(partition=1)]
    at.due(*tasks)
    at.snapshotter.consider(tasks)
    at.jobs.run_one()
    at.jobs.run_one()
    first = at.stored
    at.snapshotter.consider(tasks)
    at.jobs.run_one()

    assert (first, at.stored) == ([(0, 6)], [(0, 6), (1, 6)])


@pytest.mark.parametrize("can_fork", [False, True])
def test_what_is_stored_is_the_state_of_the_moment_it_was_taken(*, can_fork: bool) -> None:
    """The fold goes on while it is stored; sealed, it says what it is of."""
    at = Snapshots(are_jobs_late=True, can_fork=can_fork)
    task = at.adopted()
    then = task.metadata()
    at.due(task)
    step(task, events(3, seed=1))
    at.jobs.run_one()

    sealed = at.store.load(0, 6, len)
    assert sealed is not None
    header, payload = unseal(sealed, KEYS)
    assert (header.n, header.next_offset, header.topic_id) == (6, 6, at.topic_id)
    assert Task(RECIPE, partition=0, payload=payload).metadata() == then
    assert at.how() == (["forked"] if can_fork else ["in line"])


def test_a_state_over_its_ceiling_is_told_whoever_pickled_it() -> None:
    """Once, for it has not doubled."""
    for can_fork in (False, True):
        at = Snapshots(can_fork=can_fork)
        at.snapshotter.adopt(0, stored_n=0)
        task = folded(events(6), of=recipe(Limits(state_bytes_max=1)))
        at.due(task)
        at.snapshotter.consider([])
        at.due(task)

        (fields,) = at.said(LogEvent.STATE_TOO_LARGE)
        assert fields["size_bytes"] == len(task.pickled())


def test_at_the_end_what_has_moved_on_gets_a_last_one_and_the_rest_none() -> None:
    """Due or not: a restart replays nothing then."""
    at = Snapshots(can_fork=True)
    moved, still = at.adopted(4), folded(events(2), partition=1)
    at.snapshotter.adopt(1, stored_n=2)

    at.snapshotter.finish([moved, still], timeout_s=1.0)

    assert at.stored == [(0, 4)]
    assert at.how() == ["in line"]


class _Never(Executor):
    """A store that hangs: its job never ends."""

    def __init__(self) -> None:
        self.given: list[Future[Any]] = []

    def submit(self, _fn: Any, /, *_args: Any, **_kwargs: Any) -> "Future[Any]":
        """See `Executor`."""
        self.given.append(Future())
        return self.given[-1]


def test_at_the_end_a_store_that_hangs_is_waited_for_no_longer_than_told() -> None:
    """A snapshot is only a cache, and the process has to end."""
    never = _Never()
    at = Snapshots(executor=never)

    at.snapshotter.finish([at.adopted()], timeout_s=0.0)

    (job,) = never.given
    assert job.cancelled()


def test_a_mistake_of_ours_beside_the_loop_is_seen_in_it() -> None:
    """What no store raises is no failure of the store."""
    at = Snapshots()
    at.fail["save:before"] = [ZeroDivisionError("ours")]
    task = at.adopted()
    at.due(task)

    with pytest.raises(ZeroDivisionError, match="ours"):
        at.snapshotter.consider([task])
