"""The driver of muted folds: where it stops, how it is cut, and that no cut can be seen."""

from math import inf

import pytest

from stream.adapters.memory.topic import Fate
from stream.core.event import Channel
from stream.core.fold.task import Task
from stream.core.result import StepResult
from stream.errors import LogLost, Retryable
from stream.runtime.replay import Replay
from tests.runtime.surroundings import NAMES, Surroundings, events, folded

EVENTS = events(12)


def _at(*, tick_s: float = 0.0) -> Surroundings:
    at = Surroundings(tick_s=tick_s)
    at.send(EVENTS)
    return at


def _replay(at: Surroundings, task: Task) -> Replay:
    return Replay(at.reader, task, clock=at.clock)


@pytest.mark.parametrize(("start", "stop"), [(0, 12), (0, 1), (4, 9), (4, 5)])
def test_it_folds_from_the_task_s_next_offset_up_to_the_stop(start: int, stop: int) -> None:
    """What lies at the stop is not folded."""
    at, task = _at(), folded(EVENTS[:start])

    assert _replay(at, task).advance(stop)

    assert task.metadata() == folded(EVENTS[:stop]).metadata()


@pytest.mark.parametrize("stop", [0, 3, 5])
def test_where_the_task_is_there_already_nothing_is_read(stop: int) -> None:
    """Nor does it go back; nor has anything come that a copy would be for."""
    at, task, offsets = _at(), folded(EVENTS[:5]), list[int]()

    def between(task: Task) -> None:
        offsets.append(task.next_offset)

    assert Replay(at.reader, task, clock=at.clock, between=between).advance(stop)

    assert task.next_offset == 5
    assert (at.calls["read"], offsets) == (0, [])


def test_what_holds_no_record_before_the_stop_is_passed() -> None:
    """Markers of transactions and aborted records: the task is at the stop all the same."""
    at = _at()
    producer = at.broker.producer("upstream")
    aborted = at.broker.begin(producer)
    at.broker.append(NAMES[Channel.EVENTS], 0, value=b"oops", transaction=aborted)
    at.broker.abort(producer)
    assert aborted.fate is Fate.ABORTED
    task = folded()

    assert _replay(at, task).advance(14)

    assert task.next_offset == 14
    assert task.metadata().digest == folded(EVENTS).metadata().digest


def test_slices_however_short_give_what_one_gives() -> None:
    """Each folds a record at least, so it comes to its end."""
    at, task = _at(tick_s=1.0), folded()
    replay, slices = _replay(at, task), 1
    while slices < 50 and not replay.advance(12, until_s=-inf):
        slices += 1

    assert task.metadata() == folded(EVENTS).metadata()
    assert slices > 12
    assert at.calls["read"] <= 4  # one reading all through, in batches


def test_who_looks_sees_every_outcome_and_may_end_it_behind_one() -> None:
    """And it goes on from there, with another stop too."""
    at, task = _at(), folded()
    replay, seen = _replay(at, task), list[int]()

    def look(result: StepResult) -> bool:
        seen.append(result.record.offset)
        return result.record.offset == 3

    assert not replay.advance(8, look=look)
    assert task.next_offset == 4
    assert replay.advance(6, look=look)
    assert replay.advance(12, look=look)

    assert seen == list(range(12))
    assert task.metadata() == folded(EVENTS).metadata()


def test_between_batches_it_is_asked_what_is_kept() -> None:
    """So that a long one need not keep all its records for undoing."""
    at, offsets = _at(), list[int]()

    def between(task: Task) -> None:
        offsets.append(task.next_offset)

    Replay(at.reader, folded(), clock=at.clock, between=between).advance(12)

    assert offsets == [0, 5, 10, 12]  # the reader's batches have five


@pytest.mark.parametrize("nth", [0, 1, 2])
def test_after_a_failure_it_reads_on_from_where_the_task_is(nth: int) -> None:
    """A reading that broke off must not look like the end of the records."""
    at, task = _at(), folded()
    replay = _replay(at, task)
    assert replay.advance(5 * nth)
    at.fail["read"] = [Retryable("away")]
    with pytest.raises(Retryable):
        replay.advance(12)
    before = task.next_offset

    assert replay.advance(12)

    assert before == 5 * nth
    assert task.metadata() == folded(EVENTS).metadata()


def test_what_the_log_does_not_hold_any_more_is_said() -> None:
    """It would be another fold without it."""
    at = _at()
    at.broker.partition(NAMES[Channel.EVENTS], 0).truncate(4)

    with pytest.raises(LogLost, match="begins at offset 4; 0 is gone"):
        _replay(at, folded()).advance(12)
