"""What the fields of a sample are: label, id, time, features; guessed from names and values."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np

from stream.config.checks import did_you_mean, nearest, show
from stream.core.event import Kind
from stream.errors import BadInput
from stream.runtime.commands.times import event_time_ms

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
NO_VALUE = "; the sample has no value of it"
SUMMED_MAX = 200  # numbers of which every two are added up

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
        is_labelled: whether any event of the sample has a label.
        features_n: how many features one event has at most.
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
    is_labelled: bool
    features_n: int


def guess(
    records: Sequence[Record],
    *,
    label: str | None,
    own_id: str | None,
    is_csv: bool,
    header: Sequence[str] = (),
) -> Guess:
    """Look at a sample.

    Args:
        records: JSON objects, or rows of a CSV file as objects.
        label: the label's field, if somebody says it.
        own_id: the id's field, if somebody says it.
        is_csv: the columns have an order, in which the label is often the last.
        header: the columns' names, of which the empty ones are in no record.

    Raises: BadInput: a field that is named is not there, or there is none that could be the label.
    """
    known = _known(records, label=label, own_id=own_id, is_csv=is_csv, header=header)
    nested = _nested(records, known)
    columns = {name: [record.get(name) for record in records] for name in known if name != nested}
    id_ = own_id or _id(columns, label)
    times = [name for name in columns if name not in (label, id_) and _is_time(columns[name])]
    usable = [name for name in columns if name not in (id_, *times)]
    why = "as named"
    if label is None:
        label, why = _label(columns, usable, is_csv=is_csv)
    elif not _is_filled(columns[label]):
        why += NO_VALUE
    kind, positive, mixed = Kind.ANOMALY, None, ""
    is_labelled = label is not None and _is_filled(columns[label])
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
        ignored=ignored, times=times, names=names, mixed=mixed, is_labelled=is_labelled,
        features_n=len(names) if is_csv else _most(records, nested, names),
    )  # fmt: skip


def _known(
    records: Sequence[Record],
    *,
    label: str | None,
    own_id: str | None,
    is_csv: bool,
    header: Sequence[str],
) -> list[str]:
    """The names of all fields. A label may come later: empty, or of JSON, it may be in no record.

    Raises: BadInput: a field that is named is not there, or cannot be a label.
    """
    known = list(dict.fromkeys(name for record in records for name in record))
    known += [n for n in header if n not in known and (n in (label, own_id) or _plain(n) in LABELS)]
    if label is not None and not is_csv and label not in known and nearest(label, known) is None:
        known.append(label)
    for option, name in (("--label", label), ("--id", own_id)):
        if name is not None and name not in known:
            hint = did_you_mean(name, known)
            raise BadInput(f"{option}: there is no field {show(name)} in the sample; {hint}")
    if label is not None:
        values = [record.get(label) for record in records]
        if _is_filled(values) and not _values_of(values):
            raise BadInput(
                f"--label: {show(label)} is no number, word or bool in any event; name another "
                "field"
            )
    return known


def _is_filled(values: Iterable[Any]) -> bool:
    return any(value is not None for value in values)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _most(records: Sequence[Record], nested: str | None, names: Sequence[str]) -> int:
    """How many features one event has at most."""
    if nested is not None:
        inner = (record.get(nested) for record in records)
        return max((len(each) for each in inner if isinstance(each, dict)), default=0)
    among = set(names)
    return max((len(among & record.keys()) for record in records), default=0)


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
    named = _named(columns, usable)
    if named is not None:
        return named, _by_name(columns[named])
    usable = [name for name in usable if _values_of(columns[name])]
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


def _named(columns: Mapping[str, Sequence[Any]], usable: Sequence[str]) -> str | None:
    """Find the field that is called `label`, or else as labels are.

    One that is called `label` is it even if it is empty: labels may come later. One of another such
    name is it if it is filled; and if it is empty, before one is guessed by its values.
    """
    empty = [name for name in usable if not _is_filled(columns[name])]
    filled = [name for name in usable if _values_of(columns[name])]
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
    if not _is_filled(values):
        return f"by its name{NO_VALUE}"
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
        names = list(numbers)[:SUMMED_MAX]
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                if truth.size > ALIKE_N and np.array_equal(numbers[one] + numbers[other], truth):
                    found[one] = found[other] = "two fields add up to the label"
    return found
