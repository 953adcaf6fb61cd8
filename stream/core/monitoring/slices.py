"""The errors of a classifier on parts of the events: one share for each value of a feature."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from stream.core.monitoring.found import Found
from stream.core.monitoring.rates import Rate

BLOCK_N: Final = 50
BLOCKS_N: Final = 20


class _Slice:
    """The errors of one value: blocks of 50 events, the first twenty of them the reference."""

    __slots__ = ("blocks", "n", "rate", "wrong_n")

    def __init__(self) -> None:
        self.blocks: list[tuple[int, int]] = []
        self.n = self.wrong_n = 0
        self.rate: Rate | None = None


class Slices:
    """The slices of one feature.

    Args:
        most: so many values are watched, those that came first.
        threshold: blocks to a false alarm of one of them, on average, at least.
    """

    __slots__ = ("_most", "_slices", "_threshold")

    def __init__(self, most: int, threshold: float) -> None:
        self._most, self._threshold = most, threshold
        self._slices: dict[str, _Slice] = {}

    def add(
        self, events: Iterable[tuple[Any, float | None]]
    ) -> Iterator[tuple[str, Found | None, bool]]:
        """Take in events: the feature's value, and the error.

        Yields: whose block has ended; whether its error has risen, and whether that is not over.
        """
        for word, error in events:
            if type(word) is not str or error is None:
                continue
            one = self._slices.get(word)
            if one is None:
                if len(self._slices) >= self._most:
                    continue
                one = self._slices[word] = _Slice()
            one.n += 1
            one.wrong_n += error > 0.0
            if one.n == BLOCK_N:
                found = _closed(one, self._threshold)
                yield word, found, one.rate is not None and one.rate.is_on


def _closed(one: _Slice, threshold: float) -> Found | None:
    """End a block of one slice: a part of its reference, or to be compared with it."""
    k, n, one.n, one.wrong_n = one.wrong_n, one.n, 0, 0
    rate = one.rate
    if rate is None:
        one.blocks.append((k, n))
        if len(one.blocks) == BLOCKS_N:
            one.rate, one.blocks = Rate(one.blocks, threshold), []
        return None
    if not rate.add(k, n):
        return None
    return Found(
        "slice", k / n, rate.limit, rate.before, k / n, rate.before_n, n, None,
        f"the model is wrong on {k / n:.1%} of the last {n} events, on {rate.before:.1%} of "
        f"{rate.before_n} before",
    )  # fmt: skip
