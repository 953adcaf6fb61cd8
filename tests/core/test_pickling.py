"""States come back equal and independent, by our pickler as by the standard library's."""

import pickle
import re
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import pytest

from stream.core import pickling


class Plain:
    """Attributes, a cached one, and a cycle."""

    kind = "class attribute"

    def __init__(self) -> None:
        self.numbers = [1, 2.5, None, True]
        self.kind = "own"
        self.me = self

    @cached_property
    def total(self) -> int:
        """Kept in the instance once it was asked for."""
        return len(self.numbers)


class Guarded:
    """A property that keeps its value under its own name in the instance's dict."""

    def __init__(self) -> None:
        self.__dict__["value"] = 3

    @property
    def value(self) -> int:
        """Read only."""
        return int(self.__dict__["value"])


class Slotted:
    """Slots, and a dict from a subclass."""

    __slots__ = ("fast",)

    def __init__(self) -> None:
        self.fast = 1


class Mixed(Slotted):
    """Both."""

    def __init__(self) -> None:
        super().__init__()
        self.slow = 2


class Own:
    """Says itself how it is pickled."""

    def __init__(self) -> None:
        self.secret, self.shown = 1, 2

    def __getstate__(self) -> dict[str, int]:
        return {"shown": self.shown}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.shown, self.secret = state["shown"], -1


class Half:
    """Says only what is kept."""

    def __init__(self) -> None:
        self.kept, self.dropped = 1, 2

    def __getstate__(self) -> dict[str, int]:
        return {"kept": self.kept}


class Table(dict[str, int]):
    """A dict with attributes."""

    def __init__(self) -> None:
        super().__init__(a=1)
        self.name = "table"


@dataclass(frozen=True)
class Frozen:
    """Refuses to be changed."""

    items: list[int] = field(default_factory=lambda: [1])


def back(value: Any) -> Any:
    """There and back."""
    return pickle.loads(pickling.dumps(value))  # noqa: S301  # our own bytes


def test_attributes_come_back_as_they_were() -> None:
    """In value and order, cached ones and cycles too."""
    plain = Plain()
    assert plain.total == 4
    found = back(plain)

    assert found.me is found
    assert {**vars(found), "me": None} == {**vars(plain), "me": None}
    assert list(vars(found)) == list(vars(plain))
    assert found.numbers is not plain.numbers


def test_classes_with_ways_of_their_own_keep_them() -> None:
    """Properties, slots, `__getstate__` and `__setstate__`, subclasses of dict, frozen ones."""
    assert back(Guarded()).value == 3
    mixed = back(Mixed())
    assert (mixed.fast, mixed.slow) == (1, 2)
    own = back(Own())
    assert (own.secret, own.shown) == (-1, 2)
    assert vars(back(Half())) == {"kept": 1}
    table = back(Table())
    assert (dict(table), table.name) == ({"a": 1}, "table")
    assert back(Frozen([3])) == Frozen([3])


def test_shared_objects_stay_shared() -> None:
    """What was one object is one afterwards."""
    inner = Plain()
    left, right = back([inner, {"again": inner}])

    assert right["again"] is left


@pytest.mark.parametrize(
    "value",
    [Plain, len, pickle.dumps, re.compile("a+"), partial(int, base=2), "text".upper, {1, 2}, 3.5],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_attributes_of_its_own_is_left_alone(value: Any) -> None:
    """Classes, functions, patterns, methods, plain values."""
    found = back(value)

    assert repr(found) == repr(value) or found() == value()


def test_unpicklable_values_raise_as_ever() -> None:
    """Nothing is dropped in silence."""
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickling.dumps({"function": lambda: 1})
    with pytest.raises(TypeError):
        pickling.dumps(each for each in (1, 2))
