"""Where the breaker trips, what it forgets, and how far a rehearsal looks."""

from collections.abc import Iterator, Sequence

import pytest

from stream.adapters.memory import MemoryReader
from stream.core.event import Channel, Reason, Record, Rejection
from stream.core.fold.task import Task
from stream.errors import Retryable
from stream.runtime.breaker import GO_ON, NEVER, Breaker, Limit
from stream.telemetry import LogEvent
from tests.runtime.surroundings import JUNK, NAMES, PIPELINE, Surroundings, event, events, folded

LIMIT = Limit(window=10, share=0.5)
GOOD = event(0.5)


def _breaker(limit: Limit = LIMIT, at: Surroundings | None = None) -> Breaker:
    return Breaker(limit, (at or Surroundings()).sources())


def _trips_at(
    breaker: Breaker, task: Task, values: Sequence[bytes], *, reason: Reason | None = None
) -> int | None:
    """Fold until the breaker trips. Returns: after which offset; None: it never did."""
    for value in values:
        offset = task.next_offset
        refusal = task.step(Record(task.partition, offset, 0, None, value)).refusal
        if refusal is None:
            continue
        if breaker.trips(task, refusal if reason is None else Rejection(reason, "as told")):
            return offset
    return None


@pytest.mark.parametrize(
    ("window", "share", "values", "tripped_at"),
    [
        (10, 0.5, [JUNK] * 10, 5),  # the sixth of ten is one too many
        (10, 0.5, [GOOD] * 20 + [JUNK] * 10, 25),
        (10, 0.5, [GOOD, JUNK] * 50, None),  # half of them may be
        (10, 0.5, [JUNK] * 5 + [GOOD] * 5 + [JUNK], None),  # the first has just left the window
        (10, 0.5, [JUNK] * 5 + [GOOD] * 4 + [JUNK], 9),  # the first is the window's oldest
        (10, 0.05, [GOOD] * 9 + [JUNK], 9),  # a share of less than one record: none may be
        (1, 0.0, [GOOD, JUNK], 1),
        (3, 0.99, [JUNK, JUNK, GOOD, JUNK, JUNK, JUNK], 5),  # all of a window
        (10, 1.0, [JUNK] * 100, None),
    ],
)
def test_it_trips_at_the_refusal_that_is_one_too_many_of_the_window(
    window: int, share: float, values: list[bytes], tripped_at: int | None
) -> None:
    """Counted in records of the fold, whatever became of those in between."""
    breaker, task = _breaker(Limit(window=window, share=share)), folded()
    breaker.adopt(task)

    assert _trips_at(breaker, task, values) == tripped_at


def test_without_a_limit_it_never_trips() -> None:
    """Nor does it keep what it counts."""
    breaker, task = _breaker(NEVER), folded()
    breaker.adopt(task)

    assert _trips_at(breaker, task, [JUNK] * 1000) is None
    assert breaker.found(0) == "1 of the last 1 records refused (1 not_json)"


def test_partitions_are_counted_each_for_itself() -> None:
    """A flood in one of them says nothing of the others."""
    breaker, first, second = _breaker(), folded(), folded(partition=1)
    breaker.adopt(first)
    breaker.adopt(second)

    assert _trips_at(breaker, first, [JUNK] * 5) is None
    assert _trips_at(breaker, second, [JUNK] * 5) is None
    assert _trips_at(breaker, first, [JUNK]) == 5


@pytest.mark.parametrize("committed_n", range(9))
def test_after_a_lost_commit_it_trips_at_the_same_record(committed_n: int) -> None:
    """The fold begins again further back: what it refuses again is not counted twice."""
    values = [GOOD, JUNK, JUNK, GOOD, JUNK, JUNK, GOOD, JUNK, JUNK, JUNK]
    breaker, lost = _breaker(), folded()
    breaker.adopt(lost)
    assert _trips_at(breaker, lost, values[:8]) is None

    again = folded(values[:committed_n])
    breaker.adopt(again)

    assert _trips_at(breaker, again, values[committed_n:]) == 8


def test_of_a_state_that_was_kept_every_refusal_still_counts() -> None:
    """The commit had taken effect after all."""
    breaker, task = _breaker(), folded()
    breaker.adopt(task)
    assert _trips_at(breaker, task, [JUNK] * 5) is None

    breaker.adopt(task)

    assert _trips_at(breaker, task, [JUNK]) == 5


def test_counting_begins_anew_where_a_partition_goes_on() -> None:
    """What paused it is not held against what comes next."""
    breaker, task = _breaker(), folded()
    breaker.adopt(task)
    assert _trips_at(breaker, task, [JUNK] * 6) == 5

    breaker.begin_anew(task)

    assert _trips_at(breaker, task, [JUNK] * 6) == 11


