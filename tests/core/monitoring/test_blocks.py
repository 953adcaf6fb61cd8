"""A block of events, taken apart: all at once what one value after the other gives."""

import random
from typing import Any

import numpy as np
import pytest

from stream.core.monitoring.blocks import block, blocks, columns

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
    for values, (found, span) in zip(variables, blocks(variables), strict=True):
        one = block(values)
        assert (found.n, found.words, found.counts) == (one.n, one.words, one.counts)
        np.testing.assert_array_equal(found.numbers, one.numbers, strict=True)
        assert span is None or span == (one.numbers.min(), one.numbers.max())


def test_nothing_is_a_block_too() -> None:
    """No variable, no event."""
    assert list(blocks([])) == []
    assert [(found.n, span) for found, span in blocks([[], []])] == [(0, None)] * 2


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
