"""One variable that is watched: a feature, the label or the prediction, against its reference.

First its blocks are kept: they are the reference. Then each block is compared with it: what is
missing, of another type, out of range or a category never seen before is a share that must not rise
(`rates`); how the rest is distributed must not move (`psi`); and what used to vary must vary.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import chain
from math import fsum, sqrt
from typing import Any, Final

from stream.core.monitoring.alert_text import told_apart
from stream.core.monitoring.bins import NumberBins, WordBins
from stream.core.monitoring.blocks import (
    SORTS,
    Block,
    Ordered,
    Sort,
    block,
    has_one_number,
    only,
    top_share,
)  # fmt: skip
from stream.core.monitoring.found import Chances, Found, Measure, shown
from stream.core.monitoring.psi import PSI_MIN, design_effect, psi, quantile_of_f, scale
from stream.core.monitoring.rates import Rate

WORDS_MAX: Final = 1000
"""Different words that are known of a variable; where there are more, none is a new one."""

EFFECT_MAX: Final = 40.0
"""Of a larger design effect a variable is a clock or a counter: it always moves."""

SHARE_MAX: Final = 0.9
"""A value that is more frequent, in some block of the reference, may well stay the only one."""

IN_TURN_N: Final = 2
"""Blocks that must have moved, one after the other."""


class Variable:
    """A variable's reference, and what is over its thresholds.

    Args:
        least_n: values that a block must have, for its distribution to say something.
        missed: blocks of the reference that had ended before it was there, by their sizes.

    Attributes:
        is_ready: its reference is complete.
        is_monitorable: what it is like stays so; a clock's, a counter's or an id's does not.
        ratio: the last block's psi, as a multiple of its threshold.
    """

    __slots__ = (
        "_bins", "_constant_n", "_counts", "_effect", "_f", "_known", "_least_n", "_mean",
        "_moved_n", "_rates", "_reference", "_sort", "_varies", "is_monitorable", "is_ready",
        "ratio",
    )  # fmt: skip

    def __init__(self, least_n: int, missed: Sequence[int] = ()) -> None:
        self._least_n = least_n
        self._reference = [block([None] * n) for n in missed]
        self.is_ready = self.is_monitorable = self._varies = False
        self._known: set[Any] | None = set()
        self._rates: dict[Measure, Rate] = {}
        self._moved_n = self._constant_n = 0
        self._mean = self.ratio = self._f = 0.0
        self._effect = 1.0
        self._counts: list[int] = []

    @property
    def holding(self) -> Collection[str]:
        """Measures that are not over yet, whether or not they found anything in the last block."""
        return {measure for measure, rate in self._rates.items() if rate.is_on}

    @property
    def learned_n(self) -> int:
        """Blocks of the reference that there are; 0 once it is complete."""
        return len(self._reference)

    @property
    def is_moved(self) -> bool:
        """Whether its distribution was another one in the last blocks."""
        return self._moved_n >= IN_TURN_N

    def learn(self, found: Block) -> None:
        """Take one more block into the reference."""
        known = self._known
        if found.numbers.base is not None:  # it is kept, and what it is a part of is not
            found = found._replace(numbers=found.numbers.copy())
        if known is not None:
            known.update(found.words)
            if len(known) > WORDS_MAX:
                self._known = None
        if self._known is None:  # of so many words most are seen once: they are one
            found = found._replace(words=Counter({"": sum(found.words.values())}))
        self._reference.append(found)

    def complete(self, chances: Chances) -> None:
        """Make the reference of what was learned; nothing can be said of it before."""
        reference, self._reference = self._reference, []
        self.is_ready = True
        self._sort: Sort = max(SORTS, key=lambda sort: sum(each.of(sort) for each in reference))
        self._rate("missing", [(each.n - each.present_n, each.n) for each in reference], chances)
        others = [(each.present_n - each.of(self._sort), each.present_n) for each in reference]
        self._rate("type", others, chances)
        of = [only(each, self._sort) for each in reference if each.of(self._sort)]
        if not of or (self._known is None and self._sort != "number"):
            return
        self._bins = NumberBins(of) if self._sort == "number" else WordBins(of)
        blocks = [self._bins.count(each) for each in of]
        self._counts = [sum(each) for each in zip(*blocks, strict=True)]
        self._effect = design_effect(blocks)
        self.is_monitorable = self._effect <= EFFECT_MAX
        if self.is_monitorable and len(of) > 1 and self._bins.bins_n > 1:
            self._f = quantile_of_f(sqrt(chances.psi), self._bins.bins_n, len(of))
        if isinstance(self._bins, NumberBins):
            self._of_numbers(of, chances)
        elif self._known is not None:
            self._of_words(of, chances)

    def _of_numbers(self, of: Sequence[Block], chances: Chances) -> None:
        n = sum(self._counts)
        self._mean = fsum(chain.from_iterable(each.numbers.tolist() for each in of)) / n
        full = [each for each in of if len(each.numbers) >= self._least_n]
        self._varies = bool(full) and all(top_share(each) <= SHARE_MAX for each in full)
        if self.is_monitorable:
            self._rate("range", [(0, len(each.numbers)) for each in of], chances)

    def _of_words(self, of: Sequence[Block], chances: Chances) -> None:
        """Find how often new words are usual, and whether no word is nearly always there."""
        total: Counter[Any] = Counter()
        for each in of:
            total.update(each.words)
        # Words that were there once tell how many others there are (Good 1953).
        singles = [(sum(total[word] == 1 for word in each.words), sum(each.words.values()))
                   for each in of]  # fmt: skip
        self._rate("new_category", singles, chances)
        full = [each for each in of if sum(each.words.values()) >= self._least_n]
        self._varies = bool(full) and all(
            max(each.words.values()) <= SHARE_MAX * sum(each.words.values()) for each in full
        )

    def _rate(self, measure: Measure, blocks: list[tuple[int, int]], chances: Chances) -> None:
        if any(n for _, n in blocks):
            self._rates[measure] = Rate(blocks, chances.blocks)

    def watch(self, found: Block, of: Ordered | None = None) -> list[Found]:
        """Compare a block with the reference: what is over its threshold, the plainest first.

        Args:
            found: the block.
            of: its numbers in order, if somebody has done that.
        """
        result = self._shares(found, of)
        if not self._counts:
            return result
        result += self._constant(found, of)
        moved = self._psi(found, of)
        if moved is None:
            return result
        counts, n, index, threshold = moved
        self.ratio = index / threshold
        # Once it has moved, half as much is still too much.
        if index > (threshold / 2 if self.is_moved else threshold):
            self._moved_n += 1
        else:
            self._moved_n = 0
        if self.is_moved:
            result.append(self._moved(found, counts, n, index, threshold))
        return result

    def look(self, found: Block, of: Ordered | None) -> float:
        """How far a block has moved, as a multiple of the threshold; nothing is kept of it."""
        moved = self._psi(found, of) if self._counts else None
        return self.ratio if moved is None else moved[2] / moved[3]

    def _psi(self, found: Block, of: Ordered | None) -> tuple[list[int], int, float, float] | None:
        """The counts, how many, psi and its threshold; None: there is nothing to compare."""
        n = found.of(self._sort)
        if not self._f or n < self._least_n:
            return None
        its = found if self._sort == "number" else only(found, self._sort)
        counts = self._bins.count(its, of)
        usual = scale(n, sum(self._counts), bins_n=self._bins.bins_n, effect=self._effect)
        return counts, n, psi(counts, self._counts), max(PSI_MIN, usual * self._f)

    def _shares(self, found: Block, of: Ordered | None) -> list[Found]:
        """What became more frequent."""
        result, present_n = [], found.present_n
        for measure, rate in self._rates.items():
            if measure == "missing":
                k, n = found.n - present_n, found.n
            elif measure == "type":
                k, n = present_n - found.of(self._sort), present_n
            elif isinstance(self._bins, NumberBins):
                k, n = self._bins.beyond_n(found, of), len(found.numbers)
            else:
                words = only(found, self._sort).words
                k, n = sum(words[word] for word in self._new(words)), sum(words.values())
            if n and rate.add(k, n):
                result.append(
                    Found(
                        measure, k / n, rate.limit, rate.before, k / n, rate.before_n, n,
                        rate.since_n,
                        f"{self._what(measure, found)} in {k / n:.1%} of {n} events, in "
                        f"{rate.before:.1%} of {rate.before_n} before",
                    )
                )  # fmt: skip
                if measure == "new_category":
                    self._meet(found)
        return result

    def _what(self, measure: Measure, found: Block) -> str:
        """What became more frequent, in words."""
        if measure == "missing":
            return "missing"
        if measure == "type":
            return f"no {self._sort}"
        if isinstance(self._bins, NumberBins):
            return self._bins.beyond(found)
        words = only(found, self._sort).words
        most = max(self._new(words), key=lambda word: (words[word], str(word)), default="")
        return f"never seen ({shown(most)})"

    def _new(self, words: Counter[Any]) -> list[Any]:
        """Those that are not known."""
        known = self._known or ()
        return [word for word in words if word not in known]

    def _meet(self, found: Block) -> None:
        """Know what was told to be new: the next alert is of another category."""
        known = self._known
        if known is not None and len(known) < WORDS_MAX:
            known.update(only(found, self._sort).words)

    def _constant(self, found: Block, of: Ordered | None) -> Sequence[Found]:
        """What used to vary and does not any more."""
        present_n = found.present_n
        if not self._varies or present_n < self._least_n:
            return ()
        if self._sort == "number":
            is_constant = found.counts[0] == present_n and has_one_number(found, of)
        else:
            is_constant = len(found.words) == 1 and not len(found.numbers)
        self._constant_n = self._constant_n + 1 if is_constant else 0
        if self._constant_n < IN_TURN_N:
            return ()
        number = float(found.numbers[0]) if self._sort == "number" else None
        value = next(iter(found.words)) if number is None else number
        mean = None if number is None else self._mean
        return [Found(
            "constant", 1.0, SHARE_MAX, mean, number, sum(self._counts),
            present_n * self._constant_n, self._constant_n,
            f"always {shown(value)} in the last {self._constant_n} blocks; it used to vary",
        )]  # fmt: skip

    def _moved(
        self, found: Block, counts: list[int], n: int, index: float, threshold: float
    ) -> Found:
        """Tell both sides: means of numbers, or the share of the word that moved most."""
        reference_n = sum(self._counts)
        if isinstance(self._bins, NumberBins):
            before, after = self._mean, fsum(found.numbers.tolist()) / n
            text = "mean {} -> {}".format(*told_apart(before, after, least_n=4))
        else:
            shares = [(own / n, usual / reference_n)
                      for own, usual in zip(counts, self._counts, strict=True)]  # fmt: skip
            at = max(range(len(shares)), key=lambda each: abs(shares[each][0] - shares[each][1]))
            after, before = shares[at]
            names = [shown(name) for name, place in self._bins.names.items() if place == at]
            word = names[0] if names else "all others"
            text = f"share of {word} {before:.1%} -> {after:.1%}"
        return Found(
            "psi", index, threshold, before, after, reference_n, n, self._moved_n,
            f"{text} (psi {index:.2f}, over {threshold:.2f})",
        )  # fmt: skip
