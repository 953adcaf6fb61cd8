"""What the fields of a sample are: label, id, time, features; guessed from names and values."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np

from stream.config.checks import did_you_mean, show
from stream.core.event import Kind
from stream.errors import BadInput
from stream.runtime.commands.rows import event_time_ms

LABELS = (
    "label", "labels", "target", "class", "y", "outcome", "result", "churn", "churned", "fraud",
    "spam", "default", "clicked", "click", "converted", "late", "delayed", "survived", "response",
)  # fmt: skip
POSITIVE = ("true", "1", "yes", "y", "t", "p", "pos", "positive", "up", "fraud", "spam", "churn")
CLASSES_MAX = 20  # whole numbers with more different values are amounts, not classes

COUNTED_N = 100  # a shorter run of whole numbers may be anything
ALIKE_N = 20  # of each kind: with fewer, that they can be told apart says nothing
NEARLY_ALL = 0.9  # of the events
TIME_MS_MIN = 631_152_000_000  # 1990: a smaller number is no epoch that a file would hold
STRING_CHARS_MAX = 256

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What the fields of a sample were taken for.

    Attributes:
        features: the field that holds them; None: they lie beside the label.
        label: its field; None: there is none.
        why_label: how it was found, for people.
        kind: what a model has to do.
        positive: the value that is true, where labels are no bools.
        ignored: fields that are no features, each with why.
        times: fields that say when an event happened; they are ignored too.
        names: the names of the features.
        mixed: the JSON types of the labels, if there are several; else "".
    """

    features: str | None
    label: str | None
    why_label: str
    kind: Kind
    positive: Any
    id: str | None
    ignored: Mapping[str, str]
    times: Sequence[str]
    names: Sequence[str]
    mixed: str


def guess(
    records: Sequence[Record], *, label: str | None, own_id: str | None, is_csv: bool
) -> Guess:
    """Look at a sample.

    Args:
        records: JSON objects, or rows of a CSV file as objects.
        label: the label's field, if somebody says it.
        own_id: the id's field, if somebody says it.
        is_csv: the columns have an order, in which the label is often the last.

    Raises: BadInput: a field that is named is not there, or there is none that could be the label.
    """
    known = list(dict.fromkeys(name for record in records for name in record))
    for option, name in (("--label", label), ("--id", own_id)):
        if name is not None and name not in known:
            hint = did_you_mean(name, known)
            raise BadInput(f"{option}: there is no field {show(name)} in the sample; {hint}")
    if label is not None and not _values_of(record.get(label) for record in records):
        raise BadInput(
            f"--label: {show(label)} is no number, word or bool in any event; name another field"
        )
    nested = _nested(records, known)
    columns = {name: [record.get(name) for record in records] for name in known if name != nested}
    id_ = own_id or _id(columns, label)
    times = [name for name in columns if name not in (label, id_) and _is_time(columns[name])]
    usable = [name for name in columns if name not in (id_, *times)]
    why = "as named"
    if label is None:
        label, why = _label(columns, usable, is_csv=is_csv)
    kind, positive, mixed = Kind.ANOMALY, None, ""
    if label is not None:
        columns[label] = [value if _is_scalar(value) else None for value in columns[label]]
        kind, positive = _kind(columns[label])
        mixed = _mixed(columns[label])
    rest = {name: columns[name] for name in usable if name != label}
    ignored = {name: reason for name in rest if (reason := _no_feature(rest[name]))}
    if nested is not None:
        # "label" is the label's field by default, and cannot be ignored then.
        others = [name for name in rest if label or name != "label"]
        ignored = dict.fromkeys(others, "it is neither label, id nor a feature")
        inner = (each for r in records if isinstance(each := r.get(nested), dict))
        names = list(dict.fromkeys(chain.from_iterable(inner)))
    else:
        names = [name for name in rest if name not in ignored]
        if label is not None and kind in (Kind.BINARY, Kind.REGRESSION):
            truth = _truth(columns[label], kind, positive)
            leaking = _leaks({name: rest[name] for name in names}, truth, kind)
            ignored |= leaking
            names = [name for name in names if name not in leaking]
    if not names:
        raise BadInput("the sample has no feature: numbers, words or bools beside label and id")
    return Guess(
        features=nested, label=label, why_label=why, kind=kind, positive=positive, id=id_,
        ignored=ignored, times=times, names=names, mixed=mixed,
    )  # fmt: skip


def _nested(records: Sequence[Record], known: Sequence[str]) -> str | None:
    """Find the field that holds the object of features; None: there is none."""
    counted = Counter(n for r in records for n, value in r.items() if isinstance(value, dict))
    if counted["features"]:
        return "features"
    # An object in a few events is an odd field: taken for the features it would refuse the others.
    objects = [name for name in known if counted[name] >= NEARLY_ALL * len(records)]
    return objects[0] if len(objects) == 1 else None


def _id(columns: Mapping[str, Sequence[Any]], label: str | None) -> str | None:
    """Find the field called `id`; else one named like an id, or that counts, without a repeat."""
    if "id" in columns and label != "id":
        return "id"
    for name, values in columns.items():
        if name == label or not all(isinstance(v, str | int) for v in values):
            continue
        is_named = re.search(r"(?:^|[_\-.])(?:id|uuid|guid)$|[a-z]I[dD]$", name)
        counts = (
            len(values) > COUNTED_N
            and all(isinstance(v, int) for v in values)
            and all(after - before == 1 for before, after in pairwise(values))
        )
        if (is_named or counts) and len(values) > 1 and len(set(values)) == len(values):
            return name
    return None


