"""A tree that counts votes once: river's predictions, errors and state, to every bit."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from river import compose, tree
from river import preprocessing as pre

from stream.core import compared
from stream.models.fast import quick
from stream.models.fast.pipeline import quicker
from stream.models.fast.tree import FusedTree, is_fused_tree
from tests.core.learning.comparison import told
from tests.models.fast.trees import (
    EVENTS,
    Event,
    ask_for_others,
    drifting,
    fail_alike,
    follow,
    last,
)

Tree = tree.HoeffdingTreeClassifier

TREES: dict[str, Callable[[], Any]] = {
    "river's defaults": Tree,
    "eager": lambda: Tree(grace_period=10, delta=0.2, tau=0.5),
    "shallow": lambda: Tree(grace_period=10, delta=0.2, tau=0.5, max_depth=1),
    "without room": lambda: Tree(
        grace_period=10, delta=0.2, tau=0.5, max_size=0.02, memory_estimate_period=50
    ),
    "nominal": lambda: Tree(
        grace_period=10, delta=0.2, tau=0.5, nominal_attributes=["word", "code"], binary_split=False
    ),
    "binary splits": lambda: Tree(grace_period=10, delta=0.2, tau=0.5, binary_split=True),
    "majority only": lambda: Tree(grace_period=10, tau=0.5, leaf_prediction="mc"),
    "bayes only": lambda: Tree(grace_period=10, tau=0.5, leaf_prediction="nb"),
    "poor features dropped": lambda: Tree(grace_period=10, tau=0.5, remove_poor_attrs=True),
    "numbers selected": lambda: (
        compose.SelectType(int, float) | Tree(grace_period=10, delta=0.2, tau=0.5)
    ),
    "behind a scaler": lambda: pre.StandardScaler() | Tree(grace_period=10, delta=0.2, tau=0.5),
}
ONLY_NUMBERS = {"behind a scaler"}
WITH_SIZES = {"without room"}  # in bytes of this very process: two trees of river's differ, too


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("seed", range(3))
def test_a_stream_gives_rivers_tree(name: str, seed: int) -> None:
    """With drift, missing features, events without a label, and labels without a prediction."""
    rivers, mine = TREES[name](), TREES[name]()
    rng = random.Random(seed)
    texts = name not in ONLY_NUMBERS
    events = drifting(rng, events_n=1_200, drift_at=700, texts=texts)
    for _ in follow(rivers, mine, events, rng, has_sizes=name in WITH_SIZES):
        pass
    assert last(rivers).n_nodes > 1 or name == "river's defaults"


@pytest.mark.parametrize("name", [name for name in TREES if name not in ONLY_NUMBERS])
@given(events=EVENTS)
def test_numbers_and_texts_in_one_feature_fail_as_they_do_in_river(
    name: str, events: list[Event]
) -> None:
    """With the same error, at the same event; what is left behind then is undone by the fold."""
    fail_alike(TREES[name](), TREES[name](), events)


def test_of_two_errors_the_first_is_told() -> None:
    """Neither can the classes be sorted, nor is the text a number."""
    rivers, mine = TREES["eager"](), TREES["eager"]()
    methods: Any = quick(mine)
    for a, y in ((0.0, True), (0.0, False), (1.0, True), (0.0, False), (0.0, "x")):
        rivers.learn_one({"a": a}, y)
        methods.learn_one({"a": a}, y)

    assert told(methods.predict_proba_one, {"a": "s"}) == told(rivers.predict_proba_one, {"a": "s"})


def test_votes_are_those_of_the_very_event() -> None:
    """Another event was asked for in between, or something was learned."""
    ask_for_others(TREES["eager"](), TREES["eager"](), events_n=400)


def test_only_rivers_own_class_is_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    """And only of a river whose bits were compared."""
    assert isinstance(quicker(Tree()), FusedTree)
    for other in (tree.HoeffdingAdaptiveTreeClassifier(seed=1), tree.HoeffdingTreeRegressor()):
        assert quick(other) is other
    monkeypatch.setattr(compared, "river_version", "0.26.9")
    assert not is_fused_tree(Tree())
