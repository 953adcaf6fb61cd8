"""What events cost on which user code raises.

In the repository: `python -m tests.instruments.bench.failing`.

A fold with a forest of ten trees behind a transformer of a user's, which raises on every twentieth
event: while it decodes, or half way through learning. Beside it the same events without any that
raises, in turn, so that both meet the same machine.
"""

import sys
import time
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
from river import base, compose, forest, preprocessing

from stream.core.event import Record
from stream.core.fold.task import Task
from stream.core.recipe import Recipe
from stream.core.spec import DetectorSpec, EventShape, Limits, ModelSpec
from stream.models.fast import quick

EVENTS_N, WARM_UP_N, EVERY = 600, 1000, 20


class Decoder(base.Transformer):
    """A user's own, without a state; an event's feature `bad` makes it raise when it transforms."""

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """The features."""
        if x.get("bad") == "transform":
            raise ValueError("a feature that nobody can decode")
        return {name: value for name, value in x.items() if name != "bad"}


class Counter(base.Transformer):
    """A user's own, with a state; `bad` makes it raise before it learns."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Count."""
        if x.get("bad") == "learn":
            raise ValueError("an event that nobody can learn")
        for name in x:
            self.counts[name] = self.counts.get(name, 0) + 1

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """The features."""
        if x.get("bad") == "count":
            raise ValueError("an event that nobody can count")
        return {name: value for name, value in x.items() if name != "bad"}


class Wrapper(base.Wrapper[base.Classifier], base.Classifier):
    """A user's own around a forest; `bad` makes it raise when it learns."""

    def __init__(self, model: base.Classifier) -> None:
        self.model = model

    @property
    def _wrapped_model(self) -> base.Classifier:
        return self.model

    @property
    def _multiclass(self) -> bool:
        return True

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        """The forest's."""
        return self.model.predict_proba_one(x)

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """The forest's."""
        if x.get("bad") == "teach":
            raise ValueError("an event that nobody can teach")
        self.model.learn_one(x, y)


def _forest() -> forest.ARFClassifier:
    return forest.ARFClassifier(n_models=10, seed=1)


def decoding() -> compose.Pipeline:
    """Raises while it decodes."""
    return Decoder() | preprocessing.StandardScaler() | _forest()


def counting() -> compose.Pipeline:
    """Raises in a transformer that has learned."""
    return preprocessing.StandardScaler() | Counter() | _forest()


def wrapping() -> compose.Pipeline:
    """Raises in what is around the forest."""
    return Decoder() | Wrapper(_forest())


CASES = {
    "transform": "decoding",
    "count": "counting",
    "learn": "counting",
    "teach": "wrapping",
}
"""Where it raises -> the model."""


def records(bad: str | None) -> list[Record]:
    """Events of nine numbers; every twentieth after the warm-up is bad."""
    rng, found = Random(1), []
    for i in range(WARM_UP_N + EVENTS_N):
        features: dict[str, Any] = {f"f{j}": rng.gauss(0, 1) for j in range(9)}
        label = features["f0"] + features["f1"] * features["f2"] > 0
        if bad is not None and i > WARM_UP_N and i % EVERY == 0:
            features["bad"] = bad
        value = msgspec.json.encode({"features": features, "label": label})
        found.append(Record(0, i, i, None, value))
    return found


def task(name: str) -> Task:
    """A fold with one of the models."""
    recipe = Recipe(
        pipeline="bench",
        events_topic="bench.events",
        model=ModelSpec(factory=f"tests.instruments.bench.failing:{name}"),
        detectors=(DetectorSpec(name="adwin", type="ADWIN"),),
        shape=EventShape(),
        limits=Limits(),
        hash_seed=1,
        quicken=quick,
    )
    return Task(recipe, partition=0)


def rates(name: str, bad: str) -> tuple[float, float]:
    """Events a second: of clean events, and of those with bad ones among them."""
    folds = [(task(name), records(None)), (task(name), records(bad))]
    for each, log in folds:
        _fold(each, log[:WARM_UP_N])
        each.keep_copy()  # as the worker does every few seconds
    took = [0.0, 0.0]
    for start in range(WARM_UP_N, WARM_UP_N + EVENTS_N, 100):
        for which, (each, log) in enumerate(folds):
            began = time.perf_counter()
            _fold(each, log[start : start + 100])
            took[which] += time.perf_counter() - began
    return EVENTS_N / took[0], EVENTS_N / took[1]


def _fold(each: Task, log: Sequence[Record]) -> None:
    for record in log:
        each.step(record)


def main() -> int:
    """Print a line for each place where user code may raise."""
    for bad in sys.argv[1:] or CASES:
        clean, failing = rates(CASES[bad], bad)
        sys.stdout.write(
            f"{bad:10} clean {clean:7.0f} events/s, one in {EVERY} raises {failing:7.0f}: "
            f"{failing / clean:.0%}\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
