"""Estimators that cannot answer yet, or answer with what is no number."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
from river import base, compose, linear_model, naive_bayes, preprocessing, stats


def ranged() -> compose.Pipeline:
    """River's own: its first answer is NaN, for a range of nothing."""
    return preprocessing.MinMaxScaler() | linear_model.LogisticRegression()


def ranged_regressor() -> compose.Pipeline:
    """The same for numbers."""
    return preprocessing.MinMaxScaler() | linear_model.LinearRegression()


class NotFittedError(ValueError):
    """As scikit-learn's."""


class Fitted(base.Classifier):
    """Raises until it has learned `least_n` events, as scikit-learn's do behind `river.compat`."""

    def __init__(self, least_n: int = 1) -> None:
        self.least_n = least_n
        self.learned_n = 0
        self.inner = naive_bayes.GaussianNB()

    @property
    def _multiclass(self) -> bool:
        return True

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        """Of the model inside."""
        if self.learned_n < self.least_n:
            raise NotFittedError(f"{self!r} at {id(self):#x} is not\nfitted yet")
        said: dict[Any, float] = self.inner.predict_proba_one(x)
        return said

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Of the model inside."""
        self.learned_n += 1
        self.inner.learn_one(x, y)


def warming_up() -> Fitted:
    """Wants ten events."""
    return Fitted(least_n=10)


class Standardised(base.Regressor):
    """Answers untrained; with one event learned, its deviation is 0 and it divides by it."""

    def __init__(self) -> None:
        self.seen = stats.Var()
        self.mean = stats.Mean()

    def predict_one(self, x: dict[Any, Any]) -> float:
        """How far off the sum of the numbers is, plus the mean of the labels."""
        if not self.seen.mean.n:
            return 0.0
        total: float = sum(x.values()) - self.seen.mean.get()
        return total / self.seen.get() + self.mean.get()

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Mean and variance."""
        self.seen.update(sum(x.values()))
        self.mean.update(y)


class LeastToGreatest(base.AnomalyDetector):
    """Where the sum of the numbers lies in their range so far, which is infinite at first."""

    def __init__(self) -> None:
        self.least, self.greatest = stats.Min(), stats.Max()

    def score_one(self, x: dict[Any, Any]) -> float:
        """From 0 to 1; NaN while there is no range."""
        least, greatest = self.least.get(), self.greatest.get()
        return float((sum(x.values()) - least) / (greatest - least or 1))

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Widen it."""
        self.least.update(sum(x.values()))
        self.greatest.update(sum(x.values()))


ODD: dict[str, Any] = {
    "nan": math.nan,
    "infinity": np.float64(-math.inf),
    "none": None,
    "text": "seven",
    "decimal": Decimal("1.5"),
    "complex": 1 + 2j,
    "huge": 2**70,
    "object": object(),
    "array": np.array([1.0, 2.0]),
    "list": [1.0],
}
"""Answers that are no number; an event's feature `odd` names one."""


class OddRegressor(base.Regressor):
    """A running mean, but for some events."""

    def __init__(self) -> None:
        self.mean = stats.Mean()

    def predict_one(self, x: dict[Any, Any]) -> Any:
        """The mean."""
        return ODD[x["odd"]] if "odd" in x else self.mean.get()

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """The mean."""
        del x
        self.mean.update(y)


class OddDetector(base.AnomalyDetector):
    """A running mean, but for some events."""

    def __init__(self) -> None:
        self.mean = stats.Mean()

    def score_one(self, x: dict[Any, Any]) -> Any:
        """The mean."""
        return ODD[x["odd"]] if "odd" in x else self.mean.get()

    def learn_one(self, x: dict[Any, Any]) -> None:
        """The mean."""
        self.mean.update(x["a"])


class OddClassifier(base.Classifier):
    """Says yes by half, but for some events: a probability is no number then."""

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> Any:
        """Of two classes; of a tuple, or a list of no classes, where it says so."""
        if x.get("odd") == "key":
            return {(1, 2): 0.5, True: 0.5}
        if x.get("odd") == "no mapping":
            return [0.5, 0.5]
        return {False: 0.5, True: ODD[x["odd"]] if "odd" in x else 0.5}

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Nothing."""


class FailsOnDemand(base.Regressor):
    """A running mean; the feature `fail` says where it fails: "nan", or "raise" when it learns."""

    def __init__(self) -> None:
        self.mean = stats.Mean()

    def predict_one(self, x: dict[Any, Any]) -> float:
        """The mean."""
        return math.nan if x.get("fail") == "nan" else self.mean.get()

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """The mean."""
        self.mean.update(y)
        if x.get("fail") == "raise":
            raise ValueError("on demand")
