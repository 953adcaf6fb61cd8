"""Fold time follows the timestamps of most records, and no single clock that is wrong."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from stream.core.monitoring.fold_time import BACK_MS, BACK_N, FoldTime

HOUR_MS = 3_600_000


def seen(*timestamps_ms: int) -> FoldTime:
    """The time after these."""
    time = FoldTime()
    for each in timestamps_ms:
        time.see(each)
    return time


def test_it_is_the_largest_median_of_five_there_was() -> None:
    """Late records do not set it back, and two that are early do not move it."""
    assert seen(1, 2, 3, 4, 5).now_ms == 3
    assert seen(1, 2, 3, 4, 5, 1, 1, 1, 1).now_ms == 3
    assert seen(1, 2, 3, 10**12, 10**12).now_ms == 3
    assert seen(1, 2, 10**12, 10**12, 10**12).now_ms == 10**12


def test_where_clocks_ran_ahead_it_is_set_back() -> None:
    """After a hundred records that lie more than an hour behind, once, and it says so."""
    ahead = 10 * HOUR_MS
    time = seen(1, 2, ahead, ahead, ahead)
    told = [time.see(1000 + n) or time.was_ms for n in range(BACK_N - 1)]

    assert set(told) == {ahead}
    assert time.was_ms is None
    assert time.see(2000) == 1000 + (BACK_N - 1) // 2
    assert time.was_ms == ahead
    assert [time.see(2000 + n) for n in range(5)][-1] == 2002
    assert time.was_ms is None


def test_an_hour_behind_is_not_yet_too_far() -> None:
    """Nor is a night without events, after which the time rises by hours."""
    time = seen(*[BACK_MS + 1] * 5, *[1] * (2 * BACK_N))
    assert time.now_ms == BACK_MS + 1

    morning = seen(*range(200), *range(10 * HOUR_MS, 10 * HOUR_MS + 300))
    assert morning.now_ms == 10 * HOUR_MS + 297


@given(st.lists(st.integers(-1, 10 * HOUR_MS), max_size=400), st.integers(0, 400))
def test_it_is_a_plain_loop_s_wherever_it_was_pickled(ms: list[int], cut: int) -> None:
    """The fast way round the median never differs from asking for it each time."""
    time, now, last, since = FoldTime(), 0, list[int](), list[int]()
    for n, each in enumerate(ms):
        if n == cut:
            time = pickle.loads(pickle.dumps(time))  # noqa: S301  # our own
        last = [*last[-4:], each]
        median = sorted(last)[(len(last) - 1) // 2]
        since.append(each)
        if median > now:
            now, since = median, []
        elif len(since) == BACK_N:
            behind, since = sorted(since)[(BACK_N - 1) // 2], []
            if behind < now - BACK_MS:
                now, last = max(behind, 0), []

        assert time.see(each) == now
