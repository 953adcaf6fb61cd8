"""Signals to run detectors on: the errors of a model in a plain loop."""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from river import tree

from stream import models
from stream.core.monitoring.detectors import build
from tests.data import Row, rows
from tests.instruments.detectors.candidates import Candidate, is_worse

SINES = ("sine1_101", "sine1_102", "sine1_103")
SINE_DRIFTS = (20_000, 40_000, 60_000, 80_000)


class Stream(NamedTuple):
    """What of a file is the label, and what no feature; and whether labels are numbers."""

    label: str
    ignored: tuple[str, ...] = ()
    is_regression: bool = False


REAL = {
    "elec2": Stream("class"),
    "airline_hflights": Stream("Delay", ("ArrDelay", "Date", "Flight")),
    "bike_sharing_hour": Stream(
        "cnt", ("instant", "dteday", "casual", "registered"), is_regression=True
    ),
}


def labelled(name: str, shuffle_seed: int | None = None) -> list[tuple[Row, Any]]:
    """A file's features and labels, in its order or in one of chance: that stream has no drift."""
    of = REAL.get(name, Stream("class"))
    found = []
    for row in rows(name):
        label = row.pop(of.label)
        for column in of.ignored:
            del row[column]
        found.append((row, label))
    if shuffle_seed is not None:
        random.Random(shuffle_seed).shuffle(found)
    return found


def errors(
    events: Sequence[tuple[Row, Any]], alarm: Callable[[float], bool] | None = None
) -> list[float]:
    """1.0 where the tree was wrong; the tree begins anew whenever `alarm` says so of an error."""
    model: Any = tree.HoeffdingTreeClassifier()
    found = []
    for features, label in events:
        error = float(model.predict_one(features) != label)
        model.learn_one(features, label)
        found.append(error)
        if alarm is not None and alarm(error):
            model = tree.HoeffdingTreeClassifier()
    return found


def distances(events: Sequence[tuple[Row, Any]]) -> list[float]:
    """How far our linear regression was off."""
    model, found = models.linear_regression(), []
    for features, label in events:
        found.append(float(abs(model.predict_one(features) - label)))
        model.learn_one(features, label)
    return found


def signal(name: str, shuffle_seed: int | None = None) -> list[float]:
    """The errors on a real stream, or on a shuffled copy of it."""
    events = labelled(name, shuffle_seed)
    return distances(events) if REAL[name].is_regression else errors(events)


def alarms_with_reset(candidate: Candidate, events: Sequence[tuple[Row, Any]]) -> list[int]:
    """Where the detector found a drift for the worse; the tree begins anew at each of them."""
    update, at, index = build(candidate.spec()).update, [], -1

    def alarm(error: float) -> bool:
        nonlocal index
        index += 1
        is_alarm = is_worse(update(error))
        if is_alarm:
            at.append(index)
        return is_alarm

    errors(events, alarm)
    return at