def _is_time(values: Sequence[Any]) -> bool:
    """Whether all values that are not null are times that `produce --time` can read."""
    there = [value for value in values if value is not None]
    try:
        return bool(there) and all(
            not isinstance(value, bool)
            and event_time_ms(str(value)) >= TIME_MS_MIN
            and (isinstance(value, int | float) or not str(value).isdigit())
            for value in there[:200]
        )
    except ValueError:
        return False


def _label(
    columns: Mapping[str, Sequence[Any]], usable: Sequence[str], *, is_csv: bool
) -> tuple[str | None, str]:
    """Find the label's field, and say how it was found."""
    usable = [name for name in usable if _values_of(columns[name])]
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(usable)}
    plain |= {name: name for name in usable if name == "label"}
    for word in LABELS:
        name = plain.get(word)
        if name is not None and (name == "label" or _is_label(columns[name])):
            return name, _by_name(columns[name])
    begins = [
        n for n in usable if re.match(r"(?:is|has|was)_?[A-Z_a-z]", n) and _is_two(columns[n])
    ]
    if len(begins) == 1:
        return begins[0], "by its name"
    if is_csv and usable and _is_label(columns[usable[-1]]):
        return usable[-1], "the last column"
    bools = [name for name in usable if all(isinstance(v, bool | None) for v in columns[name])]
    if len(bools) == 1:
        return bools[0], "the only field that is true or false"
    single = [plain[word] for word in LABELS if word in plain and _is_two(columns[plain[word]])]
    if single:
        return single[0], _by_name(columns[single[0]])
    if usable:
        raise BadInput(
            "no field looks like the label; name it with --label: one of "
            + ", ".join(show(name) for name in usable[:20])
        )
    return None, "there is none"


def _by_name(values: Sequence[Any]) -> str:
    is_one = len(set(map(repr, _values_of(values)))) == 1
    return "by its name" + ("; the sample has only one value of it" if is_one else "")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _values_of(values: Iterable[Any]) -> list[Any]:
    """The numbers, words and bools among what a field holds."""
    return [value for value in values if _is_scalar(value)]


def _mixed(values: Sequence[Any]) -> str:
    """Name the JSON types of the labels, the most frequent first; "": all are of one type."""
    counted = Counter(
        "bools" if isinstance(v, bool) else "strings" if isinstance(v, str) else "numbers"
        for v in _values_of(values)
    )
    return ", ".join(f"{n} {what}" for what, n in counted.most_common()) if len(counted) > 1 else ""


def _is_two(values: Sequence[Any]) -> bool:
    return 1 <= len({repr(v) for v in values if v is not None}) <= 2  # noqa: PLR2004  # true, false


def _is_label(values: Sequence[Any]) -> bool:
    """Whether values can be labels: numbers, or few different words."""
    there = [value for value in values if value is not None]
    if all(isinstance(value, int | float) for value in there):
        return bool(there)
    return bool(there) and 1 < len(set(map(repr, there))) <= max(CLASSES_MAX, len(there) // 50)


def _kind(values: Sequence[Any]) -> tuple[Kind, Any]:
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


def _no_feature(values: Sequence[Any]) -> str | None:
    """Say why a field is not a feature; None: it may be one."""
    there = [value for value in values if value is not None]
    if not there:
        return "it is always empty"
    if any(isinstance(value, dict | list) for value in there):
        return "it holds objects or lists"
    words = [value for value in there if isinstance(value, str)]
    if any(len(value) > STRING_CHARS_MAX for value in words):
        return f"it holds texts of over {STRING_CHARS_MAX} characters"
    if len(words) > ALIKE_N and len(set(words)) > 0.9 * len(there):
        return "nearly every value is another one"
    return None


def _truth(values: Sequence[Any], kind: Kind, positive: Any) -> "np.ndarray[Any, Any]":
    """The labels as numbers; NaN where there is none."""
    is_true: Callable[[Any], float] = (
        float if kind is Kind.REGRESSION or positive is None else lambda v: float(v == positive)
    )
    return np.array([np.nan if v is None else is_true(v) for v in values])


def _leaks(
    columns: Mapping[str, Sequence[Any]], truth: "np.ndarray[Any, Any]", kind: Kind
) -> dict[str, str]:
    """Find numbers that tell the label by themselves, or two that add up to it.

    They are known only with the label, so a model that learns from them has learned nothing.
    """
    numbers = {
        name: np.array([np.nan if v is None else float(v) for v in values])
        for name, values in columns.items()
        if all(isinstance(v, int | float | None) for v in values)
    }
    found: dict[str, str] = {}
    for name, values in numbers.items():
        there = ~np.isnan(values) & ~np.isnan(truth)
        x, y = values[there], truth[there]
        if kind is Kind.REGRESSION:
            equal = x.size > ALIKE_N and x.std() > 0 and y.std() > 0
            tells = equal and abs(np.corrcoef(x, y)[0, 1]) > 0.999  # noqa: PLR2004
        else:
            true, false = x[y == 1], x[y == 0]
            many = min(true.size, false.size) > ALIKE_N
            tells = many and (true.min() > false.max() or true.max() < false.min())
        if tells:
            found[name] = "it tells the label by itself"
    if kind is Kind.REGRESSION:
        names = list(numbers)
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                if truth.size > ALIKE_N and np.array_equal(numbers[one] + numbers[other], truth):
                    found[one] = found[other] = "two fields add up to the label"
    return found
