"""The arithmetic of a scaled linear model over one row of values, written out value by value.

A loop over nine numbers spends most of its time on the loop: to look names up, to build lists, to
take them apart again. Without one the same arithmetic takes less than half (measured: predicting
and learning 4.4 us, as a loop over lists 6.4, over river's dictionaries 9.9). So the code for a
kind of row is made when the first one comes, from the templates below, in which only positions
stand: no name and no value from outside gets into it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

WIDTH_MAX = 128
"""Values in a row; to make the code of one takes 15 ms for so many."""

KINDS_MAX = 64
"""Kinds of rows whose code is kept."""

NUMBER, WORD = "n", "w"


class Values(NamedTuple):
    """What a row knows: a value for each number, and the words.

    Attributes:
        counts: how often each number was learned; at least once.
        means: the mean of what was learned of each number.
        variances: the variance of what was learned of each number, with n as the divisor.
        weights: the weight of each number in the linear model.
        words: for each word of the event, the column that is 1 if it is this one; each column has
            a weight.
        columns: the weight of each column.
    """

    counts: Sequence[int]
    means: Sequence[float]
    variances: Sequence[float]
    weights: Sequence[float]
    words: Sequence[Mapping[str, str]]
    columns: dict[str, float]


class Row(NamedTuple):
    """A row of values that learns. The functions share one state.

    Attributes:
        dot: the scaled numbers, and 1 for a word, times the weights, summed up from the first to
            the last; changes nothing.
        learn: moves means and variances, and gives `dot` of after it. Raises TypeError,
            OverflowError or KeyError before anything moved if a value is not of its kind, or a
            word not known.
        learn_asked: the same for the values that `dot` was asked about last, since which nothing
            moved; it raises nothing.
        descend: moves the weights by `rate` times `slope` times what `learn` scaled last, and by
            `rate` times the penalty times themselves.
        values: what the row knows now.
    """

    dot: Callable[..., float]
    learn: Callable[..., float]
    learn_asked: Callable[..., float]
    descend: Callable[[float, float], None]
    values: Callable[[], Values]


def make(kinds: str, values: Values, *, l2: float) -> Row:
    """A row that goes on from `values`.

    Args:
        kinds: NUMBER or WORD for each position; at least one number, at most `WIDTH_MAX` in all.
        values: each is the row's own from now on.
        l2: the penalty; 0 = none.
    """
    return Row(*_maker(kinds, is_penalized=bool(l2))(*values, l2))


# `y` a value of the event, `x` a scaled number; `n`, `m`, `v` and `s` how many were learned, their
# mean, variance and deviation; `o` how far off the mean; `w` a weight; `z` the sum; `k` the columns
# of a word, `c` the one it is. `v ** 0.5` is river's: a square root of its own would round
# differently. What `x`, `o` and `c` are at first nobody reads.
_TEMPLATE = """
def make(counts, means, variances, weights, words, columns, l2):
    [{n}] = counts
    [{m}] = means
    [{v}] = variances
    [{w}] = weights
    [{s}] = [variance ** 0.5 for variance in variances]
    [{x}] = [{o}] = weights
    [{k}] = words
    [{c}] = words

    def dot({y}):
        nonlocal {asked}
        z = 0.0
        {predicting}
        return z

    def learn({y}):
        nonlocal {asked}
        {looking}
        return learn_asked({y})

    def learn_asked({y}):
        nonlocal {moved}
        z = 0.0
        {learning}
        return z

    def descend(rate, slope):
        nonlocal {w}
        {descending}

    def values():
        return Values([{n}], [{m}], [{v}], [{w}], words, columns)

    return dot, learn, learn_asked, descend, values
"""
_PREDICTING = {
    NUMBER: ("o# = y# - m#", "z += w# * (o# / s# if s# else 0.0)"),
    WORD: ("c# = k#[y#]", "z += columns[c#]"),
}
_LOOKING = {NUMBER: ("o# = y# - m#",), WORD: ("c# = k#[y#]",)}
_LEARNING = {
    NUMBER: (
        "n# += 1",
        "m# += o# / n#",
        "x# = y# - m#",
        "v# += (o# * x# - v#) / n#",
        "s# = v# ** 0.5",
        "x# = x# / s# if s# else 0.0",
        "z += w# * x#",
    ),
    WORD: ("z += columns[c#]",),
}
_DESCENDING = {NUMBER: ("w# -= rate * (x# * slope)",), WORD: ("columns[c#] -= rate * slope",)}
_DESCENDING_PENALIZED = {
    NUMBER: ("w# -= rate * (x# * slope + w# * l2)",),
    WORD: ("columns[c#] -= rate * (slope + columns[c#] * l2)",),
}


@lru_cache(KINDS_MAX)
def _maker(kinds: str, *, is_penalized: bool) -> Callable[..., tuple[Any, ...]]:
    """Write the code for rows of these kinds from the templates, and compile it."""
    numbers = [i for i, kind in enumerate(kinds) if kind == NUMBER]
    words = [i for i, kind in enumerate(kinds) if kind == WORD]
    names = {letter: _listed(letter, numbers) for letter in "nmvwsxo"}
    names |= {letter: _listed(letter, words) for letter in "kc"}
    names["y"] = _listed("y", range(len(kinds)))
    names["asked"] = ", ".join(filter(None, (names[letter] for letter in "oc")))
    names["moved"] = ", ".join(filter(None, (names[letter] for letter in "nmvsx")))
    made: dict[str, Any] = {"Values": Values}
    source = _TEMPLATE.format(
        **names,
        predicting=_written(_PREDICTING, kinds),
        looking=_written(_LOOKING, kinds),
        learning=_written(_LEARNING, kinds),
        descending=_written(_DESCENDING_PENALIZED if is_penalized else _DESCENDING, kinds),
    )
    exec(source, made)  # noqa: S102  # of templates and positions
    return made["make"]  # type: ignore[no-any-return]


def _listed(letter: str, at: Sequence[int]) -> str:
    return ", ".join(f"{letter}{i}" for i in at)


def _written(templates: Mapping[str, Sequence[str]], kinds: str) -> str:
    lines = [line.replace("#", str(i)) for i, kind in enumerate(kinds) for line in templates[kind]]
    return "\n        ".join(lines)
