"""Hoeffding trees and their ensembles: no scaling, nominal features, interactions.

All of them are bounded by structure, not by river's `max_size`: that one compares estimates of
`sys.getsizeof`, which are others after a round trip through pickle, so a restored model could
prune where the live one did not. Instead, splits are binary and the depth is limited: at most
2^max_depth leaves, and the deepest keep class counts only. (Binary splits of nominal features
also cost less than a leaf for each value: 0.3 instead of 21 MiB after 30,000 airline events,
with fewer errors.)

Regression trees observe features through `QOSplitter`, on scaled numbers: river's default splitter
is a binary search tree without balance, and one feature that only rises, such as a counter or a
time, makes it too deep to be pickled.

Costs are measured as `stream.models.linear` says.
"""

from typing import Any

from river import compose, ensemble, forest, tree

from stream.models.encoders import MixedScaler
from stream.models.labels import LabelCoder
from stream.models.linear import bounded_linear
from stream.models.nominal import NominalCoder, NominalNames

_NAMES_MAX = 1000
"""Each leaf of each tree keeps something of every name: ten thousand of them took leveraging
bagging 1 GB, and 308 ms an event."""

_NEVER = 2**62  # as a period: river does not compare sizes


def _bounds(max_depth: int) -> dict[str, Any]:
    return {
        "max_depth": max_depth,
        "binary_split": True,
        "memory_estimate_period": _NEVER,
        "nominal_attributes": NominalNames(),
    }


def naive_bayes(*, categories_max: int = 100, names_max: int = _NAMES_MAX) -> compose.Pipeline:
    """Naive Bayes: classes from numbers and strings after a handful of events; no tuning at all.

    It never forgets, so drift hurts it. It is a Hoeffding tree that never splits: in river only
    a tree's leaf knows both normal distributions for numbers and counts for strings.
    Measured: 23 µs an event, 3 KiB; 12,095 errors in all of elec2.

    Args:
        categories_max: values of one string feature that are told apart, first come.
        names_max: features that it learns from, by name, first come; any others are left out.

    References:
        Hand, Yu, 2001. Idiot's Bayes: not so stupid after all? International Statistical Review 69.
    """
    return compose.Pipeline(
        NominalCoder(categories_max=categories_max, names_max=names_max),
        LabelCoder(
            tree.HoeffdingTreeClassifier(grace_period=_NEVER, leaf_prediction="nb", **_bounds(1))
        ),
    )


def hoeffding_tree(
    *,
    grace_period: int = 200,
    delta: float = 1e-7,
    max_depth: int = 12,
    categories_max: int = 100,
    names_max: int = _NAMES_MAX,
) -> compose.Pipeline:
    """Hoeffding tree: classes that depend on combinations of features, in a stable world.

    It never takes a split back; where the world drifts take `hoeffding_adaptive_tree`.
    Measured: 46 µs an event, 38 KiB; 9,131 errors in all of elec2.

    Args:
        grace_period: events that a leaf sees between two attempts to split.
        delta: chance of a wrong split; smaller waits longer.
        max_depth: at most 2^max_depth leaves.
        categories_max: values of one string feature that are told apart, first come.
        names_max: features that it learns from, by name, first come; any others are left out.

    References:
        Domingos, Hulten, 2000. Mining high-speed data streams. KDD.
    """
    return compose.Pipeline(
        NominalCoder(categories_max=categories_max, names_max=names_max),
        LabelCoder(
            tree.HoeffdingTreeClassifier(
                grace_period=grace_period, delta=delta, **_bounds(max_depth)
            )
        ),
    )


def hoeffding_adaptive_tree(
    *,
    grace_period: int = 200,
    delta: float = 1e-7,
    max_depth: int = 12,
    categories_max: int = 100,
    names_max: int = _NAMES_MAX,
    seed: int = 42,
) -> compose.Pipeline:
    """Hoeffding adaptive tree: one tree that replaces branches which drift has made worse.

    Measured: 112 µs an event, 22 KiB; 7,618 errors in all of elec2.

    Args:
        grace_period: events that a leaf sees between two attempts to split.
        delta: chance of a wrong split; smaller waits longer.
        max_depth: at most 2^max_depth leaves, and as many in branches on trial.
        categories_max: values of one string feature that are told apart, first come.
        names_max: features that it learns from, by name, first come; any others are left out.
        seed: seeds the bootstrap sampling.

    References:
        Bifet, Gavaldà, 2009. Adaptive learning from evolving data streams. IDA.
    """
    return compose.Pipeline(
        NominalCoder(categories_max=categories_max, names_max=names_max),
        LabelCoder(
            tree.HoeffdingAdaptiveTreeClassifier(
                grace_period=grace_period, delta=delta, seed=seed, **_bounds(max_depth)
            )
        ),
    )


def adaptive_random_forest(
    *,
    n_models: int = 10,
    grace_period: int = 50,
    max_depth: int = 12,
    categories_max: int = 100,
    names_max: int = _NAMES_MAX,
    seed: int = 42,
) -> compose.Pipeline:
    """Adaptive random forest: the strong classifier for drifting streams, if a millisecond is fine.

    Measured: 0.8 ms an event, 336 KiB; 5,155 errors in all of elec2.

    Args:
        n_models: trees; time and state grow with it.
        grace_period: events that a leaf sees between two attempts to split.
        max_depth: at most 2^max_depth leaves a tree, and as many in a tree on trial.
        categories_max: values of one string feature that are told apart, first come.
        names_max: features that it learns from, by name, first come; any others are left out.
        seed: seeds the bootstrap sampling and the choice of features.

    References:
        Gomes et al., 2017. Adaptive random forests for evolving data stream classification.
        Machine Learning 106.
    """
    return compose.Pipeline(
        NominalCoder(categories_max=categories_max, names_max=names_max),
        LabelCoder(
            forest.ARFClassifier(
                n_models=n_models, grace_period=grace_period, seed=seed, **_bounds(max_depth)
            )
        ),
    )


