"""Whether what a model says is any good: beside baselines, and whether its chances are true.

Looked at in blocks of labelled events, over the last twenty of them. While a model has seen fewer
it is only learning, and nobody is told.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from itertools import repeat
from math import exp, fsum, sqrt
from operator import ne
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream.core.monitoring.betting import Lasting
from stream.core.monitoring.blocks import Column
from stream.core.monitoring.found import Found
from stream.core.problems import Problem

BLOCKS_N: Final = 20
T_MIN: Final = 4.0
"""Of a mean over 20 blocks: so many of its own standard errors is no chance."""

LEAST_SHARE: Final = 0.01
"""Of the usual label's error: less is no loss that anybody needs to hear of."""

BINS_N: Final = 10
MARGIN: Final = 0.05
"""So far off may chances be, on average."""

ROUNDING: Final = 1e-6
"""A sum of one block that is nearer to 0 is added up exactly: thousands of times what rounding
does to it."""

_BASELINES: Final = (
    ("no_change", "the last label again"),
    ("majority", "always the usual one"),
)
_RATES: Final = tuple(0.5 * 0.5**k for k in range(6))
_LOG_MAX: Final = 700.0


Labelled = tuple[Any, float | None, float]
"""One labelled event: its label, what detectors on "prediction" are told of it, and the error."""

Numbers = npt.NDArray[np.float64]


class Bias(Lasting):
    """A bet that what is to be 0 on average is more than a margin above it; see `ecusum`.

    A block is one bet. Of log(1 + x) its lower bound x - x² is taken, for x of at least -1/2, so
    that two sums are all that it takes.

    Args:
        threshold: blocks to a false alarm, on average, at least.
    """

    __slots__ = ("_blocks", "_logs", "_threshold")

    def __init__(self, threshold: float) -> None:
        self._threshold, self._logs = threshold, [0.0] * len(_RATES)
        self._blocks, self.since_n = [0] * len(_RATES), 0
        self._start_over()

    def add(self, said: Numbers, came: Numbers, total: float) -> bool:
        """Take in a block of values, -1 to 1: came - said. Returns: whether it is so.

        Once it is, each block above the margin is found, until four in turn are not; then it starts
        over.

        Args:
            said: of each value, what is taken away.
            came: of each value, from what.
            total: the sum of the values, which rounding may have changed a little.
        """
        over = total - MARGIN * len(came)
        if abs(over) < ROUNDING:
            over = fsum(_scaled(said, came).tolist())
        if self.is_on:
            return self._goes_on(over > 0.0)
        if over <= 0.0 and max(self._logs) <= 0.0:
            return False  # what was won is nothing, and is less now
        scaled = _scaled(said, came)
        total, squares = fsum(scaled.tolist()), fsum((scaled * scaled).tolist())
        self._blocks = [
            n + 1 if log > 0.0 else 1 for n, log in zip(self._blocks, self._logs, strict=True)
        ]
        self._logs = [
            min(max(log, 0.0) + rate * total - rate * rate * squares, _LOG_MAX)
            for rate, log in zip(_RATES, self._logs, strict=True)
        ]
        if fsum(map(exp, self._logs)) < len(_RATES) * self._threshold:
            return False
        self.since_n = self._blocks[self._logs.index(max(self._logs))]
        self._logs, self.is_on = [0.0] * len(_RATES), True
        return True


def _scaled(said: Numbers, came: Numbers) -> Numbers:
    """How far came - said is above the margin, at most 1."""
    return (came - said - MARGIN) / (1.0 + MARGIN)


