"""Whether a block of values is distributed as a reference is: the population stability index.

    psi = sum of (q - p) ln(q / p)       p, q: shares of a bin in the reference and in the block

Of independent values its size is known (a chi-squared over the number of values); values of a
stream depend on each other. So it is compared with what the parts of the reference differ from the
rest of it: their mean is the design effect (Rao & Scott 1984), how much less so many values say
than so many independent ones. As the parts are few, the threshold is a quantile of F.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import log
from typing import Final

PSI_MIN = 0.1
"""Less is no change that anybody needs to hear of, whatever the statistics say."""

TERMS_MAX: Final = 1024
"""Kept of two sizes: some 150 KB. Ten numbers, all of whose bins have as many, need a hundred."""

SIZES_MAX: Final = 32
"""Pairs of sizes of which terms are kept, in a process."""

Counts = Sequence[int]
"""How many values are in each bin."""


def psi(block: Counts, reference: Counts) -> float:
    """The index of a block's counts against those of a reference: 0 where the shares are the same.

    Half a value is added to each bin, so that an empty one is no infinity.

    >>> psi([10, 10], [100, 100]) == 0.0, round(psi([30, 10], [100, 100]), 2)
    (True, 0.26)
    """
    half = 0.5 * len(block)
    terms = _terms(sum(block) + half, sum(reference) + half)
    total = 0.0
    for counts in zip(block, reference, strict=True):
        total += terms[counts]
    return total


class _Terms(dict[tuple[int, int], float]):
    """What a bin adds to the index, by its two counts: they come again and again.

    To look for it takes a third of what the logarithm and all around it takes.

    Args:
        block_n: how many values the block has; reference_n: the reference; both with the halves.
    """

    def __init__(self, block_n: float, reference_n: float) -> None:
        super().__init__()
        self._block_n, self._reference_n = block_n, reference_n

    def __missing__(self, counts: tuple[int, int]) -> float:
        found, usual = counts
        q, p = (found + 0.5) / self._block_n, (usual + 0.5) / self._reference_n
        if len(self) >= TERMS_MAX:
            self.clear()
        self[counts] = term = (q - p) * log(q / p)
        return term


_terms = lru_cache(SIZES_MAX)(_Terms)


def design_effect(blocks: Sequence[Counts]) -> float:
    """How much more the blocks of a reference differ than those of independent values; 1 at least.

    Blocks without values, and a single one, say nothing.
    """
    whole = [sum(each) for each in zip(*blocks, strict=True)]
    whole_n, ratios = sum(whole), []
    for block in blocks:
        n = sum(block)
        if 0 < n < whole_n and len(block) > 1:
            rest = [all_of_it - own for all_of_it, own in zip(whole, block, strict=True)]
            expected = (1.0 / n + 1.0 / (whole_n - n)) * (len(block) - 1)
            ratios.append(psi(block, rest) / expected)
    return max(1.0, sum(ratios) / len(ratios)) if ratios else 1.0


def quantile_of_f(chance: float, bins_n: int, blocks_n: int) -> float:
    """What a ratio of variances exceeds with this chance.

    Args:
        chance: between 0 and 1.
        bins_n: 2 and more.
        blocks_n: 2 and more.
    """
    from scipy.special import fdtri  # noqa: PLC0415  # river has loaded it

    # Rounded: on another machine the last bits may be others, and a replay repeats every bit.
    return float(f"{fdtri(bins_n - 1.0, blocks_n - 1.0, 1.0 - chance):.4g}")


def scale(n: int, reference_n: int, *, bins_n: int, effect: float) -> float:
    """What psi of a block of `n` values is expected to be while nothing changes.

    Args:
        n: of the block.
        reference_n: how many values the reference has.
        bins_n: how many bins they are counted in.
        effect: the design effect.
    """
    return (1.0 / reference_n + 1.0 / n) * (bins_n - 1) * effect
