"""What the soak takes for growth, and what not."""

from collections.abc import Callable

import pytest

from tests.instruments.faults.soak_watch import (
    GROWTH_BYTES_MAX,
    LIVED_S_MIN,
    SETTLING_S,
    Sample,
    grown,
)

START_BYTES = 170 << 20
LIFE_S = SETTLING_S + LIVED_S_MIN + 60.0


def _samples(more: Callable[[float], int], *, every_s: float, life_s: float) -> list[Sample]:
    """Of one process; `more` says how much it has beyond the start, at an age."""
    ages_s = [every_s * n for n in range(1, int(life_s / every_s) + 1)]
    return [
        Sample(
            at_s=age_s, age_s=age_s, pid=7, memory_bytes=START_BYTES + more(age_s),
            descriptors_n=20, threads_n=8,
        )
        for age_s in ages_s
    ]  # fmt: skip


@pytest.mark.parametrize("every_s", [2.0, 15.0])
def test_what_stays_is_growth_however_late_the_samples_are(every_s: float) -> None:
    """A loaded machine samples seldom; its leaks count all the same."""
    samples = _samples(
        lambda age_s: GROWTH_BYTES_MAX + 1 if age_s > SETTLING_S + 70 else 0,
        every_s=every_s,
        life_s=LIFE_S,
    )

    (growth,) = grown("w-2", samples)
    assert growth.memory_bytes == GROWTH_BYTES_MAX + 1
    assert growth.problem is not None


def test_what_goes_again_is_none() -> None:
    """Dead cycles, just before they are collected, when the soak ends."""
    samples = _samples(
        lambda age_s: 2 * GROWTH_BYTES_MAX if age_s > LIFE_S - 20 else 0,
        every_s=2.0,
        life_s=LIFE_S,
    )

    (growth,) = grown("w-2", samples)
    assert growth.memory_bytes == 0
    assert growth.problem is None


def test_a_short_life_tells_nothing() -> None:
    """Its memory is that of its first minutes."""
    life_s = SETTLING_S + LIVED_S_MIN
    assert not list(grown("w-2", _samples(lambda _: 0, every_s=2.0, life_s=life_s)))
