"""Events for trees and forests, and what of two of them must be equal to the last bit."""

import io
import pickle
import random
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from stream.core.learning.estimator import kind_of, methods_of
from stream.models.fast import quick
from tests.bits import bits
from tests.core.learning.comparison import told

Event = tuple[dict[str, Any], Any]
"""Features and the label."""

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


def drifting(rng: random.Random, *, events_n: int, drift_at: int, texts: bool) -> Iterator[Event]:
    """Events of which, from one on, each class looks as another one did."""
    for n in range(events_n):
        x, y = event(rng, texts=texts)
        yield x, {"a": "b", "b": "c", "c": "a"}[y] if n > drift_at else y


def event(rng: random.Random, *, texts: bool) -> Event:
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


def follow(
    rivers: Any, mine: Any, events: Iterable[Event], rng: random.Random, *, has_sizes: bool = False
) -> Iterator[None]:
    """Let both predict and learn, now and then only one of it; yields after each event.

    Args:
        rivers: a model, asked as river says.
        mine: the same made once more, asked as a fold does.
        events: features and labels.
        rng: draws what is left out.
        has_sizes: their states cannot be compared: they hold sizes in bytes of this very process.
    """
    _, _, learn = methods = methods_of(quick(mine), kind_of(mine))
    predict = methods.predict
    for n, (x, y) in enumerate(events, 1):
        if rng.random() < 0.9:
            expected = rivers.predict_proba_one(x)
            assert bits(predict(x).probabilities) == bits(expected)
        if rng.random() < 0.9:
            rivers.learn_one(x, y)
            learn(x, y)
        if n % 100 == 0 and not has_sizes:
            assert state(mine) == state(rivers)
        yield


def fail_alike(rivers: Any, mine: Any, events: Iterable[Event]) -> None:
    """With the same error, at the same event; what is left behind then is undone by the fold."""
    methods: Any = quick(mine)
    for x, y in events:
        for name, arguments in (("predict_proba_one", (x,)), ("learn_one", (x, y))):
            expected = told(getattr(rivers, name), *arguments)
            assert told(getattr(methods, name), *arguments) == expected
            if isinstance(expected, str):
                return
        assert state(mine) == state(rivers)


def ask_for_others(rivers: Any, mine: Any, *, events_n: int) -> None:
    """Another event is asked for in between, and each is learned twice."""
    methods: Any = quick(mine)
    rng = random.Random(5)
    drawn = [event(rng, texts=False) for _ in range(events_n)]
    for (x, y), (other, _) in pairwise(drawn):
        for model in (rivers, methods):
            model.predict_proba_one(x)
            model.predict_proba_one(other)
            model.learn_one(x, y)
            model.learn_one(x, y)
        assert state(mine) == state(rivers)
