"""A block of one variable's values, taken apart once: numbers, strings, true and false, missing."""

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
NO_WORDS: Final[Counter[Any]] = Counter()
"""Of numbers, nobody adds to it: to make one for each of ten takes longer than to sort them."""


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
        return Block(n, np.fromiter(values, np.float64, n), NO_WORDS, (n, 0, 0))
    if types == _STRINGS:
        return Block(n, NOTHING, Counter(values), (0, n, 0))
    if types == _BOOLS:
        return Block(n, NOTHING, _of_bools(values), (0, 0, n))
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


def _of_bools(values: Sequence[bool]) -> Counter[Any]:
    """What counting them gives, in the same order, in half of the time."""
    first, true_n = values[0], values.count(True)
    counts = {first: true_n if first else len(values) - true_n}
    if counts[first] < len(values):
        counts[not first] = len(values) - counts[first]
    return Counter(counts)


class Ordered(NamedTuple):
    """A block's numbers, the smallest first.

    Attributes:
        numbers: shape (k,).
        least: the first of them; most: the last.
    """

    numbers: npt.NDArray[np.float64]
    least: float
    most: float


class Column(NamedTuple):
    """The values of one variable in so many events, as they came and taken apart."""

    values: Sequence[Any]
    block: Block


def column(values: Sequence[Any]) -> Column:
    """Take values apart, and keep them."""
    return Column(values, block(values))


def blocks(variables: Sequence[Sequence[Any]]) -> Iterator[tuple[Block, Ordered | None]]:
    """Take variables apart, of as many events each; and order their numbers.

    Those that are nothing but numbers at once: a third of what one after the other takes. They
    share their memory, so whoever keeps one copies it. Of others nothing is ordered.

    >>> [(found.numbers.tolist(), of and of[1:]) for found, of in blocks([(2, 1.5), (3, "a")])]
    [([2.0, 1.5], (1.5, 2.0)), ([3.0], None)]
    """
    n = len(variables[0]) if variables else 0
    pack, all_numbers = struct.Struct(f"{n}d").pack, (n, 0, 0)
    packed = [_packed(pack, values) if n else b"" for values in variables]
    table = np.frombuffer(b"".join(packed)).reshape(-1, max(1, n))
    # It takes true and false for 1 and 0: only where there are such does one look at types.
    are_unsure = [False] * len(table)
    if 0.0 in table or 1.0 in table:
        are_unsure = ((table == 0.0) | (table == 1.0)).any(axis=1).tolist()
    in_order = table.copy()
    in_order.sort(axis=1)
    of = map(Ordered, in_order, in_order[:, 0].tolist(), in_order[:, -1].tolist())
    rows = zip(table, of, are_unsure, strict=True)
    for values, is_packed in zip(variables, packed, strict=True):
        numbers, its, is_unsure = next(rows) if is_packed else (NOTHING, None, False)
        if its is None or (is_unsure and not _NUMBERS.issuperset(map(type, values))):
            yield block(values), None
        else:
            yield Block(n, numbers, NO_WORDS, all_numbers), its


def _packed(pack: Callable[..., bytes], values: Sequence[Any]) -> bytes:
    """Numbers as bytes; of all else nothing."""
    try:
        return pack(*values)  # it refuses strings and None, without a look at each type
    except struct.error:
        return b""


def only(found: Block, sort: Sort) -> Block:
    """Only the words of a sort."""
    kept = str if sort == "string" else bool
    if len(found.words) == 0 or found.of(sort) == found.present_n:
        return found
    return found._replace(words=Counter({w: n for w, n in found.words.items() if type(w) is kept}))


def has_one_number(found: Block, of: Ordered | None) -> bool:
    """Whether all numbers are the same; `of` are they in order, if somebody has done that."""
    if of is not None:
        return of.least == of.most
    numbers = found.numbers
    return bool(numbers[0] == numbers[-1]) and bool((numbers == numbers[0]).all())


def top_share(found: Block) -> float:
    """The share of the most frequent number, where that is more than half; else half at most."""
    numbers = found.numbers
    n = len(numbers)
    # What more than half of them are is in their middle.
    middle = np.partition(numbers, n // 2)[n // 2]
    return int(np.count_nonzero(numbers == middle)) / n


def columns(events: Sequence[Mapping[str, Feature]]) -> dict[str, tuple[Any, ...]]:
    """Each feature of each event, where all events have the same, and several; else nothing."""
    names = tuple(events[0]) if events else ()
    # One that has not all names is a KeyError, and one that has others, too, has more of them.
    if len(names) > 1 and sum(map(len, events)) == len(names) * len(events):
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


def of_names(
    events: Sequence[Mapping[str, Feature]],
    together: Mapping[str, Sequence[Any]],
    names: Iterable[str],
) -> list[Sequence[Any]]:
    """These features of each event, one by one; `together` are those that `columns` found."""
    return [together.get(name) or values_of(events, name) for name in names]