def test_what_it_found_names_the_reasons_the_most_frequent_first() -> None:
    """That is what its owner looks for upstream."""
    breaker, task = _breaker(), folded()
    breaker.adopt(task)
    _trips_at(breaker, task, [JUNK] * 2, reason=Reason.BAD_LABEL)
    _trips_at(breaker, task, [JUNK] * 3, reason=Reason.NOT_FINITE)

    assert breaker.found(0) == "5 of the last 10 records refused (3 not_finite, 2 bad_label)"


@pytest.mark.parametrize(
    ("ahead", "refused_n", "seen_n", "is_over"),
    [
        ([], 0, 0, False),  # nothing to judge by
        ([GOOD] * 3, 0, 3, False),
        ([JUNK] * 3, 3, 3, True),  # of fewer than a window, the share of those
        ([JUNK, GOOD], 1, 2, False),
        ([JUNK] * 5 + [GOOD] * 5 + [JUNK] * 20, 5, 10, False),  # no further than a window
        ([JUNK] * 6 + [GOOD] * 40, 6, 10, True),
    ],
)
def test_a_rehearsal_judges_the_next_records_by_the_same_share(
    ahead: list[bytes], refused_n: int, seen_n: int, is_over: bool
) -> None:
    """At most as many as the window has; what was refused before is not in it."""
    at, before = Surroundings(), [*events(4), *[JUNK] * 6]
    at.send([*before, *ahead])

    verdict = _breaker(at=at).rehearse(folded(before), budget_s=1.0)

    assert verdict is not None
    found = verdict.refused_n, verdict.seen_n, verdict.is_over
    assert found == (refused_n, seen_n, is_over)


def test_a_rehearsal_is_folded_from_what_the_task_has_learned_and_leaves_no_trace() -> None:
    """Its state, and where it goes on, are what is committed; only its copy moves on."""
    at, before, ahead = Surroundings(), events(8), [event(0.1, bomb="learn"), *events(2, seed=1)]
    at.send([*before, *ahead])
    task = folded(before)
    task.is_paused = True

    verdict = _breaker(at=at).rehearse(task, budget_s=1.0)

    assert verdict is not None
    assert (verdict.refused_n, verdict.seen_n) == (1, 3)  # the model's failures count
    untouched = folded(before)
    untouched.is_paused = True
    assert verdict.task is task
    assert task.metadata() == untouched.metadata()
    assert task.pickled() == untouched.pickled()


def test_a_rehearsal_that_runs_out_of_time_judges_by_what_it_saw() -> None:
    """A model may be slow: a worker must poll again."""
    at = Surroundings(tick_s=1.0)
    at.send([JUNK] * 30)

    verdict = _breaker(at=at).rehearse(folded(), budget_s=3.5)

    assert verdict is not None
    assert 0 < verdict.seen_n < 10
    assert (verdict.refused_n, verdict.is_over) == (verdict.seen_n, True)


class _Waiting(MemoryReader):
    """A broker that gives nothing in time."""

    def read(
        self, channel: Channel, partition: int, start: int, stop: int
    ) -> Iterator[Sequence[Record]]:
        """See `Reader.read`: an empty batch says that it still waits."""
        yield ()
        yield from super().read(channel, partition, start, stop)


def test_a_rehearsal_that_got_no_record_in_time_is_no_verdict() -> None:
    """There are some, and nobody knows what they are: taken for good ones, all would be let in."""
    at = Surroundings(tick_s=1.0)
    at.send([JUNK] * 30)
    reader = _Waiting(at.broker, names=NAMES, group=PIPELINE)
    breaker = Breaker(LIMIT, at.sources(reader=reader))

    assert breaker.rehearse(folded(), budget_s=0.5) is None


@pytest.mark.parametrize("step", ["bounds", "read"])
def test_a_rehearsal_that_the_log_fails_is_told_and_can_be_called_again(step: str) -> None:
    """The first try has moved nothing."""
    at = Surroundings()
    at.send([JUNK] * 4)
    at.fail[step] = [Retryable("away")]
    breaker, task = _breaker(at=at), folded()

    with pytest.raises(Retryable, match="away"):
        breaker.rehearse(task, budget_s=1.0)
    verdict = breaker.rehearse(task, budget_s=1.0)

    assert str(verdict) == "4 of the next 4 records would be refused again"


def test_a_pause_is_said_with_what_to_do_and_a_resumption_with_why() -> None:
    """Each with its place."""
    at = Surroundings()
    breaker, task = _breaker(at=at), folded(events(3), partition=1)

    breaker.say_paused(task, "too much")
    breaker.say_resumed(task, "better")

    assert at.diary.said == [
        (LogEvent.PARTITION_PAUSED, {"partition": 1, "next_offset": 3, "why": "too much",
                                     "then": GO_ON}),
        (LogEvent.PARTITION_RESUMED, {"partition": 1, "next_offset": 3, "why": "better"}),
    ]  # fmt: skip
