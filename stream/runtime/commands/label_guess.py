"""Which field of a sample is the label, and what a model has to do that learns it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stream.config.checks import show
from stream.core.event import Kind
from stream.errors import BadInput

LABELS = (
    "label", "labels", "target", "class", "y", "outcome", "result", "churn", "churned", "fraud",
    "spam", "default", "clicked", "click", "converted", "late", "delayed", "survived", "response",
)  # fmt: skip
POSITIVE = ("true", "1", "yes", "y", "t", "p", "pos", "positive", "up", "fraud", "spam", "churn")
CLASSES_MAX = 20  # whole numbers with more different values are amounts, not classes

ALIKE_N = 20  # of each kind: with fewer, that they can be told apart says nothing
NO_VALUE = "; the sample has no value of it"


def find_label(
    columns: Mapping[str, Sequence[Any]], usable: Sequence[str], *, is_csv: bool
) -> tuple[str | None, str]:
    """Find the label's field, and say how it was found. Raises: BadInput: none looks like it."""
    named = _named(columns, usable)
    if named is not None:
        return named, _by_name(columns[named])
    usable = [name for name in usable if values_of(columns[name])]
    if is_csv and usable and _is_label(columns[usable[-1]]):
        return usable[-1], "the last column"
    bools = [name for name in usable if all(isinstance(v, bool | None) for v in columns[name])]
    if len(bools) == 1:
        return bools[0], "the only field that is true or false"
    single = [name for name in _like_labels(usable) if _is_two(columns[name])]
    if single:
        return single[0], _by_name(columns[single[0]])
    if usable:
        raise BadInput(
            "no field looks like the label; name it with --label: one of "
            + ", ".join(show(name) for name in usable[:20])
        )
    return None, "there is none"


def kind_of(values: Sequence[Any]) -> tuple[Kind, Any]:
    """Decide what a model has to do, and which of two values is true."""
    counted = Counter(value for value in values if value is not None)
    if all(isinstance(value, bool | None) for value in values):  # `counted` cannot tell True from 1
        return Kind.BINARY, None
    if set(counted) <= {0, 1}:
        return Kind.BINARY, next((value for value in counted if value == 1), 1)
    if len(counted) == 2:  # noqa: PLR2004
        named = (v for word in POSITIVE for v in counted if str(v).lower() == word)
        # The rarer one is what people look for.
        return Kind.BINARY, next(named, min(counted, key=lambda value: counted[value]))
    if any(isinstance(value, str) for value in counted):
        return Kind.MULTICLASS, None
    is_whole = all(isinstance(value, int) for value in counted)
    if is_whole and len(counted) <= CLASSES_MAX and len(values) > ALIKE_N * len(counted):
        return Kind.MULTICLASS, None
    return Kind.REGRESSION, None


def mixed_types(values: Sequence[Any]) -> str:
    """Name the JSON types of the labels, the most frequent first; "": all are of one type."""
    counted = Counter(
        "bools" if isinstance(v, bool) else "strings" if isinstance(v, str) else "numbers"
        for v in values_of(values)
    )
    return ", ".join(f"{n} {what}" for what, n in counted.most_common()) if len(counted) > 1 else ""


def is_named_like_a_label(name: str) -> bool:
    """Whether a field has a name that labels often have."""
    return _plain(name) in LABELS


def is_filled(values: Iterable[Any]) -> bool:
    """Whether any event has a value there."""
    return any(value is not None for value in values)


def is_scalar(value: Any) -> bool:
    """Whether a value is a number, a word or a bool, as a label must be."""
    return isinstance(value, str | int | float)


def values_of(values: Iterable[Any]) -> list[Any]:
    """The numbers, words and bools among what a field holds."""
    return [value for value in values if is_scalar(value)]


def _named(columns: Mapping[str, Sequence[Any]], usable: Sequence[str]) -> str | None:
    """Find the field that is called `label`, or else as labels are.

    One that is called `label` is it even if it is empty: labels may come later. One of another such
    name is it if it is filled; and if it is empty, before one is guessed by its values.
    """
    empty = [name for name in usable if not is_filled(columns[name])]
    filled = [name for name in usable if values_of(columns[name])]
    if "label" in (*empty, *filled):
        return "label"
    named = [name for name in _like_labels(filled) if _is_label(columns[name])]
    if named:
        return named[0]
    begins = [
        n for n in filled if re.match(r"(?:is|has|was)_?[A-Z_a-z]", n) and _is_two(columns[n])
    ]
    return begins[0] if len(begins) == 1 else next(iter(_like_labels(empty)), None)


def _like_labels(names: Sequence[str]) -> list[str]:
    """Those that are called as labels are, the likeliest first."""
    plain = {_plain(name): name for name in reversed(names)}
    return [plain[word] for word in LABELS if word in plain]


def _by_name(values: Sequence[Any]) -> str:
    if not is_filled(values):
        return f"by its name{NO_VALUE}"
    is_one = len(set(map(repr, values_of(values)))) == 1
    return "by its name" + ("; the sample has only one value of it" if is_one else "")


def _is_two(values: Sequence[Any]) -> bool:
    return 1 <= len({repr(v) for v in values if v is not None}) <= 2  # noqa: PLR2004  # true, false


def _is_label(values: Sequence[Any]) -> bool:
    """Whether values can be labels: numbers, or few different words."""
    there = [value for value in values if value is not None]
    if all(isinstance(value, int | float) for value in there):
        return bool(there)
    return bool(there) and 1 < len(set(map(repr, there))) <= max(CLASSES_MAX, len(there) // 50)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
