"""Which numbers of a sample tell the label by themselves, or two of them by their sum.

They are known only with the label, so a model that learns from them has learned nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from stream.core.event import Kind
from stream.runtime.commands.label_guess import ALIKE_N

SUMMED_MAX = 200  # numbers of which every two are added up


def leaks(
    columns: Mapping[str, Sequence[Any]], labels: Sequence[Any], *, kind: Kind, positive: Any
) -> dict[str, str]:
    """Find the numbers that tell the label, each with how.

    Args:
        columns: the features' values, by name.
        labels: the label's values, one an event; None where there is none.
        kind: what a model has to do.
        positive: the label that is true, where labels are no bools.
    """
    truth = _truth(labels, kind, positive)
    numbers = {
        name: np.array([np.nan if v is None else float(v) for v in values])
        for name, values in columns.items()
        if all(isinstance(v, int | float | None) for v in values)
    }
    found: dict[str, str] = {}
    for name, values in numbers.items():
        there = ~np.isnan(values) & ~np.isnan(truth)
        x, y = values[there], truth[there]
        if kind is Kind.REGRESSION:
            equal = x.size > ALIKE_N and x.std() > 0 and y.std() > 0
            tells = equal and abs(np.corrcoef(x, y)[0, 1]) > 0.999  # noqa: PLR2004
        else:
            true, false = x[y == 1], x[y == 0]
            many = min(true.size, false.size) > ALIKE_N
            tells = many and (true.min() > false.max() or true.max() < false.min())
        if tells:
            found[name] = "it tells the label by itself"
    if kind is Kind.REGRESSION:
        names = list(numbers)[:SUMMED_MAX]
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                if truth.size > ALIKE_N and np.array_equal(numbers[one] + numbers[other], truth):
                    found[one] = found[other] = "two fields add up to the label"
    return found


def _truth(values: Sequence[Any], kind: Kind, positive: Any) -> "np.ndarray[Any, Any]":
    """The labels as numbers; NaN where there is none."""
    is_true: Callable[[Any], float] = (
        float if kind is Kind.REGRESSION or positive is None else lambda v: float(v == positive)
    )
    return np.array([np.nan if v is None else is_true(v) for v in values])
