"""Prequential scores over a window, each beside the no-change baseline.

Accuracy alone proves little on a stream: on `elec2` predicting the last label again beats a
Hoeffding tree (Gama, Sebastião & Rodrigues 2013; Bifet et al. 2013).
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec

WINDOW_N = 1000
"""Labelled events that a windowed score looks back over."""


class Score(msgspec.Struct, frozen=True):
    """A windowed score.

    Attributes:
        metric: "accuracy" (more is better) or "mae" (less is better).
        value: the model's score over `n` labelled events.
        baseline: the same of predicting the last label again.
        kappa: Cohen's kappa, agreement beyond chance; None for regression.
        n: how many labelled events are in the window.
    """

    metric: str
    value: float
    baseline: float
    kappa: float | None
    n: int


class Window:
    """The last labelled events: what was predicted, what came.

    Attributes:
        add: remembers one labelled event, as (prediction, label), or as (prediction, label, the
            last label that had come when it was predicted) where labels come later; the deque's
            own, as it is called for each event.
    """

    __slots__ = ("_pairs", "add")

    def __init__(self) -> None:
        self.__setstate__([])

    @property
    def pairs(self) -> Sequence[tuple[Any, ...]]:
        """What `add` was given, in the order in which labels came."""
        return self._pairs

    def __getstate__(self) -> list[tuple[Any, ...]]:
        return list(self._pairs)

    def __setstate__(self, pairs: list[tuple[Any, ...]]) -> None:
        # One more than the window: the baseline of the oldest event is the label before it.
        self._pairs = deque(pairs, maxlen=WINDOW_N + 1)
        self.add = self._pairs.append


def accuracy(pairs: Iterable[tuple[Any, ...]]) -> Score | None:
    """Score what `Window.add` takes, in stream order; the first only seeds the baseline."""
    seen = list(pairs)[-(WINDOW_N + 1) :]
    n = len(seen) - 1
    if n < 1:
        return None
    hits = sum(p == y for p, y, *_ in seen[1:]) / n
    naive = sum(last == y for last, y in _unchanged(seen)) / n
    predicted = Counter(p for p, *_ in seen[1:])
    actual = Counter(y for _, y, *_ in seen[1:])
    chance = sum(predicted[c] * actual[c] for c in actual) / (n * n)
    kappa = (hits - chance) / (1 - chance) if chance < 1 else 0.0
    return Score("accuracy", hits, naive, kappa, n)


def mean_error(pairs: Iterable[tuple[Any, ...]]) -> Score | None:
    """The mean absolute error, as `accuracy` takes its pairs; no answer counts as 0."""
    seen = list(pairs)[-(WINDOW_N + 1) :]
    n = len(seen) - 1
    if n < 1:
        return None
    error = sum(abs((p or 0.0) - y) for p, y, *_ in seen[1:]) / n
    naive = sum(abs(last - y) for last, y in _unchanged(seen)) / n
    return Score("mae", error, naive, None, n)


def none(_pairs: Iterable[tuple[Any, ...]]) -> None:
    """No score: nothing says what would have been right."""


def _unchanged(seen: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, Any]]:
    """What predicting the last label again says, and what came; the first only seeds it.

    Where labels come later it is the last that was there when the event was predicted.
    """
    for before, (_, label, *known) in pairwise(seen):
        yield before[1] if not known or known[0] is None else known[0], label
