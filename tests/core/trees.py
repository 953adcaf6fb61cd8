"""Events for trees and forests, and what of two of them must be equal to the last bit."""

import io
import pickle
import random
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.bits import bits

_NUMBERS = st.one_of(st.floats(-1e9, 1e9), st.floats(-2, 2), st.integers(-5, 5), st.booleans())

EVENTS = st.lists(
    st.tuples(
        st.dictionaries(
            st.sampled_from(["a", "b", "c"]),
            st.one_of(_NUMBERS, st.sampled_from(["s", "t"])),
            min_size=1,
        ),
        st.sampled_from([True, False, 2, "x"]),
    ),
    max_size=60,
)
"""Numbers and texts in one feature, and labels of any type."""


def event(rng: random.Random, *, texts: bool) -> tuple[dict[str, Any], Any]:
    """One of three classes; a feature is missing now and then: a tree may want to split by it."""
    label = rng.choice(["a", "b", "b", "c"])
    x: dict[str, Any] = {
        "near": ord(label) + rng.gauss(0, 0.3),
        "noise": rng.random(),
        "code": rng.randrange(3) if label != "c" else 9,
        "flag": rng.random() < 0.5,
    }
    if texts:
        x["word"] = rng.choice(["x", "y"]) if label == "a" else rng.choice(["y", "z"])
    if rng.random() < 0.1:
        del x[rng.choice(list(x))]  # a tree may want to split by it
    return x, label


class _Pickler(pickle.Pickler):
    """River gives every Gaussian a random generator, seeded by the system: not compared."""

    def reducer_override(self, value: Any) -> Any:
        return (int, ()) if isinstance(value, random.Random) else NotImplemented


def state(model: Any) -> bytes:
    """All that a model is, but for its generators."""
    buffer = io.BytesIO()
    _Pickler(buffer).dump(getattr(model, "steps", model))
    return buffer.getvalue()


def last(model: Any) -> Any:
    """A pipeline's last step; a model by itself."""
    return list(model.steps.values())[-1] if hasattr(model, "steps") else model


def told(method: Callable[..., Any], *arguments: Any) -> Any:
    """Its answer's bits, or the text of its error."""
    try:
        return bits(method(*arguments))
    except Exception as error:  # noqa: BLE001  # whatever river raises
        return repr(error)
