"""The index of a block against a reference, beside numpy's and scipy's own arithmetic."""

from math import log

import numpy as np
import pytest
from scipy import stats

from stream.core.monitoring.psi import TERMS_MAX, design_effect, psi, quantile_of_f, scale


def by_numpy(block: list[int], reference: list[int]) -> float:
    """The textbook's formula, with half a value in each bin."""
    q = (np.array(block) + 0.5) / (sum(block) + 0.5 * len(block))
    p = (np.array(reference) + 0.5) / (sum(reference) + 0.5 * len(block))
    return float(np.sum((q - p) * np.log(q / p)))


def test_psi_is_the_textbooks() -> None:
    """Also where a bin is empty on one side."""
    drawn = np.random.default_rng(1)
    for bins in (2, 3, 10, 65):
        block = drawn.multinomial(250, np.ones(bins) / bins).tolist()
        reference = drawn.multinomial(5000, drawn.dirichlet(np.ones(bins))).tolist()
        block[0] = 0
        assert psi(block, reference) == pytest.approx(by_numpy(block, reference))
        assert psi(reference, reference) == pytest.approx(0.0)


def _in_order(block: list[int], reference: list[int]) -> float:
    """The same, one bin after the other."""
    half, total = 0.5 * len(block), 0.0
    for found, usual in zip(block, reference, strict=True):
        q, p = (found + 0.5) / (sum(block) + half), (usual + 0.5) / (sum(reference) + half)
        total += (q - p) * log(q / p)
    return total


def test_terms_that_are_kept_change_no_bit() -> None:
    """Of any sizes in turn, of the same again, and of more counts than are kept."""
    drawn = np.random.default_rng(4)
    for bins, block_n in [(10, 250), (10, 240), (65, 250), (2, 250)] * 40:
        block = drawn.multinomial(block_n, np.ones(bins) / bins).tolist()
        reference = drawn.multinomial(5000, drawn.dirichlet(np.ones(bins))).tolist()
        assert psi(block, reference) == _in_order(block, reference)
    for found in range(2 * TERMS_MAX):
        block = [found, 2 * TERMS_MAX - found]
        assert psi(block, [100, 200]) == _in_order(block, [100, 200])


def test_independent_blocks_have_no_design_effect_and_dependent_ones_have() -> None:
    """Of values that come ten times each, a block says a tenth (psi sees empty bins as more)."""
    drawn = np.random.default_rng(2)
    shares = np.ones(10) / 10
    plain = [drawn.multinomial(250, shares).tolist() for _ in range(400)]
    assert design_effect(plain) == pytest.approx(1.0, abs=0.1)
    repeated = [(5 * drawn.multinomial(50, shares)).tolist() for _ in range(400)]
    assert design_effect(repeated) == pytest.approx(5.0, rel=0.2)


@pytest.mark.parametrize("blocks", [[], [[3, 4]], [[0, 0], [0, 0]], [[5], [5]]])
def test_too_little_has_no_design_effect(blocks: list[list[int]]) -> None:
    """One block, empty ones and a single bin say nothing about how much blocks differ."""
    assert design_effect(blocks) == 1.0


def test_the_quantile_is_that_of_f() -> None:
    """To four digits, so that every machine has the same."""
    for chance in (0.05, 1e-3, 1e-5):
        exact = stats.f.isf(chance, 9, 19)
        assert quantile_of_f(chance, 10, 20) == pytest.approx(exact, rel=1e-3)
        assert len(f"{quantile_of_f(chance, 10, 20):.12g}".replace(".", "").strip("0")) <= 4


def test_a_threshold_keeps_its_chance_on_independent_values() -> None:
    """At 1 in 100 a block, about so many blocks of an unchanged stream are over it."""
    drawn = np.random.default_rng(3)
    shares, over_n, tries_n = np.ones(10) / 10, 0, 0
    for _ in range(100):
        blocks = [drawn.multinomial(250, shares).tolist() for _ in range(20)]
        reference = np.sum(blocks, axis=0).tolist()
        usual = scale(250, 5000, bins_n=10, effect=design_effect(blocks))
        threshold = usual * quantile_of_f(0.01, 10, 20)
        for _ in range(20):
            over_n += psi(drawn.multinomial(250, shares).tolist(), reference) > threshold
            tries_n += 1
    assert over_n / tries_n < 0.015
