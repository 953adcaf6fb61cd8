"""What the fields of a sample are: label, id, time, features; guessed from names and values."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

from stream.config.checks import did_you_mean, nearest, show
from stream.core.event import Kind
from stream.errors import BadInput
from stream.runtime.commands.label_guess import (
    ALIKE_N,
    NO_VALUE,
    find_label,
    is_filled,
    is_named_like_a_label,
    is_scalar,
    kind_of,
    mixed_types,
    values_of,
)
from stream.runtime.commands.leaks import leaks
from stream.runtime.files.times import event_time_ms

COUNTED_N = 100  # a shorter run of whole numbers may be anything
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
        label, why = find_label(columns, usable, is_csv=is_csv)
    elif not is_filled(columns[label]):
        why += NO_VALUE
    kind, positive, mixed = Kind.ANOMALY, None, ""
    is_labelled = label is not None and is_filled(columns[label])
    if label is not None:
        columns[label] = [value if is_scalar(value) else None for value in columns[label]]
        kind, positive = kind_of(columns[label])
        mixed = mixed_types(columns[label])
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
            beside = {name: rest[name] for name in names}
            leaking = leaks(beside, columns[label], kind=kind, positive=positive)
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
    known += [
        n for n in header if n not in known and (n in (label, own_id) or is_named_like_a_label(n))
    ]
    if label is not None and not is_csv and label not in known and nearest(label, known) is None:
        known.append(label)
    for option, name in (("--label", label), ("--id", own_id)):
        if name is not None and name not in known:
            hint = did_you_mean(name, known)
            raise BadInput(f"{option}: there is no field {show(name)} in the sample; {hint}")
    if label is not None:
        values = [record.get(label) for record in records]
        if is_filled(values) and not values_of(values):
            raise BadInput(
                f"--label: {show(label)} is no number, word or bool in any event; name another "
                "field"
            )
    return known


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
