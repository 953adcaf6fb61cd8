"""When a worker polls, and when it commits: on a clock that only the test moves."""

import pytest

from stream.runtime.commit_policy import (
    FEW_N,
    RECORDS_MAX,
    CommitPolicy,
    CommitSchedule,
)
from tests.instruments.simulation.clock import ManualClock


def _schedule(
    *, interval_s: float = 0.2, is_ahead: bool = False, commit_s: float = 0.01
) -> tuple[CommitSchedule, ManualClock]:
    """One whose commit has just ended."""
    clock = ManualClock(tick_s=0.0)
    commit_policy = CommitPolicy(
        commit_interval_s=interval_s,
        fold_s_max=1.0,
        call_deadline_s=10.0,
        min_gap_s=0.005,
        is_ahead=is_ahead,
    )
    schedule = CommitSchedule(commit_policy, clock)
    began = clock.monotonic()
    clock.sleep(commit_s)
    schedule.polled(5)
    schedule.committed(began=began)
    return schedule, clock


@pytest.mark.parametrize(
    ("interval_s", "commit_s", "left_s"),
    [(0.2, 0.01, 0.18), (0.2, 0.5, 0.005), (0.005, 0.004, 0.005), (0.001, 0.0, 0.001)],
)
def test_the_next_commit_is_to_end_in_time(
    interval_s: float, commit_s: float, left_s: float
) -> None:
    """An interval after the last one began, with a breath for the broker."""
    schedule, clock = _schedule(interval_s=interval_s, commit_s=commit_s)

    assert schedule.left_s() == pytest.approx(left_s)
    assert not schedule.is_commit_due()
    clock.sleep(left_s + 1e-9)
    assert schedule.is_commit_due()


@pytest.mark.parametrize(
    ("interval_s", "commit_s", "left_s"),
    [(0.2, 0.01, 1.5), (0.005, 0.01, 1.5), (0.2, 0.1, 2.0), (60.0, 0.01, 59.98)],
)
def test_offsets_alone_are_committed_seldom_while_there_is_work(
    interval_s: float, commit_s: float, left_s: float
) -> None:
    """It would hold outputs up that wait for nothing else; a worker at rest commits as ever."""
    schedule, _ = _schedule(interval_s=interval_s, commit_s=commit_s, is_ahead=True)

    assert schedule.left_s() == pytest.approx(left_s)
    schedule.polled(0)
    assert schedule.left_s() <= interval_s
    schedule.polled(5)
    schedule.commit_now()
    assert schedule.is_commit_due()


@pytest.mark.parametrize(
    ("interval_s", "is_ahead", "polled_n", "rest_s"),
    [
        (0.2, False, 1, 0.2 / 64),
        (0.2, False, FEW_N - 1, 0.2 / 64),
        (0.2, False, FEW_N, 0.0),
        (0.2, False, 0, 0.0),
        (0.2, True, 1, 0.0),
        (0.005, False, 1, 0.0),
        (60.0, False, 1, 0.02),
    ],
)
def test_a_rest_is_short_and_only_after_few(
    interval_s: float, is_ahead: bool, polled_n: int, rest_s: float
) -> None:
    """None that anybody waits for, none after an empty poll: that one waited itself."""
    schedule, _ = _schedule(interval_s=interval_s, is_ahead=is_ahead)
    schedule.polled(polled_n)

    assert schedule.rest_s() == rest_s


def test_as_much_is_polled_as_can_be_folded_and_held() -> None:
    """It follows what an event costs."""
    schedule, _ = _schedule()

    assert schedule.records_max(outputs_n=0) == RECORDS_MAX
    assert schedule.records_max(outputs_n=RECORDS_MAX - 7) == 7
    assert schedule.records_max(outputs_n=RECORDS_MAX) == 1
    schedule.folded(10, took_s=0.1)
    assert schedule.records_max(outputs_n=0) == 100
    for _ in range(20):
        schedule.folded(10, took_s=20.0)
    assert schedule.records_max(outputs_n=0) == 1
