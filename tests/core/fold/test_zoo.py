"""Every estimator of river's beside a plain loop: each published number, to every bit.

Half way the state is pickled, and comes back through the restricted unpickler. The events are of
streams that river bundles, with words, bools, features that are missing, and rare ones mixed in.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np
import pytest
from river import base, compose, datasets

from stream.core.event import Channel, Kind, Output
from stream.core.fold.task import Task
from stream.core.learning.estimator import kind_of
from stream.core.spec import ModelSpec
from tests.folds import PARTITION, document_of, event, outputs_of, recipe
from tests.zoo import BINARY, MULTICLASS, REGRESSION, ZOO, animal

EVENTS_N = 120
"""Enough that trees split and windows turn over; the whole zoo in less than a minute."""


def _stream(name: str) -> Iterator[tuple[dict[str, Any], Any]]:
    if name in BINARY:
        yield from datasets.Phishing().take(EVENTS_N)
    elif name in MULTICLASS:
        # With string labels: river's nearest neighbours and others keep them in a set.
        yield from random.Random(1).sample(list(datasets.ImageSegments()), EVENTS_N)
    elif name in REGRESSION:
        yield from datasets.TrumpApproval().take(EVENTS_N)
    else:
        yield from datasets.Bananas().take(EVENTS_N)


def _events(name: str) -> list[tuple[dict[str, Any], Any]]:
    rng = random.Random(name)
    events = []
    for given, y in _stream(name):
        x: dict[str, Any] = {
            f"f{i}": float(value) for i, value in enumerate(list(given.values())[:4])
        }
        x |= {
            "a": rng.gauss(0, 1),
            "b": rng.randrange(-3, 9),
            "c": rng.choice(["up", "down", "né", ""]),
        }
        x["d"] = rng.random() < 0.5
        if rng.random() < 0.03:
            x[f"rare {rng.randrange(3)}"] = rng.choice([1, "word", -0.0, 999_999_999_999_999, True])
        label = y if rng.random() < 0.9 else None
        events.append((x, label))
    return events


class _Plain:
    """The loop, with the fold's rules for what goes wrong.

    No number, or a raise before it ever answered, is a gap, and learned all the same. Any other
    raise is a refused event, of which nothing is left.
    """

    def __init__(self, name: str) -> None:
        self.name, self.is_ready = name, False
        self.kept: list[tuple[dict[str, Any], Any]] = []
        self._begin()

    def _begin(self) -> None:
        self.model: Any = animal(self.name)
        self.kind, self.learned = kind_of(self.model), 0

    def step(self, x: dict[str, Any], label: Any) -> Any:
        """What is published: the answer, None for a gap, "refused"."""
        try:
            answer = self._ask(x)
        except Exception:  # noqa: BLE001  # a model may raise anything
            if self.is_ready:
                return self._refuse()
            answer = None
        else:
            self.is_ready |= answer is not None and self.learned > 0
        try:
            self._learn(x, label)
        except Exception:  # noqa: BLE001  # a model may raise anything
            return self._refuse()
        self.kept.append((x, label))
        return answer

    def _refuse(self) -> str:
        """As if it had never been: all that was kept is folded once more."""
        kept, self.kept = self.kept, []
        self._begin()
        for x, label in kept:
            self.step(x, label)
        return "refused"

    def _learn(self, x: dict[str, Any], label: Any) -> None:
        if self.kind is Kind.ANOMALY:
            self.model.learn_one(x)
        elif label is not None:
            self.model.learn_one(x, label)
        self.learned += self.kind is Kind.ANOMALY or label is not None

    def _ask(self, x: dict[str, Any]) -> Any:
        model = self.model
        if self.kind is Kind.ANOMALY:
            return _number(model.score_one(x))
        if self.kind is Kind.REGRESSION:
            return _number(model.predict_one(x))
        final = model
        while isinstance(final, compose.Pipeline):
            final = list(final.steps.values())[-1]
        try:
            if type(final).predict_one is base.Classifier.predict_one:
                chances = model.predict_proba_one(x)
                value = max(chances, key=chances.get) if chances else None
            else:
                value = model.predict_one(dict(x))
                chances = model.predict_proba_one(x)
        except NotImplementedError:
            return _plain(model.predict_one(x)), None
        if chances and not isfinite(sum(chances.values())):
            return None
        return _plain(value), [(_shown(each), _number(share)) for each, share in chances.items()]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _number(value: Any) -> Any:
    value = _plain(value)
    return value if isinstance(value, int | float) and isfinite(value) else None


def _shown(label: Any) -> str:
    return str(_plain(label)).lower() if isinstance(_plain(label), bool) else str(label)


def _published(output: Output) -> Any:
    """As `_Plain.step` gives it."""
    if output.channel is Channel.QUARANTINE:
        return "refused"
    found = document_of(output)
    if "fault" in found:
        return None
    if "score" in found:
        return found["score"]
    if kind := found.get("probabilities"):
        return found["prediction"], list(kind.items())
    return found["prediction"], ([] if "probabilities" in found else None)


@pytest.mark.parametrize("name", ZOO)
def test_the_fold_gives_what_a_plain_loop_gives(name: str) -> None:
    """Restored half way; where the loop finds no number, or no answer at all, there is a fault."""
    spec = ModelSpec(factory="tests.zoo:animal", params={"name": name})
    chosen = replace(recipe(spec.factory, detectors=()), model=spec)
    folded, plain = Task(chosen, partition=PARTITION), _Plain(name)
    answers = []
    for n, (x, label) in enumerate(_events(name)):
        if n == EVENTS_N // 2:
            folded = Task(chosen, partition=PARTITION, payload=folded.keep_copy())
        found = _published(outputs_of(folded, event(n, x, label))[0])
        expected = plain.step(dict(x), label)
        if plain.kind is Kind.REGRESSION and isinstance(found, tuple):
            found = found[0]
        assert repr(found) == repr(expected), n
        answers.append(expected)
    assert sum(answer not in (None, "refused") for answer in answers) > EVENTS_N / 2


def test_the_zoo_is_large() -> None:
    """A hundred and thirty, and more."""
    assert len(ZOO) >= 130