class Quality:
    """The errors of a model beside those of baselines, and its chances beside the labels.

    Args:
        blocks: to a false alarm of one measure, on average.
    """

    __slots__ = ("_bias", "_chances", "_errors", "_labels", "_last", "_n", "_total")

    def __init__(self, blocks: float) -> None:
        self._errors: deque[tuple[int, float, float, float]] = deque(maxlen=BLOCKS_N)
        self._chances: deque[tuple[Numbers, Numbers]] = deque(maxlen=BLOCKS_N)
        self._bias = Bias(blocks), Bias(blocks)
        self._labels: Counter[Any] = Counter()
        self._total, self._n = 0.0, 0
        self._last: Any = None

    @property
    def holding(self) -> Collection[str]:
        """Measures that are not over yet, whether or not they found anything in the last block."""
        return {"calibration"} if any(each.is_on for each in self._bias) else ()

    def add(
        self, labels: Column, chances: Column, errors: Sequence[float], problem: Problem,
        known: Sequence[Any] = (),
    ) -> Iterator[Found]:  # fmt: skip
        """Take in a block of labelled events. Yields: what is not good enough.

        Args:
            labels: of each event.
            chances: what detectors on "prediction" are told of each; None: nothing.
            errors: of each.
            problem: says what is wrong.
            known: of each the last label that had come when it was predicted; (): the one before.
        """
        self._errors.append(self._beside_baselines(labels, errors, problem, known))
        yield from self._worse()
        if labels.block.of("bool") == chances.block.of("number") == len(errors):
            total = labels.block.words[True] - sum(chances.values)
            said = chances.block.numbers.copy()  # it is kept, and what it is a part of is not
            are_true = np.frombuffer(bytes(labels.values), np.bool_)
            yield from self._off(said, are_true.astype(np.float64), total)
            return
        if not labels.block.of("bool"):
            return
        known = [(chance, label)
                 for label, chance in zip(labels.values, chances.values, strict=True)
                 if chance is not None and type(label) is bool]  # fmt: skip
        if known:
            some, true = zip(*known, strict=True)
            said, came = np.array(some, dtype=np.float64), np.array(true, np.float64)
            yield from self._off(said, came, sum(true) - sum(some))

    def _beside_baselines(
        self, column: Column, errors: Sequence[float], problem: Problem, known: Sequence[Any]
    ) -> tuple[int, float, float, float]:
        """How many, and the errors of the model, of no change, and of the usual label before."""
        labels, n, error_of = column.values, len(errors), problem.error
        assert error_of is not None  # noqa: S101  # they have labels
        last, self._last = labels[0] if self._last is None else self._last, labels[-1]
        before = [label if k is None else k for k, label in zip(known, labels, strict=False)]
        if problem.error_is_share:  # counted: a call for each event takes ten times as long
            word = self._labels.most_common(1)[0][0] if self._labels else None
            are_bools = column.block.of("bool") == n
            # Of several sorts, and of numbers, the block does not know the order.
            is_counted = are_bools or column.block.of("string") == n
            counted = column.block.words if is_counted else Counter(labels)
            self._labels.update(counted)
            if before:
                changes_n = sum(map(ne, before, labels))
            elif are_bools:
                turns = bytes(labels)
                changes_n = turns.count(b"\0\1") + turns.count(b"\1\0") + (last != labels[0])
            else:
                changes_n = sum(map(ne, labels[1:], labels)) + (last != labels[0])
            # Each error is 0 or 1.
            return n, sum(errors), float(changes_n), float(n - counted[word])
        usual = self._total / self._n if self._n else 0.0
        self._total += fsum(labels)
        self._n += n
        before = before or [last, *labels[:-1]]
        off = fsum(map(error_of, before, labels)), fsum(map(error_of, repeat(usual), labels))
        return n, fsum(errors), *off

    def _worse(self) -> Iterator[Found]:
        """Compare the errors of the last blocks with those of each baseline."""
        errors = self._errors
        if len(errors) < BLOCKS_N:
            return
        sizes, owns, *others = zip(*errors, strict=True)
        n = sum(sizes)
        own, least = fsum(owns) / n, LEAST_SHARE * fsum(others[-1]) / n
        for theirs, (name, what) in zip(others, _BASELINES, strict=True):
            losses = [(one - other) / size
                      for one, other, size in zip(owns, theirs, sizes, strict=True)]  # fmt: skip
            mean = fsum(losses) / BLOCKS_N
            if mean <= least:
                continue
            error = sqrt(fsum((x - mean) ** 2 for x in losses) / (BLOCKS_N - 1) / BLOCKS_N)
            if mean > T_MIN * error:
                baseline = fsum(theirs) / n
                yield Found(
                    "baseline", mean, T_MIN * error, baseline, own, n, n, None,
                    f"over the last {n} labelled events the model's error is {own:.4g}, that of "
                    f"predicting {what} {baseline:.4g}", name,
                )  # fmt: skip

    def _off(self, chances: Numbers, came: Numbers, total: float) -> Iterator[Found]:
        """Bet that probabilities are too low, and that they are too high.

        Args:
            chances: what was said of each event.
            came: 1 where it came true, else 0.
            total: by how much they differ, which rounding may have changed a little.
        """
        self._chances.append((chances, came))
        if len(self._chances) < BLOCKS_N:
            return
        low, high = self._bias
        if low.add(chances, came, total):
            yield self._poor_chances("low", min(low.since_n, BLOCKS_N))
        if high.add(came, chances, -total):
            yield self._poor_chances("high", min(high.since_n, BLOCKS_N))

    def _poor_chances(self, what: str, blocks_n: int) -> Found:
        """How far chances are off, since that began: their expected calibration error."""
        chances, came = map(np.concatenate, zip(*list(self._chances)[-blocks_n:], strict=True))
        n, places = len(chances), np.clip(chances * BINS_N, 0, BINS_N - 1).astype(np.intp)
        # One after the other, in their order: unlike other sums of numpy's this one always is.
        totals = np.bincount(places, chances, BINS_N).tolist()
        trues = np.bincount(places, came, BINS_N).tolist()
        off = fsum(abs(total - true) for total, true in zip(totals, trues, strict=True)) / n
        said, true = fsum(totals) / n, fsum(trues) / n
        return Found(
            "calibration", off, MARGIN, said, true, n, n, None,
            f"probabilities are too {what}: over the last {n} labelled events they say "
            f"{said:.1%} on average, and {true:.1%} came true (calibration error {off:.3f})", what,
        )  # fmt: skip
