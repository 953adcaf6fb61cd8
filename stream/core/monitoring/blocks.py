"""A block of one variable's values, taken apart once: numbers, strings, true and false, missing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.core.event import Feature

Sort = Literal["number", "string", "bool"]
"""What a value is. An int and a float are both numbers: JSON does not tell them apart."""

SORTS: Final[tuple[Sort, ...]] = ("number", "string", "bool")
_NUMBERS: Final = frozenset((int, float))
_STRINGS: Final = frozenset((str,))
_BOOLS: Final = frozenset((bool,))
NOTHING: Final = np.empty(0)


class Block(NamedTuple):
    """The values of one variable in so many events.

    Attributes:
        n: how many events.
        numbers: shape (k,), in the order of the events.
        words: string, or bool, -> how often it was there.
        counts: how many numbers, strings and bools there are.
    """

    n: int
    numbers: npt.NDArray[np.float64]
    words: Counter[Any]
    counts: tuple[int, int, int]

    @property
    def present_n(self) -> int:
        """How many values are not missing."""
        return sum(self.counts)

    def of(self, sort: Sort) -> int:
        """How many values of a sort there are."""
        return self.counts[SORTS.index(sort)]


def block(values: Sequence[Any]) -> Block:
    """Take values apart; None is missing.

    >>> found = block([1, 2.5, None, "a", True])
    >>> found.n, found.numbers.tolist(), dict(found.words), found.counts
    (5, [1.0, 2.5], {'a': 1, True: 1}, (2, 1, 1))
    """
    n, types = len(values), set(map(type, values))
    if types <= _NUMBERS:
        return Block(n, np.array(values, dtype=np.float64), Counter(), (n, 0, 0))
    if types == _STRINGS:
        return Block(n, NOTHING, Counter(values), (0, n, 0))
    if types == _BOOLS:
        return Block(n, NOTHING, Counter(values), (0, 0, n))
    numbers = [each for each in values if type(each) in _NUMBERS]
    strings = [each for each in values if type(each) is str]
    bools = [each for each in values if type(each) is bool]
    return Block(
        n,
        np.array(numbers, dtype=np.float64) if numbers else NOTHING,
        Counter([*strings, *bools]),
        (len(numbers), len(strings), len(bools)),
    )


def only(found: Block, sort: Sort) -> Block:
    """Only the words of a sort."""
    kept = str if sort == "string" else bool
    if len(found.words) == 0 or found.of(sort) == found.present_n:
        return found
    return found._replace(words=Counter({w: n for w, n in found.words.items() if type(w) is kept}))


def has_one_number(found: Block) -> bool:
    """Whether all numbers are the same."""
    return bool((found.numbers == found.numbers[0]).all())


def top_share(found: Block) -> float:
    """The share of the most frequent number."""
    _, counts = np.unique(found.numbers, return_counts=True)
    return float(counts.max()) / len(found.numbers)


def columns(events: Sequence[Mapping[str, Feature]]) -> dict[str, tuple[Any, ...]]:
    """Each feature of each event, where all events have the same; else nothing."""
    names = tuple(events[0])
    if any(tuple(each) != names for each in events):
        return {}
    # All at once: a fifth of what one feature after the other takes.
    return dict(zip(names, zip(*(each.values() for each in events), strict=True), strict=True))


def values_of(events: Sequence[Mapping[str, Feature]], name: str) -> list[Any]:
    """One feature of each event; None: it is missing."""
    try:
        return list(map(itemgetter(name), events))  # half of what asking each takes
    except KeyError:
        return [each.get(name) for each in events]
