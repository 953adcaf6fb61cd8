"""Whether what a model says is any good: beside baselines, and whether its chances are true.

Looked at in blocks of labelled events, over the last twenty of them. While a model has seen fewer
it is only learning, and nobody is told.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from math import exp, fsum, sqrt
from typing import Any, Final, Literal, NamedTuple

BLOCKS_N: Final = 20
T_MIN: Final = 4.0
"""Of a mean over 20 blocks: so many of its own standard errors is no chance."""

BINS_N: Final = 10
MARGIN: Final = 0.05
"""So far off may chances be, on average."""

_RATES: Final = tuple(0.5 * 0.5**k for k in range(6))
_LOG_MAX: Final = 700.0


class Labelled(NamedTuple):
    """One labelled event: what came, what was predicted, P(true) if it is known, and the error."""

    label: Any
    value: Any
    chance: float | None
    error: float


class Poor(NamedTuple):
    """What is not good enough.

    Attributes:
        measure: which; baseline: which baseline.
        before: the baseline's error; of chances, their mean. after: the model's; the labels'.
        value: how much worse, or how far off. threshold: what is too much.
    """

    measure: Literal["baseline", "calibration"]
    name: str
    before: float
    after: float
    value: float
    threshold: float
    n: int
    text: str


class Bias:
    """A bet that what is to be 0 on average is more than a margin above it; see `ecusum`.

    A block is one bet. Of log(1 + x) its lower bound x - x² is taken, for x of at least -1/2, so
    that two sums are all that it takes.

    Args:
        threshold: blocks to a false alarm, on average, at least.
    """

    __slots__ = ("_logs", "_threshold")

    def __init__(self, threshold: float) -> None:
        self._threshold, self._logs = threshold, [0.0] * len(_RATES)

    def add(self, values: Sequence[float]) -> bool:
        """Take in a block of values, -1 to 1. Returns: whether it is so; then it starts over."""
        scaled = [(each - MARGIN) / (1.0 + MARGIN) for each in values]
        total, squares = fsum(scaled), fsum(each * each for each in scaled)
        self._logs = [
            min(max(log, 0.0) + rate * total - rate * rate * squares, _LOG_MAX)
            for rate, log in zip(_RATES, self._logs, strict=True)
        ]
        if fsum(map(exp, self._logs)) < len(_RATES) * self._threshold:
            return False
        self._logs = [0.0] * len(_RATES)
        return True


class Quality:
    """The errors of a model beside those of baselines, and its chances beside the labels.

    Args:
        blocks: to a false alarm of one measure, on average.
    """

    __slots__ = ("_bias", "_bins", "_errors", "_labels", "_last", "_n", "_total")

    def __init__(self, blocks: float) -> None:
        self._errors: deque[tuple[int, float, float, float]] = deque(maxlen=BLOCKS_N)
        self._bins: deque[list[tuple[int, float, int]]] = deque(maxlen=BLOCKS_N)
        self._bias = Bias(blocks), Bias(blocks)
        self._labels: Counter[Any] = Counter()
        self._total, self._n = 0.0, 0
        self._last: Any = None

    def add(
        self, events: Sequence[Labelled], error_of: Callable[[Any, Any], float]
    ) -> Iterator[Poor]:
        """Take in a block of labelled events. Yields: what is not good enough."""
        self._errors.append(self._beside_baselines(events, error_of))
        yield from self._worse()
        known = [each for each in events if each.chance is not None and type(each.label) is bool]
        if known:
            yield from self._off(known)

    def _beside_baselines(
        self, events: Sequence[Labelled], error_of: Callable[[Any, Any], float]
    ) -> tuple[int, float, float, float]:
        """How many, and the errors of the model, of no change, and of the most frequent label."""
        usual, unchanged = [], []
        is_number = type(events[0].label) is float or type(events[0].value) is float
        frequent = self._labels.most_common(1)[0][0] if self._labels else None
        for event in events:
            label, last = event.label, self._last
            unchanged.append(event.error if last is None else error_of(last, label))
            if is_number:
                usual.append(error_of(self._total / self._n if self._n else 0.0, label))
                self._total += label
                self._n += 1
            else:
                usual.append(error_of(frequent, label))
                self._labels[label] += 1
            self._last = label
        return len(events), fsum(each.error for each in events), fsum(unchanged), fsum(usual)

    def _worse(self) -> Iterator[Poor]:
        """Compare the errors of the last blocks with those of each baseline."""
        errors = self._errors
        if len(errors) < BLOCKS_N:
            return
        n = sum(each[0] for each in errors)
        own = fsum(each[1] for each in errors) / n
        for at, name, what in ((2, "no_change", "the last label again"),
                               (3, "majority", "always the usual one")):  # fmt: skip
            losses = [(each[1] - each[at]) / each[0] for each in errors]
            mean = fsum(losses) / BLOCKS_N
            error = sqrt(fsum((x - mean) ** 2 for x in losses) / (BLOCKS_N - 1) / BLOCKS_N)
            if mean > 0.0 and mean > T_MIN * error:
                baseline = fsum(each[at] for each in errors) / n
                yield Poor(
                    "baseline", name, baseline, own, mean, T_MIN * error, n,
                    f"over the last {n} labelled events the model's error is {own:.4g}, that of "
                    f"predicting {what} {baseline:.4g}",
                )  # fmt: skip

    def _off(self, events: Sequence[Labelled]) -> Iterator[Poor]:
        """Bet that probabilities are too low, and that they are too high."""
        bins = [(0, 0.0, 0)] * BINS_N
        for each in events:
            chance = each.chance or 0.0
            at = min(int(chance * BINS_N), BINS_N - 1)
            n, total, trues = bins[at]
            bins[at] = n + 1, total + chance, trues + each.label
        self._bins.append(bins)
        if len(self._bins) < BLOCKS_N:
            return
        for sign, bias, what in zip((1.0, -1.0), self._bias, ("low", "high"), strict=True):
            if bias.add([sign * (each.label - (each.chance or 0.0)) for each in events]):
                yield self._poor_chances(what)

    def _poor_chances(self, what: str) -> Poor:
        """How far chances are off, over the last blocks: their expected calibration error."""
        columns = [
            tuple(map(sum, zip(*each, strict=True))) for each in zip(*self._bins, strict=True)
        ]
        n = sum(each[0] for each in columns)
        off = fsum(abs(total - trues) for _, total, trues in columns) / n
        said, came = fsum(each[1] for each in columns) / n, sum(each[2] for each in columns) / n
        return Poor(
            "calibration", what, said, came, off, MARGIN, n,
            f"probabilities are too {what}: over the last {n} labelled events they say "
            f"{said:.1%} on average, and {came:.1%} came true (calibration error {off:.3f})",
        )  # fmt: skip
