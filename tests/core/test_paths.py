"""Which way a model takes, and that it is said."""

from typing import Any

import pytest
from river import forest, linear_model, preprocessing, tree

import stream.models
from stream.core import fused
from stream.core.unrolled import path

STEPS = "the pipeline's steps are called directly"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (stream.models.hoeffding_tree(), f"{STEPS}, a tree's votes are counted once"),
        (stream.models.adaptive_random_forest(), f"{STEPS}, each tree's votes are counted once"),
        (
            stream.models.logistic_regression(),
            f"{STEPS}, the scaler and the linear model are one loop",
        ),
        (stream.models.naive_bayes(), STEPS),
        (
            preprocessing.StandardScaler() | linear_model.LogisticRegression(),
            f"{STEPS}, the scaler and the linear model are one loop",
        ),
        (forest.ARFClassifier(seed=1), "each tree's votes are counted once"),
        (tree.HoeffdingTreeClassifier(), "a tree's votes are counted once"),
        (
            tree.HoeffdingTreeClassifier(leaf_prediction="nb"),
            "river's own methods: nothing quicker is known for HoeffdingTreeClassifier",
        ),
    ],
    ids=range(8),
)
def test_the_path_is_said(model: Any, said: str) -> None:
    """Of the ready trees and forests, too, whose labels are coded."""
    assert path(model) == said


def test_a_river_that_was_not_compared_keeps_its_own_methods(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bits could be other ones."""
    monkeypatch.setattr(fused, "COMPARED", ())

    said = path(stream.models.hoeffding_tree())

    assert said.startswith("river's own methods: river ")
    assert said.endswith(" was not compared with a quicker way")
