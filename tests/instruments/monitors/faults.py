"""Ways in which one feature of the flights breaks, from a known event on."""

import random
from collections.abc import Callable, Sequence
from statistics import stdev
from typing import Any, NamedTuple

from tests.instruments.monitors.folding import Event

PLANTED_AT = 20_000
_BEFORE = slice(0, 5_000)

Break = Callable[[Any, random.Random], Any]
"""A value, and a chance -> the broken one; None: it is missing."""


class Fault(NamedTuple):
    """One feature, broken in one way."""

    name: str
    feature: str
    make: Callable[[Sequence[Any]], Break]


def _shifted(values: Sequence[Any]) -> Break:
    by = stdev(values[_BEFORE])
    return lambda value, _chance: value + by


def _frozen(values: Sequence[Any]) -> Break:
    last = values[PLANTED_AT - 1]
    return lambda _value, _chance: last


def _plain(broken: Break) -> Callable[[Sequence[Any]], Break]:
    return lambda _values: broken


FAULTS = (
    Fault("shifted by one deviation", "Distance", _shifted),
    Fault("dropped", "Distance", _plain(lambda _value, _chance: None)),
    Fault("one in ten missing", "Distance", _plain(
        lambda value, chance: None if chance.random() < 0.1 else value)),
    Fault("as strings", "Distance", _plain(lambda value, _chance: str(value))),
    Fault("times 1000", "Distance", _plain(lambda value, _chance: value * 1000)),
    Fault("frozen", "Distance", _frozen),
    Fault("a new carrier", "Airline", _plain(
        lambda value, chance: "ZZ" if chance.random() < 0.1 else value)),
    Fault("dropped", "Airline", _plain(lambda _value, _chance: None)),
    Fault("frozen", "Airline", _frozen),
)  # fmt: skip


def broken(events: Sequence[Event], fault: Fault) -> list[Event]:
    """The events, of which one feature breaks at `PLANTED_AT`."""
    values = [features.get(fault.feature) for features, _ in events]
    change, chance = fault.make(values), random.Random(1)
    made = list(events[:PLANTED_AT])
    for features, label in events[PLANTED_AT:]:
        value = change(features[fault.feature], chance)
        rest = {name: old for name, old in features.items() if name != fault.feature}
        made.append((rest if value is None else features | {fault.feature: value}, label))
    return made
