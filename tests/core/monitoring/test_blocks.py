"""A block of events, taken apart: all at once what one value after the other gives."""

import random
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from stream.core.monitoring.bins import NumberBins
from stream.core.monitoring.blocks import block, blocks, columns, has_one_number, top_share

VARIABLES: list[list[Any]] = [
    [0.5, -1.5, 2.0],
    [3, 1, 2],
    [0, 1.0, -0.0],
    [True, False, True],
    [1.0, True, 0.0],
    ["a", "b", "a"],
    ["1.5", "2", "3"],
    [None, 1.0, 2.0],
    [2.0, 3.0, "a"],
    [None, None, None],
    [10**22, -5, 1e-300],
]


@pytest.mark.parametrize("order", range(3))
def test_several_variables_at_once_are_what_each_is(order: int) -> None:
    """Also where true and false, strings or nothing are among numbers."""
    variables = random.Random(order).sample(VARIABLES, len(VARIABLES))
    for values, (found, of) in zip(variables, blocks(variables), strict=True):
        one = block(values)
        assert (found.n, found.words, found.counts) == (one.n, one.words, one.counts)
        np.testing.assert_array_equal(found.numbers, one.numbers, strict=True)
        if of is not None:
            np.testing.assert_array_equal(of.numbers, np.sort(one.numbers), strict=True)
            assert of[1:] == (one.numbers.min(), one.numbers.max())


def test_nothing_is_a_block_too() -> None:
    """No variable, no event."""
    assert list(blocks([])) == []
    assert [(found.n, of) for found, of in blocks([[], []])] == [(0, None)] * 2


@pytest.mark.parametrize(
    "events",
    [[], [{"a": 1}], [{"a": 1, "b": 2}, {"a": 1}], [{"a": 1, "b": 2}, {"a": 1, "c": 2}]],
    ids=["none", "one name", "missing", "another"],
)
def test_where_names_differ_there_are_no_columns(events: list[dict[str, Any]]) -> None:
    """Then each feature is looked for in each event; of one name that is as quick."""
    assert columns(events) == {}


def test_the_order_of_names_does_not_matter() -> None:
    """Only which there are."""
    assert columns([{"a": 1, "b": 2}, {"b": 4, "a": 3}]) == {"a": (1, 3), "b": (2, 4)}


def test_true_and_false_are_counted_as_they_come() -> None:
    """In the order in which they were there first, as a counter has them: ties depend on it."""
    drawn = random.Random(1)
    for share in (0.0, 0.1, 0.5, 1.0):
        values = [drawn.random() < share for _ in range(20)]
        assert list(block(values).words.items()) == list(Counter(values).items())


def test_the_most_frequent_number_is_known_where_it_is_more_than_half() -> None:
    """Else its share is only said to be less: who asks wants to know of nine tenths."""
    drawn = random.Random(2)
    for share in (0.1, 0.5, 0.6, 0.95, 1.0):
        for n in (1, 2, 50, 251):
            values = [7.0 if drawn.random() < share else drawn.random() for _ in range(n)]
            exact = max(Counter(values).values()) / n
            found = top_share(block(values))
            assert found == exact if exact > 0.5 else found <= 0.5


def test_numbers_in_order_tell_whether_there_is_one() -> None:
    """As a look at all of them does."""
    for values in ([2.0, 2.0, 2.0], [2.0, 3.0, 2.0], [0.0, -0.0, 0]):
        ((found, of),) = blocks([values])
        assert of is not None
        assert has_one_number(found, of) == has_one_number(found, None)


@pytest.mark.parametrize("digits", [0, 1, 12])
def test_a_bin_has_what_is_above_one_edge_up_to_and_with_the_next(digits: int) -> None:
    """As a plain loop counts, in order or not, where values are edges and where they are not."""
    drawn = random.Random(digits)
    values = [[round(drawn.gauss(0, 1), digits) for _ in range(250)] for _ in range(4)]
    bins = NumberBins([block(each) for each in values[:3]])
    edges = [float("-inf"), *bins.edges.tolist(), float("inf")]
    plain = [sum(low < x <= high for x in values[3]) for low, high in pairwise(edges)]
    ((found, of),) = blocks([values[3]])
    assert bins.count(found) == bins.count(found, of) == plain
