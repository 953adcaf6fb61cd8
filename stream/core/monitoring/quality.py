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

    def add(self, values: Numbers) -> bool:
        """Take in a block of values, -1 to 1. Returns: whether it is so.

        Once it is, each block above the margin is found, until four in turn are not; then it starts
        over.
        """
        scaled = (values - MARGIN) / (1.0 + MARGIN)
        total = fsum(scaled.tolist())
        if self.is_on:
            return self._goes_on(total > 0.0)
        squares = fsum((scaled * scaled).tolist())
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
        n = len(errors)
        if labels.block.of("bool") == chances.block.of("number") == n:
            came = np.fromiter(labels.values, np.bool_, n).astype(np.float64)
            yield from self._off(chances.block.numbers, came)
            return
        known = [(chance, label)
                 for label, chance in zip(labels.values, chances.values, strict=True)
                 if chance is not None and type(label) is bool]  # fmt: skip
        if known:
            some, true = zip(*known, strict=True)
            yield from self._off(np.array(some, dtype=np.float64), np.array(true, np.float64))

    def _beside_baselines(
        self, column: Column, errors: Sequence[float], problem: Problem, known: Sequence[Any]
    ) -> tuple[int, float, float, float]:
        """How many, and the errors of the model, of no change, and of the usual label before."""
        labels, n, error_of = column.values, len(errors), problem.error
        assert error_of is not None  # noqa: S101  # they have labels
        before = (labels[0] if self._last is None else self._last, *labels[:-1])
        if known:
            before = tuple(y if k is None else k for k, y in zip(known, labels, strict=True))
        self._last = labels[-1]
        if problem.error_is_share:  # counted: a call for each event takes ten times as long
            word = self._labels.most_common(1)[0][0] if self._labels else None
            # Of several sorts, and of numbers, the block does not know the order.
            is_counted = n in (column.block.of("string"), column.block.of("bool"))
            counted = column.block.words if is_counted else Counter(labels)
            self._labels.update(counted)
            unchanged, unusual = sum(map(ne, before, labels)), n - counted[word]
            return n, fsum(errors), float(unchanged), float(unusual)
        usual = self._total / self._n if self._n else 0.0
        self._total += fsum(labels)
        self._n += n
        off = fsum(map(error_of, before, labels)), fsum(map(error_of, repeat(usual), labels))
        return n, fsum(errors), *off

    def _worse(self) -> Iterator[Found]:
        """Compare the errors of the last blocks with those of each baseline."""
        errors = self._errors
        if len(errors) < BLOCKS_N:
            return
        n = sum(each[0] for each in errors)
        own = fsum(each[1] for each in errors) / n
        least = LEAST_SHARE * fsum(each[3] for each in errors) / n
        for at, name, what in ((2, "no_change", "the last label again"),
                               (3, "majority", "always the usual one")):  # fmt: skip
            losses = [(each[1] - each[at]) / each[0] for each in errors]
            mean = fsum(losses) / BLOCKS_N
            error = sqrt(fsum((x - mean) ** 2 for x in losses) / (BLOCKS_N - 1) / BLOCKS_N)
            if mean > least and mean > T_MIN * error:
                baseline = fsum(each[at] for each in errors) / n
                yield Found(
                    "baseline", mean, T_MIN * error, baseline, own, n, n, None,
                    f"over the last {n} labelled events the model's error is {own:.4g}, that of "
                    f"predicting {what} {baseline:.4g}", name,
                )  # fmt: skip

    def _off(self, chances: Numbers, came: Numbers) -> Iterator[Found]:
        """Bet that probabilities are too low, and that they are too high."""
        self._chances.append((chances, came))
        if len(self._chances) < BLOCKS_N:
            return
        off = came - chances
        for values, bias, what in zip((off, -off), self._bias, ("low", "high"), strict=True):
            if bias.add(values):
                yield self._poor_chances(what, min(bias.since_n, BLOCKS_N))

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
