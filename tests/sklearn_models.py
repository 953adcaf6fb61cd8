"""Scikit-learn's models that learn event by event, in river's wrapping."""

from collections.abc import Callable
from typing import Any

from river import compat, preprocessing
from sklearn import linear_model, multiclass, naive_bayes, neural_network

CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "sgd log_loss": lambda: linear_model.SGDClassifier(loss="log_loss", random_state=1),
    "sgd hinge": lambda: linear_model.SGDClassifier(random_state=1),
    "sgd squared_error": lambda: linear_model.SGDClassifier(loss="squared_error", random_state=1),
    "sgd averaged": lambda: linear_model.SGDClassifier(
        loss="modified_huber", penalty="elasticnet", average=True, random_state=1
    ),
    "perceptron": lambda: linear_model.Perceptron(random_state=1),
    "passive aggressive": lambda: linear_model.PassiveAggressiveClassifier(random_state=1),
    "gaussian": naive_bayes.GaussianNB,
    "multinomial": naive_bayes.MultinomialNB,
    "bernoulli": naive_bayes.BernoulliNB,
    "network": lambda: neural_network.MLPClassifier(hidden_layer_sizes=5, random_state=1),
    "network by sgd": lambda: neural_network.MLPClassifier(
        hidden_layer_sizes=5, solver="sgd", random_state=1
    ),
    "one against the rest": lambda: multiclass.OneVsRestClassifier(
        linear_model.SGDClassifier(loss="log_loss", random_state=1)
    ),
}
REGRESSORS: dict[str, Callable[[], Any]] = {
    "sgd": lambda: linear_model.SGDRegressor(random_state=1),
    "sgd huber": lambda: linear_model.SGDRegressor(loss="huber", random_state=1),
    "passive aggressive": lambda: linear_model.PassiveAggressiveRegressor(random_state=1),
    "network": lambda: neural_network.MLPRegressor(hidden_layer_sizes=5, random_state=1),
}
UNSEEDED: dict[str, Callable[[], Any]] = {
    "SGDClassifier": linear_model.SGDClassifier,
    "Perceptron": lambda: linear_model.Perceptron(random_state=None),
    "MLPClassifier": neural_network.MLPClassifier,
}


def make(name: str, labels: list[Any] | None = None, *, scaled: bool = False) -> Any:
    """A pipeline; without labels it ends in a regressor."""
    found = REGRESSORS if labels is None else CLASSIFIERS | UNSEEDED
    model = compat.convert_sklearn_to_river(found[name](), classes=labels)
    return preprocessing.StandardScaler() | model if scaled else model
