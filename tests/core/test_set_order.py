"""A set comes back from a pickle in the order in which it is walked through."""

import pickle
import random

import pytest
from river import base

from stream.core.set_order import insertion_order
from stream.core.snapshots import pickling

SETS_N = 60
SHARE_MIN = 0.95
"""Of sets that come back right; of four strings, two thirds do by the standard library."""


class Counting(base.Base):
    """An estimator that keeps what it saw in a set, in two places."""

    def __init__(self) -> None:
        self.classes: set[str] = set()
        self.again = self.classes


def _sets(size: int) -> list[set[str]]:
    rng = random.Random(size)
    made: list[set[str]] = []
    for _ in range(SETS_N):
        each: set[str] = set()
        for _ in range(size):
            each.add(f"class {rng.randrange(1_000_000)}")
        made.append(each)
    return made


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 15, 50])
def test_an_estimators_set_comes_back_in_its_order(size: int) -> None:
    """And so it goes on: what is added later lies in the same places."""
    right = 0
    for each in _sets(size):
        counting = Counting()
        counting.classes = counting.again = each
        back = pickle.loads(pickling.dumps(counting))  # noqa: S301  # our own
        assert back.classes == each
        assert back.classes is back.again
        more = [f"more {i}" for i in range(5)]
        each.update(more)
        back.classes.update(more)
        right += list(back.classes) == list(each)

    assert right >= SHARE_MIN * SETS_N


def test_a_set_that_keeps_its_order_by_itself_is_left_alone() -> None:
    """Small whole numbers lie at their own places: nothing is searched, and no byte differs."""
    assert insertion_order({0, 1, 2, 3}) is None
    assert insertion_order({False, True}) is None
    assert insertion_order(set()) is None


def test_the_search_ends() -> None:
    """Large sets are written as they are."""
    assert insertion_order(set(map(str, range(3_000)))) is None
