"""Pickles a state so that both what comes back and what was pickled stay as fast as when built.

CPython keeps an object's attributes beside it and not in a dict, until somebody asks for its
`__dict__`; pickling does, and so does unpickling. Up to 3.12 it then stays in the slow form: on
3.11 a logistic regression takes 10 to 20 % longer an event, a Hoeffding tree 20 to 30 %, half-space
trees 60 %. So what is pickled here is declared to be in slots, which unpickling sets one by one;
and once a class's attributes are known from one object, those of the others are read one by one.

River's distributions carry a generator each, of 2.5 KB, to draw samples with; nothing that learns
ever does. A forest of 10 trees has thousands: nine tenths of its state, and of the time to pickle
it. One that was seeded by the operating system comes back as a new one.

A set of an estimator comes back in the order in which it is walked through (`set_order`).

What numpy, bound methods, partials and members of enumerations are rebuilt with are functions of
ours (`rebuilding`), since theirs could be made to do anything. Nothing else differs from
`pickle.dumps`, and `pickle.loads` reads it.
"""

import copyreg
import gc
import io
import pickle
from collections.abc import Callable
from functools import cache
from itertools import chain
from types import MemberDescriptorType
from typing import Any, NamedTuple

from river import base

from stream.core.compared import is_compared
from stream.core.set_order import insertion_order
from stream.core.snapshots import rebuilding
from stream.core.stand_in import plain

_PROTOCOL = 5
_KNOWN_MAX = 8
"""Sets of attributes remembered a class: a node of a tree has others once it was split."""


def dumps(value: Any) -> bytes:
    """Pickle a state, or a model, for which another may stand. Raises: as `pickle.dumps`."""
    buffer = io.BytesIO()
    Pickler(buffer).dump(plain(value))
    return buffer.getvalue()


class Pickler(pickle.Pickler):
    """Declares the attributes of plain objects to be slots."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, _PROTOCOL)
        self._unseeded: set[int] = set()
        self._ordered: dict[int, _Ordered | None] = {}

    def reducer_override(self, value: Any) -> Any:
        """How an object is pickled: see the module."""
        cls = type(value)
        if id(value) in self._unseeded:
            return cls, ()
        if isinstance(value, type):
            return NotImplemented
        is_distribution, is_estimator, guarded, known, way = _plan(cls)  # type: ignore[arg-type]  # a class is hashable
        if is_distribution and value.seed is None:
            self._unseeded.add(id(value._rng))  # noqa: SLF001  # river's, made of that very seed
        if way is not None:
            return way(value) or NotImplemented
        if guarded is None:
            return NotImplemented
        attributes = None if known is None else _read(value, cls, known)
        if attributes is not None:
            attributes = self._with_order(attributes) if is_estimator else attributes
            return copyreg.__newobj__, (cls,), (None, attributes) if attributes else None  # type: ignore[attr-defined]
        make, arguments, state, *items = value.__reduce_ex__(_PROTOCOL)
        if isinstance(state, dict) and guarded.isdisjoint(state):
            if known is not None and len(known) < _KNOWN_MAX:
                _remember(state, cls, known)
            state = None, self._with_order(state) if is_estimator else state
        return make, arguments, state, *items

    def _with_order(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """An estimator's attributes, its sets so that they come back in the same order."""
        sets = {name: each for name, each in attributes.items() if type(each) is set}
        for name, each in sets.items():
            if id(each) not in self._ordered:
                order = insertion_order(each)
                self._ordered[id(each)] = None if order is None else _Ordered(order)
            ordered = self._ordered[id(each)]
            if ordered is not None:
                attributes = {**attributes, name: ordered}
        return attributes


class _Ordered:
    """Stands for a set: its elements in the order in which they make one like it."""

    def __init__(self, elements: list[Any]) -> None:
        self._elements = elements

    def __reduce__(self) -> tuple[type[set[Any]], tuple[list[Any]]]:
        return set, (self._elements,)


class _Plan(NamedTuple):
    """What is known of a class; it is found out once."""

    is_distribution: bool
    is_estimator: bool
    guarded: frozenset[str] | None
    known: list[tuple[str, ...]] | None
    way: Callable[[Any], rebuilding.Reduced | None] | None


@cache
def _plan(cls: type) -> _Plan:
    return _Plan(
        _is_distribution(cls), issubclass(cls, base.Base), _guarded(cls), _known(cls),
        rebuilding.way_of(cls),
    )  # fmt: skip


def _remember(state: dict[str, Any], cls: type, known: list[tuple[str, ...]]) -> None:
    names = tuple(state)
    # Of a name that the class has too, `getattr` would find a value where the object has none.
    if names not in known and not any(hasattr(cls, name) for name in names):
        known.append(names)


def _read(value: Any, cls: type, known: list[tuple[str, ...]]) -> dict[str, Any] | None:
    """An object's attributes without its `__dict__`; None if they are not one of the known sets."""
    held = gc.get_referents(value)  # each attribute's value, and the class
    for names in known:
        if len(names) + 1 != len(held):
            continue
        try:
            attributes = {name: getattr(value, name) for name in names}
        except AttributeError:
            continue
        if {*map(id, attributes.values()), id(cls)} == {*map(id, held)}:
            return attributes
    return None


def _is_distribution(cls: type) -> bool:
    """Whether only `sample` uses the generator: see tests/core/snapshots/test_pickling.py."""
    return cls.__module__.startswith("river.proba.") and is_compared()


def _known(cls: type) -> list[tuple[str, ...]] | None:
    """Begin a list of attribute names of `cls`; None: they cannot be read one by one."""
    own = ("__new__", "__getstate__", "__getattribute__")
    is_plain = all(getattr(cls, name) is getattr(object, name) for name in own) and not any(
        hasattr(cls, name) for name in ("__getattr__", "__getnewargs__", "__getnewargs_ex__")
    )
    members = chain.from_iterable(vars(each).values() for each in cls.__mro__)
    return [] if is_plain and not any(type(m) is MemberDescriptorType for m in members) else None


def _guarded(cls: type) -> frozenset[str] | None:
    """Attributes that a property or slot would take for itself; None if `cls` is not plain."""
    own = ("__reduce_ex__", "__reduce__", "__setattr__")
    plain = (
        cls.__module__ != "builtins"
        and cls not in copyreg.dispatch_table
        and all(getattr(cls, name) is getattr(object, name) for name in own)
        and not hasattr(cls, "__setstate__")
    )
    if not plain:
        return None
    names = chain.from_iterable(vars(each).items() for each in cls.__mro__)
    return frozenset(name for name, value in names if hasattr(value, "__set__"))
