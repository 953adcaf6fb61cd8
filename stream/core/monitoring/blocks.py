"""A block of one variable's values, taken apart once: numbers, strings, true and false, missing."""

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
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
_MISSING: Final = frozenset((type(None),))
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
        numbers_n, strings_n, bools_n = self.counts
        return numbers_n + strings_n + bools_n

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
        return Block(n, np.fromiter(values, np.float64, n), Counter(), (n, 0, 0))
    if types == _STRINGS:
        return Block(n, NOTHING, Counter(values), (0, n, 0))
    if types == _BOOLS:
        return Block(n, NOTHING, Counter(values), (0, 0, n))
    if types <= _MISSING:
        return Block(n, NOTHING, Counter(), (0, 0, 0))
    numbers = [each for each in values if type(each) in _NUMBERS]
    strings = [each for each in values if type(each) is str]
    bools = [each for each in values if type(each) is bool]
    return Block(
        n,
        np.array(numbers, dtype=np.float64) if numbers else NOTHING,
        Counter([*strings, *bools]),
        (len(numbers), len(strings), len(bools)),
    )


Span = tuple[float, float]
"""The smallest and the largest number of a block."""


class Column(NamedTuple):
    """The values of one variable in so many events, as they came and taken apart."""

    values: Sequence[Any]
    block: Block


def column(values: Sequence[Any]) -> Column:
    """Take values apart, and keep them."""
    return Column(values, block(values))


def blocks(variables: Sequence[Sequence[Any]]) -> Iterator[tuple[Block, Span | None]]:
    """Take variables apart, of as many events each; and how far their numbers reach.

    Those that are nothing but numbers at once: a third of what one after the other takes. They
    share their memory, so whoever keeps one copies it. Of others nobody looks for the span.

    >>> [(found.numbers.tolist(), span) for found, span in blocks([(2, 1.5), (3, "a")])]
    [([2.0, 1.5], (1.5, 2.0)), ([3.0], None)]
    """
    n = len(variables[0]) if variables else 0
    pack, packed = struct.Struct(f"{n}d").pack, {}
    for at, values in enumerate(variables if n else ()):
        with suppress(struct.error):
            packed[at] = pack(*values)  # it refuses strings and None, without a look at each type
    table = np.frombuffer(b"".join(packed.values())).reshape(len(packed), max(1, n))
    spans = [*zip(table.min(axis=1).tolist(), table.max(axis=1).tolist(), strict=True)]
    # It takes true and false for 1 and 0: only where there are such does one look at types.
    is_unsure = ((table == 0.0) | (table == 1.0)).any(axis=1).tolist()
    places = dict(zip(packed, range(len(packed)), strict=True))
    for at, values in enumerate(variables):
        place = places.get(at)
        if place is None or (is_unsure[place] and not _NUMBERS.issuperset(map(type, values))):
            yield block(values), None
        else:
            yield Block(n, table[place], Counter(), (n, 0, 0)), spans[place]


def only(found: Block, sort: Sort) -> Block:
    """Only the words of a sort."""
    kept = str if sort == "string" else bool
    if len(found.words) == 0 or found.of(sort) == found.present_n:
        return found
    return found._replace(words=Counter({w: n for w, n in found.words.items() if type(w) is kept}))


def has_one_number(found: Block) -> bool:
    """Whether all numbers are the same."""
    numbers = found.numbers
    return bool(numbers[0] == numbers[-1]) and bool((numbers == numbers[0]).all())


def top_share(found: Block) -> float:
    """The share of the most frequent number."""
    _, counts = np.unique(found.numbers, return_counts=True)
    return float(counts.max()) / len(found.numbers)


def columns(events: Sequence[Mapping[str, Feature]]) -> dict[str, tuple[Any, ...]]:
    """Each feature of each event, where all events have the same, and several; else nothing."""
    names = tuple(events[0]) if events else ()
    if len(names) > 1 and set(map(len, events)) == {len(names)}:
        # All at once: a fifth of what one feature after the other takes.
        with suppress(KeyError):
            return dict(zip(names, zip(*map(itemgetter(*names), events), strict=True), strict=True))
    return {}


def values_of(events: Sequence[Mapping[str, Feature]], name: str) -> list[Any]:
    """One feature of each event; None: it is missing."""
    try:
        return list(map(itemgetter(name), events))  # half of what asking each takes
    except KeyError:
        return [each.get(name) for each in events]


def apart(
    events: Sequence[Mapping[str, Feature]],
    together: Mapping[str, Sequence[Any]],
    names: Iterable[str],
) -> Iterator[tuple[Block, Span | None]]:
    """Take features of events apart; `together` are those that `columns` found: see `blocks`."""
    return blocks([together.get(name) or values_of(events, name) for name in names])
