"""In which order to put elements into a new set, so that it is walked through as another one is.

A set of strings is walked through by where its elements came to lie, and where two wanted the same
place that depends on which came first. Pickle writes elements as they are walked through, so what
comes back may be walked through otherwise (of four strings every third set). River's nearest
neighbours, adaptive trees and others keep their classes in a set: their probabilities would add up
in another order after a restart, to other last digits.
"""

from typing import Any

TRIES_MAX = 500
"""Measured on 3,300 sets of 2 to 120 strings: 1 to 20 on average, three were not found."""

SIZE_MAX = 128
"""Of larger sets too few are found, and each try takes longer; they are written as they are."""

_TABLE = 8
"""Places of the smallest set, which holds up to four elements; its copies are laid out alike."""


def insertion_order(found: set[Any]) -> list[Any] | None:
    """An order that gives a set like this one; None where it is written as it is.

    The search looks for elements that lie in another's place, and changes which of the two comes
    first. It draws nothing: equal sets give equal orders.
    """
    wanted = list(found)
    order, wrong = wanted, _wrong(found, wanted)
    if not wrong or len(wanted) > SIZE_MAX:
        return None
    number = len(wanted)
    for _ in range(TRIES_MAX):
        number = (number * 1_103_515_245 + 12_345) & 0x7FFFFFFF  # a way through the possibilities
        tried = _changed(order, wrong, number >> 8)
        still = _wrong(found, tried)
        if not still:
            return tried
        if len(still) <= len(wrong):
            order, wrong = tried, still
    return None


def _changed(order: list[Any], wrong: list[tuple[Any, Any]], number: int) -> list[Any]:
    """Try another order: move an element that lies in another's place, or that other."""
    (right, there), way = wrong[number % len(wrong)], (number >> 10) % 4
    if way == 0:
        return [right, *(each for each in order if each is not right)]
    if way == 1:
        return [*(each for each in order if each is not there), there]
    changed = list(order)
    at = order.index(right)
    other = order.index(there) if way == 2 else (number >> 12) % len(order)  # noqa: PLR2004
    changed[at], changed[other] = changed[other], changed[at]
    return changed


def _wrong(found: set[Any], order: list[Any]) -> list[tuple[Any, Any]]:
    """Pairs of what should be walked through at a place, and what is, in a set made in an order."""
    made = set(order)
    wrong = [pair for pair in zip(found, made, strict=True) if pair[0] is not pair[1]]
    if not wrong and len(order) < _TABLE / 2 + 1 and not _are_laid_out_alike(found, made):
        return [(order[0], order[-1])]
    return wrong


def _are_laid_out_alike(one: set[Any], other: set[Any]) -> bool:
    """Whether of two small sets the same places are free: what comes next will lie alike, too."""
    for place in range(_TABLE):
        with_one, with_other = one.copy(), other.copy()
        with_one.add(place)  # a whole number lies at its own place
        with_other.add(place)
        if list(with_one) != list(with_other):
            return False
    return True
