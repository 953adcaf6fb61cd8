"""Every ready pipeline keeps the model contract, whatever valid events come."""

import copy
import hashlib
import inspect
import json
import math
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import stream.models
from stream.core.event import Kind
from stream.core.learning.estimator import build, kind_of
from stream.core.seeds import unseeded
from stream.core.spec import ModelSpec

NAMES = list(stream.models.catalogue())
REPOSITORY = Path(__file__).resolve().parents[2]

# Small enough that trees split, forests replace and windows turn over within a few hundred events.
QUICK: dict[str, dict[str, Any]] = {
    "k_nearest_neighbors": {"window_size": 50},
    "hoeffding_tree": {"grace_period": 20, "delta": 0.5},
    "hoeffding_adaptive_tree": {"grace_period": 20, "delta": 0.5},
    "adaptive_random_forest": {"n_models": 3, "grace_period": 10},
    "leveraging_bagging": {"n_models": 3, "grace_period": 20},
    "hoeffding_tree_regressor": {"grace_period": 20},
    "adaptive_random_forest_regressor": {"n_models": 3, "grace_period": 20},
    "half_space_trees": {"n_models": 5, "height": 5, "window_size": 40},
}

Event = tuple[dict[str, Any], Any]


def make(name: str, **params: Any) -> Any:
    """The pipeline as a configuration would build it."""
    return build(ModelSpec(factory=f"stream.models:{name}", params=QUICK.get(name, {}) | params))


def mixed_events(kind: Kind, count: int, *, extreme: bool = False) -> Iterator[Event]:
    """Numbers, bools and strings that come and go, change type, and never end to bring new values.

    Args:
        kind: of the model, and so of the labels.
        count: of events.
        extreme: every tenth event has numbers at the limit of what is valid.
    """
    rng = random.Random(11)
    for index in range(count):
        size, hot = rng.gauss(3.0, 2.0), rng.random() < 0.3
        carrier = rng.choice(["AA", "DL", "UA"])
        features = {
            "size": size,
            "hot": hot,
            "carrier": carrier,
            "order": f"order-{index}",
            "either": rng.choice([1, 2.5, "none", True]),
            "counter": index,
        }
        for name in rng.sample(sorted(features), rng.randrange(3)):
            del features[name]
        if index % 7 == 0:
            features[f"new {index}"] = rng.choice(["late", 4])
        if extreme and index % 10 == 9:
            features["size"] = rng.choice([1e15, -1e15])
        amount = size + 2.0 * hot - (carrier == "DL") + rng.gauss(0.0, 0.5)
        label: Any = amount > 3.0
        if kind is Kind.MULTICLASS:
            label = f"about {round(amount)}"
        elif kind is Kind.REGRESSION:
            label = amount * (1e12 if extreme and index % 50 == 49 else 1.0)
        yield features, label


def answer(model: Any, kind: Kind, features: dict[str, Any]) -> Any:
    """All that is published of a model's answer."""
    if kind is Kind.ANOMALY:
        return model.score_one(features)
    if kind is Kind.REGRESSION:
        return model.predict_one(features)
    return model.predict_proba_one(features), model.predict_one(features)


def learn(model: Any, kind: Kind, features: dict[str, Any], label: Any) -> None:
    """One step of learning; an anomaly detector sees no label."""
    if kind is Kind.ANOMALY:
        model.learn_one(features)
    else:
        model.learn_one(features, label)


def answers(model: Any, events: Iterable[Event], *, pickle_every: int = 0) -> list[str]:
    """Test, then train; each answer as its exact text."""
    kind, texts = kind_of(model), []
    for index, (features, label) in enumerate(events):
        if pickle_every and index % pickle_every == 0:
            model = pickle.loads(pickle.dumps(model))  # noqa: S301  # our own bytes, just made
        texts.append(repr(answer(model, kind, features)))
        learn(model, kind, features, label)
    return texts


def digests(*, pickle_every: int) -> dict[str, str]:
    """By name, a digest of 300 answers; run under several hash seeds."""
    return {
        name: hashlib.sha256(
            "\n".join(
                answers(model, mixed_events(kind_of(model), 300), pickle_every=pickle_every)
            ).encode()
        ).hexdigest()
        for name, model in ((name, make(name)) for name in NAMES)
    }


def test_the_catalogue_names_every_pipeline_and_says_when_to_choose_it() -> None:
    """What `stream check` and the documentation list is what there is."""
    assert sorted([*NAMES, "catalogue"]) == sorted(stream.models.__all__)
    assert all(len(line) > 40 and line.endswith(".") for line in stream.models.catalogue().values())


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_named_and_come_from_toml(name: str) -> None:
    """Each parameter is a keyword with a default that TOML can write."""
    for parameter in inspect.signature(getattr(stream.models, name)).parameters.values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert type(parameter.default) in (int, float)
        assert f"{parameter.name}: " in getattr(stream.models, name).__doc__


