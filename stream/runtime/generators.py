"""The random generators that a model holds: two processes that make it must find the same ones."""

import io
import pickle
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import xxhash
from river import base

from stream.core.stand_in import plain


def generators(model: Any) -> list[tuple[str, str]]:
    """Each random generator in a model: whose it is and what kind, and a digest of its state.

    Two processes that make the same model must find the same, or one of them was given no seed.

    Raises: what pickling the model raises.
    """
    finder = _Finder()
    finder.dump(plain(model))
    return finder.found


class _Finder(pickle.Pickler):
    """Looks at every object that pickling comes by."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.found: list[tuple[str, str]] = []
        self._holder = ""

    def persistent_id(self, obj: Any) -> None:
        state: object = None
        if isinstance(obj, base.Base) or callable(getattr(obj, "get_params", None)):
            self._holder = obj.__name__ if isinstance(obj, type) else type(obj).__name__
        elif isinstance(obj, random.Random) and type(obj) is not random.SystemRandom:
            state = obj.getstate()
        elif isinstance(obj, np.random.RandomState):
            state = obj.get_state()
        elif isinstance(obj, np.random.Generator):
            state = obj.bit_generator.state
        if state is not None:
            kind = f"{type(obj).__module__.removesuffix('._generator')}.{type(obj).__name__}"
            digest = xxhash.xxh3_64_hexdigest(repr(_plain(state)).encode())
            self.found.append((f"{self._holder}'s {kind}", digest))


def _plain(state: Any) -> Any:
    """Turn the arrays of a generator's state into lists: `repr` of an array omits its middle."""
    if isinstance(state, np.ndarray):
        return state.tolist()
    if isinstance(state, Mapping):
        return {name: _plain(value) for name, value in state.items()}
    return [_plain(value) for value in state] if isinstance(state, tuple) else state
