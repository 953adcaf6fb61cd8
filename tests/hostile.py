"""Transformers that do what river asks them not to do: write, drop, rename, raise, remember.

River's `Pipeline` copies nothing, so a plain loop has an answer with each of them: ours must be it.
"""

import math
from collections import ChainMap, OrderedDict, UserDict, defaultdict
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from river import base, compose, linear_model, preprocessing, tree

Features = dict[Any, Any]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 1.0


def log_in_place(x: Features) -> Features:
    """What a user writes first, and no second time gives the same."""
    x["a"] = math.log1p(abs(_number(x.get("a", 0))))
    return x


class Own(base.Transformer):
    """A user's: one function, given to `Own` by name so that it can be pickled."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.n = 0
        self.kept: Any = {}

    def learn_one(self, x: Features) -> None:
        """Some write when they learn."""
        if self.name == "writes when it learns":
            x["a"] = _number(x.get("a", 0)) / 2
        elif self.name == "remembers":
            self.kept["b"] = -1.0  # into the event of before
            self.kept = x

    def transform_one(self, x: Features) -> Features:
        """As the name says."""
        self.n += 1
        return WAYS[self.name](self, x)  # type: ignore[no-any-return]


def _adds(_own: Own, x: Features) -> Features:
    x["ab"] = _number(x.get("a", 0)) * _number(x.get("b", 0))
    return x


def _drops(_own: Own, x: Features) -> Features:
    x.pop("a", None)
    return x


def _renames(_own: Own, x: Features) -> Features:
    for name in list(x):
        x[f"{name}'"[:3]] = x.pop(name)
    return x


def _clears(_own: Own, x: Features) -> Features:
    given = dict(x)
    x.clear()
    return given


def _gives_the_same_dict(own: Own, x: Features) -> Features:
    own.kept.clear()
    own.kept.update(x)
    own.kept["n"] = float(own.n % 3)
    return own.kept  # type: ignore[no-any-return]


def _counts(own: Own, x: Features) -> Features:
    return {**x, "n": own.n % 5}


def _raises_half_way(own: Own, x: Features) -> Features:
    x["a"] = _number(x.get("a", 0)) + 1
    if own.n % 7 == 0:
        raise ValueError("every seventh time")
    return x


def _turns_the_order(own: Own, x: Features) -> Features:
    names = list(x)
    k = own.n % len(names) if names else 0
    return {name: x[name] for name in names[k:] + names[:k]}


def _flips_types(own: Own, x: Features) -> Features:
    return {
        name: (
            str(value)
            if own.n % 4 == 0 and name == "b"
            else bool(value)
            if own.n % 4 == 1
            else value
        )
        for name, value in x.items()
    }


def _numpy(_own: Own, x: Features) -> Features:
    return {
        name: np.float64(value) if isinstance(value, float) else value for name, value in x.items()
    }


def _narrow_numpy(_own: Own, x: Features) -> Features:
    return {
        name: np.float32(value) if isinstance(value, float) else value for name, value in x.items()
    }


def _fractions(_own: Own, x: Features) -> Features:
    return {
        name: Fraction(value) if isinstance(value, float) else value for name, value in x.items()
    }


def _zeros(own: Own, x: Features) -> Features:
    zero = -0.0 if own.n % 2 else 0.0
    return {name: zero if isinstance(value, float) else value for name, value in x.items()}


def _large(_own: Own, x: Features) -> Features:
    return {
        name: 2**53 + int(value * 8) if isinstance(value, float) else value
        for name, value in x.items()
    }


class Subclass(dict[Any, Any]):
    """A dict that knows every name."""

    def __missing__(self, name: Any) -> float:
        return 0.5


WAYS: dict[str, Callable[[Own, Any], Any]] = {
    "logs in place": lambda _own, x: log_in_place(x),
    "adds": _adds,
    "drops": _drops,
    "renames": _renames,
    "clears": _clears,
    "gives the same dict": _gives_the_same_dict,
    "counts": _counts,
    "raises half way": _raises_half_way,
    "turns the order": _turns_the_order,
    "flips types": _flips_types,
    "numpy": _numpy,
    "narrow numpy": _narrow_numpy,
    "fractions": _fractions,
    "zeros": _zeros,
    "large integers": _large,
    "writes when it learns": lambda _own, x: x,
    "remembers": lambda _own, x: x,
    "gives nothing": lambda _own, _x: {},
    "gives None": lambda _own, _x: None,
    "ordered": lambda _own, x: OrderedDict(x),
    "default": lambda _own, x: defaultdict(float, x),
    "subclass": lambda _own, x: Subclass(x),
    "user's dict": lambda _own, x: UserDict(x),
    "chained": lambda _own, x: ChainMap({"c": 1.0}, x),
    "read-only": lambda _own, x: MappingProxyType(x),
}


def renamer() -> base.Transformer:
    """River's own, which writes into what it is given."""
    return compose.Renamer({"a": "z", "z": "y"})


def function() -> base.Transformer:
    """As in river's example."""
    return compose.FuncTransformer(log_in_place)


TRANSFORMERS: dict[str, Callable[[], base.Transformer]] = {
    **{name: partial(Own, name) for name in WAYS},
    "river's renamer": renamer,
    "river's function": function,
}


def writing_tree() -> Any:
    """A model whose transformer writes into the features; its tree is asked and taught at once."""
    return Own("logs in place") | tree.HoeffdingTreeClassifier(grace_period=50)


def writing_union() -> Any:
    """One part scales what another one writes into."""
    return (
        preprocessing.StandardScaler() + Own("logs in place")
    ) | linear_model.LogisticRegression()