@pytest.mark.parametrize("name", NAMES)
def test_a_second_run_gives_the_same_answers(name: str) -> None:
    """Everything that draws at random is seeded, and a clone draws the same."""
    model = make(name)
    events = list(mixed_events(kind_of(model), 400))
    clone = model.clone()

    first = answers(model, events)

    assert unseeded(model) == []
    assert answers(make(name), events) == first
    assert answers(clone, events) == first
    assert answers(model.clone(), events) == first


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_model_goes_on_as_if_nothing_had_happened(name: str) -> None:
    """Pickled and unpickled again and again, at any cut, a model gives the same answers.

    A set of strings comes out of pickle in another order one time in three.
    """
    events = list(mixed_events(kind_of(make(name)), 400))

    assert answers(make(name), events, pickle_every=23) == answers(make(name), events)


@pytest.mark.parametrize("name", NAMES)
def test_any_valid_event_is_answered_with_finite_numbers(name: str) -> None:
    """Missing, new and mixed features, and numbers at the limits, never raise nor overflow."""
    model = make(name)
    kind = kind_of(model)

    for features, label in mixed_events(kind, 400, extreme=True):
        before = copy.deepcopy(features)
        given = answer(model, kind, features)
        learn(model, kind, features, label)

        numbers = list(given[0].values()) if isinstance(given, tuple) else [given]
        assert all(math.isfinite(number) for number in numbers)
        assert list(features.items()) == list(before.items())


def test_a_hash_seed_changes_nothing() -> None:
    """Four PYTHONHASHSEEDs give one digest of each pipeline's answers, restored or not."""
    code = (
        "import json, tests.models.test_models as t; print(json.dumps(t.digests(pickle_every={})))"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code.format(pickle_every)],
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed, pickle_every in (("0", 0), ("1", 23), ("77", 31), ("4294967295", 41))
    ]
    found = [json.loads(run.communicate(timeout=120)[0]) for run in runs]
    assert [list(digest) for digest in found] == [NAMES] * 4

    assert all(digest == found[0] for digest in found)


@pytest.mark.parametrize("name", [n for n in NAMES if kind_of(make(n)) is Kind.MULTICLASS])
def test_labels_may_be_of_several_types(name: str) -> None:
    """One integer among strings is valid; river's trees alone sort classes and raise ever after."""
    model = make(name)
    events = [
        ({"size": float(index)}, 3 if index == 50 else "low" if index % 10 < 5 else "high")
        for index in range(150)
    ]

    last = answers(model, events)[-1]

    assert all(label in last for label in ("'low'", "'high'", "3: "))


def test_linear_regression_stays_near_with_many_and_rare_features() -> None:
    """250 features, half of them flags that are true once in 200: no step overshoots."""
    rng = random.Random(3)
    model = make("linear_regression")
    errors = []
    for _ in range(1_500):
        features: dict[str, Any] = {f"number {i}": rng.gauss(0.0, 1.0) for i in range(125)}
        features |= {f"flag {i}": rng.random() < 0.005 for i in range(125)}
        label = 50.0 + 3.0 * features["number 0"] + rng.gauss(0.0, 1.0)
        errors.append(abs(model.predict_one(features) - label))
        model.learn_one(features, label)

    assert max(errors[100:]) < 30.0


@pytest.mark.parametrize("name", ["hoeffding_tree_regressor", "adaptive_random_forest_regressor"])
def test_a_feature_that_only_rises_leaves_a_tree_that_can_be_pickled(name: str) -> None:
    """River's default splitter becomes a chain of such values, too deep for pickle."""
    rng = random.Random(1)
    model = make(name, grace_period=10**9)
    for index in range(2_500):
        model.learn_one({"counter": index}, rng.random())

    assert len(pickle.dumps(model)) < 1_000_000


def test_strings_without_end_do_not_make_a_model_without_end() -> None:
    """A column with a new value in each event adds `categories_max` weights, and one for others."""
    model = make("logistic_regression", categories_max=30)
    for index in range(500):
        model.learn_one({"id": f"id-{index}", "size": 1.0}, index % 2 == 0)

    assert len(model["LogisticRegression"].weights) == 30 + 1 + 1


@pytest.mark.parametrize(
    "name",
    [
        "naive_bayes",
        "hoeffding_tree",
        "hoeffding_adaptive_tree",
        "adaptive_random_forest",
        "leveraging_bagging",
        "hoeffding_tree_regressor",
        "adaptive_random_forest_regressor",
    ],
)
def test_a_hostile_upstream_brings_names_without_end(name: str) -> None:
    """Each event with fifty new names: a model that keeps something of every one has a bound."""
    most = 20 if "regressor" in name else 40  # there numbers and words each have a bound
    bounded, at_the_bound = make(name, names_max=most), make(name, names_max=most)
    for i in range(12):
        known: dict[str, Any] = {f"n{j}": float(i + j) for j in range(20)}
        known |= {f"s{j}": "x" for j in range(20)}
        hostile: dict[str, Any] = {f"new {i} {j}": float(j) for j in range(25)}
        hostile |= {f"word {i} {j}": "y" for j in range(25)}
        label = float(i) if "regressor" in name else i % 2 == 0
        for model, x in ((bounded, known | hostile if i else known), (at_the_bound, known)):
            model.predict_one(x)
            model.learn_one(x, label)
    assert bounded.predict_one(known | hostile) == at_the_bound.predict_one(known)
    assert len(pickle.dumps(bounded)) <= 1.1 * len(pickle.dumps(at_the_bound))
