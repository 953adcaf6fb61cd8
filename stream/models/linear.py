"""Linear models: a few microseconds an event, and a state of a few KiB.

Costs are measured on one core of a Xeon (model 207, Python 3.11), one prediction and one step of
learning: classifiers on 20,000 events of elec2 (8 numbers), regressors on all 17,379 of
bike_sharing_hour (12 numbers). KiB are those of the pickled model at the end.
"""

from typing import cast

from river import base, compose, linear_model, optim, preprocessing

from stream.models.encoders import MixedScaler, NormLimiter


def logistic_regression(
    *, learning_rate: float = 0.01, l2: float = 0.0, categories_max: int = 100
) -> compose.Pipeline:
    """Logistic regression: the first choice for true or false; fast, small, and it follows drift.

    On numbers it gives, bit for bit, what `StandardScaler() | LogisticRegression()` gives.
    Measured: 5 µs an event where all bring the same features (that pipeline: 13), 1 KiB;
    7,371 errors in all of elec2, 6,648 for `no_change`.

    Args:
        learning_rate: step of the gradient descent, for weights and intercept.
        l2: strength of the penalty that pulls weights towards 0.
        categories_max: values of one string feature that are told apart, first come.

    References:
        Bottou, 2010. Large-scale machine learning with stochastic gradient descent. COMPSTAT.
    """
    return compose.Pipeline(
        MixedScaler(categories_max=categories_max),
        linear_model.LogisticRegression(
            optimizer=optim.SGD(learning_rate), intercept_lr=learning_rate, l2=l2
        ),
    )


def softmax_regression(
    *, learning_rate: float = 0.01, l2: float = 0.0, categories_max: int = 100
) -> compose.Pipeline:
    """Softmax regression: logistic regression for any number of classes, with any labels.

    River's has no intercept; a feature that is always 1 stands in for it. Weights are kept for each
    class ever seen. Measured: 25 µs an event, 2 KiB with two classes and more with more; 6,553
    errors in all of elec2.

    Args:
        learning_rate: step of the gradient descent.
        l2: strength of the penalty that pulls weights towards 0.
        categories_max: values of one string feature that are told apart, first come.

    References:
        Bishop, 2006. Pattern recognition and machine learning, section 4.3.4.
    """
    return compose.Pipeline(
        MixedScaler(categories_max=categories_max, constant=True),
        linear_model.SoftmaxRegression(optimizer=optim.SGD(learning_rate), l2=l2),
    )


def passive_aggressive(
    *, aggressiveness: float = 0.01, categories_max: int = 100
) -> compose.Pipeline:
    """Passive-aggressive classifier: true or false without a learning rate; quick after a drift.

    It moves only when an event lies inside of the margin, and then as far as it must. Its
    probabilities are a sigmoid of the margin, not calibrated. Measured: 14 µs an event, 1 KiB;
    6,341 errors in all of elec2.

    Args:
        aggressiveness: the longest step (C in the paper); smaller is calmer on noisy labels.
        categories_max: values of one string feature that are told apart, first come.

    References:
        Crammer, Dekel, Keshet, Shalev-Shwartz, Singer, 2006. Online passive-aggressive algorithms.
        JMLR 7 (the variant PA-I).
    """
    return compose.Pipeline(
        MixedScaler(categories_max=categories_max),
        linear_model.PAClassifier(C=aggressiveness, mode=1),
    )


def linear_regression(
    *, learning_rate: float = 0.03, l2: float = 0.0, categories_max: int = 100
) -> compose.Pipeline:
    """Linear regression: the first choice for numbers; it does not diverge, river's own can.

    The target is scaled too, scaled features are kept within 5 deviations, and an event's whole
    vector is so short that no step overshoots (as normalised least mean squares does).
    Measured: 22 µs an event, 2 KiB; mean absolute error 81.6, 131.8 for `running_mean`.

    Args:
        learning_rate: step of the gradient descent, on the scaled target; at most 0.5.
        l2: strength of the penalty that pulls weights towards 0.
        categories_max: values of one string feature that are told apart, first come.

    References:
        Ross, Mineiro, Langford, 2013. Normalized online learning. UAI.
    """
    return compose.Pipeline(
        MixedScaler(categories_max=categories_max, clip=5.0),
        bounded_linear(learning_rate=learning_rate, l2=l2),
    )


def bounded_linear(*, learning_rate: float, l2: float = 0.0) -> base.Regressor:
    """A linear regressor on scaled features that cannot diverge (also in the leaves of trees)."""
    # River's squared loss has the gradient 2 (p - y): one step removes 2 * rate * norm² of the
    # error. At a norm² of 0.5 / rate that is all of it; from twice that on, steps diverge.
    pipeline = compose.Pipeline(
        NormLimiter(norm_max=(0.5 / learning_rate) ** 0.5),
        preprocessing.TargetStandardScaler(
            linear_model.LinearRegression(
                optimizer=optim.SGD(learning_rate), intercept_lr=learning_rate, l2=l2
            )
        ),
    )
    return cast("base.Regressor", pipeline)  # to river, a pipeline is what its last step is
