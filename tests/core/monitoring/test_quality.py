"""What is told of a model's chances, beside a plain loop."""

import random
from math import fsum

import pytest

from stream.core.monitoring.blocks import column
from stream.core.monitoring.quality import BLOCKS_N, Quality
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
