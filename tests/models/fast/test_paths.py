"""Which way a model takes, and that it is said."""

from typing import Any

import pytest
from river import (
    anomaly,
    feature_extraction,
    forest,
    linear_model,
    preprocessing,
    stats,
    tree,
)

import stream.models
from stream.core import compared
from stream.models.fast import path

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
        (
            stream.models.linear_regression(),
            f"{STEPS}; nothing quicker is known for this TargetStandardScaler",
        ),
        (
            stream.models.naive_bayes(),
            f"{STEPS}; nothing quicker is known for this HoeffdingTreeClassifier",
        ),
        (
            preprocessing.MinMaxScaler() | linear_model.LogisticRegression(),
            f"{STEPS}, a linear model's descent is one loop",
        ),
        (
            feature_extraction.TargetAgg(by=["k"], how=stats.Mean())
            | linear_model.LinearRegression(),
            "its own methods: nothing quicker is known for a pipeline with TargetAgg",
        ),
        (
            anomaly.QuantileFilter(anomaly.OneClassSVM(), q=0.9)
            | linear_model.LogisticRegression(),
            "its own methods: nothing quicker is known for a pipeline with QuantileFilter",
        ),
        (
            preprocessing.StandardScaler() | linear_model.LogisticRegression(),
            f"{STEPS}, the scaler and the linear model are one loop",
        ),
        (forest.ARFClassifier(seed=1), "each tree's votes are counted once"),
        (tree.HoeffdingTreeClassifier(), "a tree's votes are counted once"),
        (
            tree.HoeffdingTreeClassifier(leaf_prediction="nb"),
            "its own methods: nothing quicker is known for this HoeffdingTreeClassifier",
        ),
    ],
    ids=range(12),
)
def test_the_path_is_said(model: Any, said: str) -> None:
    """Of the ready trees and forests, too, whose labels are coded."""
    assert path(model) == said


def test_a_river_that_was_not_compared_keeps_its_own_methods(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bits could be other ones."""
    monkeypatch.setattr(compared, "COMPARED", ())

    said = path(stream.models.hoeffding_tree())

    assert said.startswith("its own methods: river ")
    assert said.endswith(" was not compared with a quicker way")
