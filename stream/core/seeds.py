"""Seeds that a model needs and was not given, found by name; `runtime/generators` finds others."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from river import base

NAMES = frozenset({"seed", "random_state", "rng", "random_seed"})
"""What a parameter is called that makes a model repeat itself; scikit-learn's is the second."""


def unseeded(model: base.Estimator) -> list[str]:
    """Where in a model a seed is missing, as `Class.parameter`; [] = none is, by name.

    River keeps every parameter in an attribute of its name; a seed that is not there is missing.
    """
    return sorted(set(_unseeded(model, set())))


def _unseeded(part: Any, seen: set[int]) -> Iterator[str]:
    """Look for parameters that are named like seeds and are None, in a part and all inside it."""
    if id(part) in seen:
        return
    seen.add(id(part))
    parts: list[Any] = []
    if isinstance(part, Mapping):
        parts += part.values()
    elif isinstance(part, list | tuple):
        parts += part
    else:
        for name, inner in _parameters(part):
            if name in NAMES and inner is None:
                yield f"{type(part).__name__}.{name}"
            parts.append(inner)
    for inner in parts:
        yield from _unseeded(inner, seen)


def _parameters(part: Any) -> Iterator[tuple[str, Any]]:
    """What an estimator of river, or of scikit-learn, was made with; nothing of anything else."""
    if isinstance(part, base.Base):
        for name in inspect.signature(type(part)).parameters:
            yield name, getattr(part, name, None)
    elif not isinstance(part, type) and callable(getattr(part, "get_params", None)):
        # As scikit-learn's own `clone` asks; it is not loaded for that.
        yield from part.get_params(deep=False).items()