def leveraging_bagging(
    *,
    n_models: int = 10,
    grace_period: int = 200,
    max_depth: int = 12,
    categories_max: int = 100,
    names_max: int = _NAMES_MAX,
    seed: int = 42,
) -> compose.Pipeline:
    """Leveraging bagging of Hoeffding trees: often the most accurate here, and the slowest.

    Each tree learns an event six times on average; after a drift the worst tree is replaced.
    Measured: 1.9 ms an event, 180 KiB; 4,744 errors in all of elec2.

    Args:
        n_models: trees; time and state grow with it.
        grace_period: events that a leaf sees between two attempts to split.
        max_depth: at most 2^max_depth leaves a tree.
        categories_max: values of one string feature that are told apart, first come.
        names_max: features that it learns from, by name, first come; any others are left out.
        seed: seeds the bootstrap sampling.

    References:
        Bifet, Holmes, Pfahringer, 2010. Leveraging bagging for evolving data streams. ECML PKDD.
    """
    return compose.Pipeline(
        NominalCoder(categories_max=categories_max, names_max=names_max),
        LabelCoder(
            ensemble.LeveragingBaggingClassifier(
                tree.HoeffdingTreeClassifier(grace_period=grace_period, **_bounds(max_depth)),
                n_models=n_models,
                seed=seed,
            )
        ),
    )


def hoeffding_tree_regressor(
    *,
    grace_period: int = 50,
    delta: float = 0.01,
    max_depth: int = 10,
    learning_rate: float = 0.03,
    categories_max: int = 100,
    names_max: int = _NAMES_MAX,
) -> compose.Pipeline:
    """Hoeffding tree regressor: numbers that depend on combinations; linear models in its leaves.

    A leaf predicts its mean or its linear model, whichever was better of late.
    Measured: 84 µs an event, 788 KiB; mean absolute error 55.3, 131.8 for `running_mean`.

    Args:
        grace_period: events that a leaf sees between two attempts to split.
        delta: chance of a wrong split; smaller waits longer.
        max_depth: at most 2^max_depth leaves.
        learning_rate: the step of the linear models in the leaves.
        categories_max: values of one string feature that are told apart, first come.
        names_max: features that it learns from, by name, first come; any others are left out.

    References:
        Ikonomovska, Gama, Džeroski, 2011. Learning model trees from evolving data streams.
        Data Mining and Knowledge Discovery 23. Mastelini, de Carvalho, 2021. Using dynamical
        quantization to perform split attempts in online tree regressors.
    """
    return compose.Pipeline(
        MixedScaler(categories_max=categories_max, clip=_CLIP, nominal=True, names_max=names_max),
        tree.HoeffdingTreeRegressor(
            grace_period=grace_period,
            delta=delta,
            leaf_model=bounded_linear(learning_rate=learning_rate),
            splitter=tree.splitter.QOSplitter(radius=_RADIUS),
            **_bounds(max_depth),
        ),
    )


def adaptive_random_forest_regressor(
    *,
    n_models: int = 5,
    grace_period: int = 50,
    max_depth: int = 10,
    learning_rate: float = 0.03,
    categories_max: int = 100,
    names_max: int = _NAMES_MAX,
    seed: int = 42,
) -> compose.Pipeline:
    """Adaptive random forest regressor: numbers from drifting streams, where one tree fails.

    Try `hoeffding_tree_regressor` first: on bike_sharing_hour it is as good and much cheaper.
    Measured: 465 µs an event, 4.3 MiB; mean absolute error 60.0.

    Args:
        n_models: trees; time and state grow with it.
        grace_period: events that a leaf sees between two attempts to split.
        max_depth: at most 2^max_depth leaves a tree, and as many in a tree on trial.
        learning_rate: the step of the linear models in the leaves.
        categories_max: values of one string feature that are told apart, first come.
        names_max: features that it learns from, by name, first come; any others are left out.
        seed: seeds the bootstrap sampling and the choice of features.

    References:
        Gomes, Barddal, Boiko Ferreira, Bifet, 2018. Adaptive random forests for data stream
        regression. ESANN.
    """
    return compose.Pipeline(
        MixedScaler(categories_max=categories_max, clip=_CLIP, nominal=True, names_max=names_max),
        forest.ARFRegressor(
            n_models=n_models,
            max_features=0.7,
            # River's 6 repeats each event as often in the leaves' linear models: five times the
            # time, and no fewer errors on bike_sharing_hour.
            lambda_value=1,
            grace_period=grace_period,
            leaf_model=bounded_linear(learning_rate=learning_rate),
            splitter=tree.splitter.QOSplitter(radius=_RADIUS),
            seed=seed,
            **_bounds(max_depth),
        ),
    )


_CLIP = 5.0  # deviations
_RADIUS = 0.1  # deviations to a bin: at most 100 bins of a feature in a leaf
