"""The bet that a share has risen: seldom wrong, soon right, and no slower in bursts."""

import pickle
import random

import pytest

from stream.core.monitoring.rates import Rate

BLOCK_N = 250


def blocks(p: float, n: int, chance: random.Random) -> list[tuple[int, int]]:
    """Blocks of independent events."""
    return [(sum(chance.random() < p for _ in range(BLOCK_N)), BLOCK_N) for _ in range(n)]


@pytest.mark.parametrize("p", [0.0, 0.001, 0.05, 0.5, 0.9, 1.0])
def test_a_share_that_stays_is_seldom_found(p: float) -> None:
    """No false alarm in 4,000 blocks of a threshold of 16,000."""
    chance = random.Random(1)
    for _ in range(4):
        rate = Rate(blocks(p, 20, chance), threshold=16_000.0)
        assert not any(rate.add(*each) for each in blocks(p, 1000, chance))


@pytest.mark.parametrize(
    ("before", "after", "most"), [(0.0, 0.1, 1), (0.0, 0.02, 6), (0.05, 0.2, 2), (0.5, 0.7, 3)]
)
def test_a_share_that_rises_is_found_soon(before: float, after: float, most: int) -> None:
    """Within so many blocks, and it says at which it began."""
    chance = random.Random(2)
    for _ in range(10):
        rate = Rate(blocks(before, 20, chance), threshold=16_000.0)
        for each in blocks(before, 50, chance):
            assert not rate.add(*each)
        found: list[bool] = []
        while True not in found:
            assert len(found) < most
            found += [rate.add(*each) for each in blocks(after, 1, chance)]
        assert 1 <= rate.since_n <= found.index(True) + 3


def test_bursts_are_no_rise() -> None:
    """What is missing in whole blocks now and then is not missing more often than before."""
    chance = random.Random(3)

    def bursts(n: int) -> list[tuple[int, int]]:
        return [(100 if chance.random() < 0.25 else 0, BLOCK_N) for _ in range(n)]

    rate = Rate(bursts(20), threshold=16_000.0)
    assert sum(rate.add(*each) for each in bursts(1000)) <= 1


def test_it_goes_on_where_a_snapshot_left_it() -> None:
    """Bit for bit."""
    chance = random.Random(4)
    rate = Rate(blocks(0.1, 20, chance), threshold=1e9)
    copy = pickle.loads(pickle.dumps(rate))  # noqa: S301  # our own
    for each in blocks(0.15, 50, chance):
        assert rate.add(*each) == copy.add(*each)
        assert pickle.dumps(rate) == pickle.dumps(copy)
        copy = pickle.loads(pickle.dumps(copy))  # noqa: S301


def test_what_was_nearly_always_so_cannot_rise() -> None:
    """A feature that is missing nearly always is found by nobody when it is always."""
    rate = Rate([(249, 250)] * 20, threshold=10.0)
    assert not any(rate.add(250, 250) for _ in range(1000))
