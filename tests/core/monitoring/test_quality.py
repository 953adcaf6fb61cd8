"""What is told of a model's chances, beside a plain loop."""

import random
from math import exp, fsum
from operator import ne

import numpy as np
import pytest

from stream.core.monitoring.blocks import column
from stream.core.monitoring.quality import BLOCKS_N, MARGIN, Bias, Quality
from stream.core.problems import BINARY

N = 250


def _loop(pairs: list[tuple[float, bool]]) -> tuple[float, float, float]:
    """The calibration error of ten bins, what was said and what came true."""
    said, came = [0.0] * 10, [0.0] * 10
    for chance, label in pairs:
        at = min(int(chance * 10), 9)
        said[at] += chance
        came[at] += label
    off = fsum(abs(one - other) for one, other in zip(said, came, strict=True))
    return off / len(pairs), fsum(said) / len(pairs), fsum(came) / len(pairs)


@pytest.mark.parametrize("digits", [1, 17])
def test_the_calibration_error_is_that_of_a_plain_loop(digits: int) -> None:
    """To the last bit, with chances on the edges of bins as well."""
    drawn, quality = random.Random(digits), Quality(10.0)
    pairs: list[tuple[float, bool]] = []
    for _ in range(BLOCKS_N + 10):
        chances = [round(drawn.random(), digits) for _ in range(N)]
        labels = [drawn.random() < chance / 2 for chance in chances]
        pairs += zip(chances, labels, strict=True)
        errors = [float(label) for label in labels]
        found = list(quality.add(column(labels), column(chances), errors, BINARY))
        one = next((each for each in found if each.measure == "calibration"), None)
    assert one is not None
    assert (one.value, one.before, one.after) == _loop(pairs[-one.after_n :])
    assert one.name == "high"


RATES = [0.5 * 0.5**k for k in range(6)]


class PlainBias:
    """The bet, with every sum exact and every block counted."""

    def __init__(self, threshold: float) -> None:
        self.threshold, self.logs, self.blocks = threshold, [0.0] * 6, [0] * 6
        self.since_n, self.usual_n, self.is_on = 0, 0, False

    def add(self, values: list[float]) -> bool:
        """Whether it is so."""
        scaled = [(value - MARGIN) / (1.0 + MARGIN) for value in values]
        total, squares = fsum(scaled), fsum(each * each for each in scaled)
        if self.is_on:
            self.since_n += 1
            self.usual_n = 0 if total > 0.0 else self.usual_n + 1
            self.is_on = self.usual_n < 4
            return total > 0.0
        for at, rate in enumerate(RATES):
            self.blocks[at] = self.blocks[at] + 1 if self.logs[at] > 0.0 else 1
            self.logs[at] = max(self.logs[at], 0.0) + rate * total - rate * rate * squares
        if fsum(map(exp, self.logs)) < 6.0 * self.threshold:
            return False
        self.since_n = self.blocks[self.logs.index(max(self.logs))]
        self.logs, self.is_on, self.usual_n = [0.0] * 6, True, 0
        return True


@pytest.mark.parametrize("nearly", [0.0, 1e-12, 1e-3, 0.05, 0.3])
def test_what_a_bias_does_not_add_up_changes_nothing_of_it(nearly: float) -> None:
    """Sums at the margin, below, above and in turn; told by a sum that rounding has changed."""
    drawn = random.Random(3)
    bias, plain, found_n = Bias(20.0), PlainBias(20.0), 0
    for at in range(2000):
        side = drawn.choice([-1.0, 0.0, 1.0]) if at // 100 % 2 else drawn.choice([0.0, 1.0])
        n = drawn.choice([50, 250])
        values = [MARGIN + nearly * side] * n
        if drawn.random() < 0.5:  # the same sum, of values that differ
            off = [drawn.uniform(-0.5, 0.5) for _ in range(n // 2)]
            values = [v + o for v, o in zip(values, [*off, *(-each for each in off)], strict=True)]
        told = fsum(values) + drawn.uniform(-1e-9, 1e-9)
        is_so = plain.add(values)
        assert bias.add(np.zeros(n), np.array(values), told) == is_so
        assert (bias.is_on, bias.since_n) == (plain.is_on, plain.since_n)
        found_n += is_so
    assert found_n > (0 if nearly >= 0.05 else -1)


@pytest.mark.parametrize("sort", [bool, str, int])
def test_baselines_are_those_of_a_plain_loop(sort: type) -> None:
    """Where labels are true and false they are counted otherwise than where they are words."""
    drawn, quality = random.Random(4), Quality(10.0)
    labels: list[bool] = []
    for _ in range(BLOCKS_N):
        block = [drawn.random() < 0.3 for _ in range(N)]
        words = [{True: sort(1), False: sort()}[each] for each in block]
        list(quality.add(column(words), column([None] * N), [1.0] * N, BINARY))
        labels += block
    found = list(quality.add(column(words), column([None] * N), [1.0] * N, BINARY))
    labels += block
    one = next(each for each in found if each.name == "no_change")
    last = labels[-BLOCKS_N * N - 1 :]
    assert one.before == sum(map(ne, last, last[1:])) / (BLOCKS_N * N)
    assert one.after == 1.0
