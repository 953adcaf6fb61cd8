"""Neighbours, anomalies, and the baselines that every model must beat.

Costs are measured as `stream.models.linear` says; those of the anomaly detector on elec2 too.
"""

from river import anomaly, compose, dummy, neighbors, stats

from stream.models.encoders import MixedScaler, UnitScaler
from stream.models.labels import LabelCoder


def k_nearest_neighbors(
    *, n_neighbors: int = 5, window_size: int = 500, categories_max: int = 100
) -> compose.Pipeline:
    """Nearest neighbours among the last events: classes of any shape; forgets at once.

    The search is exact, over the whole window. Measured: 92 µs an event, 49 KiB; 6,282 errors in
    all of elec2.

    Args:
        n_neighbors: that vote, each by its inverse distance.
        window_size: last events that are kept; time and state grow with it.
        categories_max: values of one string feature that are told apart, first come.

    References:
        Cover, Hart, 1967. Nearest neighbor pattern classification. IEEE Trans. Inf. Theory 13.
    """
    return compose.Pipeline(
        MixedScaler(categories_max=categories_max),
        LabelCoder(
            neighbors.KNNClassifier(
                n_neighbors=n_neighbors, engine=neighbors.LazySearch(window_size=window_size)
            )
        ),
    )


def half_space_trees(
    *,
    n_models: int = 25,
    height: int = 8,
    window_size: int = 250,
    categories_max: int = 100,
    seed: int = 42,
) -> compose.Pipeline:
    """Half-space trees: anomalies without labels, where they are rare and lie apart.

    Only features of the very first event count: the trees are made of them. The score is 0 until
    the first window is full. Measured: 61 µs an event, 410 KiB, fixed from the first event on.

    Args:
        n_models: trees; time and state grow with it.
        height: the height of each tree, which has 2^(height + 1) - 1 nodes.
        window_size: events from which the reference masses are taken.
        categories_max: values of one string feature that are counted apart, first come.
        seed: seeds the choice of features and thresholds.

    References:
        Tan, Ting, Liu, 2011. Fast anomaly detection for streaming data. IJCAI.
    """
    return compose.Pipeline(
        UnitScaler(categories_max=categories_max),
        anomaly.HalfSpaceTrees(n_trees=n_models, height=height, window_size=window_size, seed=seed),
    )


def no_change() -> LabelCoder:
    """No change: predicts the previous label; the baseline that a classifier must beat.

    On elec2 it beats logistic regression (6,648 errors, not 7,371). Measured: 1 µs an event, below
    1 KiB.

    References:
        Bifet, Read, Žliobaitė, Pfahringer, Holmes, 2013. Pitfalls in benchmarking data stream
        classification and how to avoid them. ECML PKDD.
    """
    return LabelCoder(dummy.NoChangeClassifier())


def running_mean() -> dummy.StatisticRegressor:
    """Running mean: predicts the mean of all labels so far; the baseline of a regressor.

    Measured: 1 µs an event, below 1 KiB.

    References:
        Welford, 1962. Note on a method for calculating corrected sums of squares and products.
    """
    return dummy.StatisticRegressor(stats.Mean())
