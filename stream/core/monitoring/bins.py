"""The bins that a variable's values are counted in: made of a reference, then kept."""

from collections import Counter
from collections.abc import Sequence
from operator import sub
from typing import Any, Final

import numpy as np

from stream.core.monitoring.alert_text import told_apart
from stream.core.monitoring.blocks import NOTHING, Block, Ordered

BINS_N: Final = 10
CATEGORIES_MAX: Final = 64

MARGIN: Final = 0.1
"""Of the reference's span, on both sides: so far out is still within the range."""

ROUNDING: Final = 1e-9
"""Of the largest number: so little is none, where the reference was constant."""


class NumberBins:
    """Bins between the quantiles of the reference's numbers.

    Args:
        blocks: the reference, with a number at least.

    Attributes:
        edges: shape (bins - 1,); a bin takes what is above one edge up to and with the next.
        least: the smallest number of the reference; most: its largest.
    """

    __slots__ = ("edges", "least", "most")

    def __init__(self, blocks: Sequence[Block]) -> None:
        ordered = np.sort(np.concatenate([each.numbers for each in blocks]))
        n = len(ordered)
        self.least, self.most = float(ordered[0]), float(ordered[-1])
        # Where one value is frequent, quantiles are equal; at the largest a bin would be empty.
        at = {float(ordered[-(-n * k // BINS_N) - 1]) for k in range(1, BINS_N)} - {self.most}
        self.edges = np.array(sorted(at)) if at else NOTHING

    @property
    def bins_n(self) -> int:
        """How many there are; 1: the reference was constant."""
        return len(self.edges) + 1

    def count(self, block: Block, of: Ordered | None = None) -> list[int]:
        """How many values of a block are in each bin; `of` are they in order, if that is known.

        Edges are looked for among ordered values, which takes a third of what values among edges
        take, ordering included: no processor guesses where the next value is.
        """
        numbers = np.sort(block.numbers) if of is None else of.numbers
        ends: list[int] = numbers.searchsorted(self.edges, "right").tolist()
        return [*map(sub, [*ends, len(numbers)], [0, *ends])]

    @property
    def range(self) -> tuple[float, float]:
        """The reference's, with a margin."""
        margin = MARGIN * (self.most - self.least) + ROUNDING * max(abs(self.least), abs(self.most))
        return self.least - margin, self.most + margin

    def beyond_n(self, block: Block, of: Ordered | None) -> int:
        """How many numbers are out of the range; `of` are they in order, if that is known."""
        if of is not None and of.least >= self.least and of.most <= self.most:
            return 0
        least, most = self.range
        return int(np.count_nonzero((block.numbers < least) | (block.numbers > most)))

    def beyond(self, block: Block) -> str:
        """One of the numbers that are out of the range, and the edge that it is beyond."""
        least, most = self.range
        one = float(block.numbers[(block.numbers < least) | (block.numbers > most)][0])
        edge, shown = told_apart(self.least if one < least else self.most, one, least_n=4)
        return f"{'below' if one < least else 'above'} the {edge} of the reference ({shown})"


class WordBins:
    """A bin for each of the most frequent words of the reference, one for all others.

    Args:
        blocks: the reference.

    Attributes:
        names: word -> its bin.
    """

    __slots__ = ("names",)

    def __init__(self, blocks: Sequence[Block]) -> None:
        total: Counter[Any] = Counter()
        for each in blocks:
            total.update(each.words)
        # Of equally frequent ones always the same, whatever order they came in.
        order = sorted(total, key=lambda word: (-total[word], str(word)))
        self.names = {word: place for place, word in enumerate(order[:CATEGORIES_MAX])}

    @property
    def bins_n(self) -> int:
        """How many there are, with that of the others."""
        return len(self.names) + 1

    def count(self, block: Block, _: Ordered | None = None) -> list[int]:
        """How many values of a block are in each bin."""
        found = [0] * self.bins_n
        for word, n in block.words.items():
            found[self.names.get(word, -1)] += n
        return found
