"""Ready river pipelines, named in a configuration as `stream.models:NAME`.

Each is a function whose parameters are plain TOML values with good defaults, and returns a river
estimator that works on any valid event: numbers, strings and bools, features that come and go,
values never seen before. All are seeded and of bounded size, and a restored one goes on as if
nothing had happened.
"""

from collections.abc import Callable, Mapping
from typing import Any

from stream.models.linear import (
    linear_regression,
    logistic_regression,
    passive_aggressive,
    softmax_regression,
)
from stream.models.others import (
    half_space_trees,
    k_nearest_neighbors,
    no_change,
    running_mean,
)
from stream.models.trees import (
    adaptive_random_forest,
    adaptive_random_forest_regressor,
    hoeffding_adaptive_tree,
    hoeffding_tree,
    hoeffding_tree_regressor,
    leveraging_bagging,
    naive_bayes,
)

__all__ = [
    "adaptive_random_forest",
    "adaptive_random_forest_regressor",
    "catalogue",
    "half_space_trees",
    "hoeffding_adaptive_tree",
    "hoeffding_tree",
    "hoeffding_tree_regressor",
    "k_nearest_neighbors",
    "leveraging_bagging",
    "linear_regression",
    "logistic_regression",
    "naive_bayes",
    "no_change",
    "passive_aggressive",
    "running_mean",
    "softmax_regression",
]


def catalogue() -> Mapping[str, str]:
    """The name of each pipeline and the line that says when to choose it, classifiers first."""
    pipelines: tuple[Callable[..., Any], ...] = (
        logistic_regression,
        softmax_regression,
        passive_aggressive,
        naive_bayes,
        k_nearest_neighbors,
        hoeffding_tree,
        hoeffding_adaptive_tree,
        adaptive_random_forest,
        leveraging_bagging,
        no_change,
        linear_regression,
        hoeffding_tree_regressor,
        adaptive_random_forest_regressor,
        running_mean,
        half_space_trees,
    )
    return {each.__name__: (each.__doc__ or "").partition("\n")[0] for each in pipelines}
