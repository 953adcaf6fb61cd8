"""Estimators that fail on demand, and other trouble: an event's feature `fail` says how.

Every failure comes after the model changed itself, as river's own do: a pipeline's scaler has
learned when its last step raises.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from river import (
    base,
    drift,
    dummy,
    ensemble,
    linear_model,
    naive_bayes,
    preprocessing,
    stats,
    tree,
)


class Panic(BaseException):  # as PyO3's PanicException is
    """What a model's part in Rust raises: no `Exception`."""


class Wordless(Exception):
    """An error that fails when it is asked what is wrong."""

    def __str__(self) -> str:
        """Words that are not there."""
        raise KeyError("template")


class _Fragile:
    """What the estimators share: a count that every call moves on, and the failures."""

    def __init__(self) -> None:
        self.calls = 0.0

    def _call(self, features: dict[Any, Any], where: str, answer: Any = None) -> Any:
        """The answer, or trouble. Whatever was called before changes the next predictions."""
        self.calls += 1.0 + len(features) / 16.0
        how, _, there = str(features.get("fail", "")).partition(" in ")
        if there != where:
            return answer
        if how in _RAISED:
            kind, *words = _RAISED[how]
            raise kind(*words)
        return _WRONG[how]()


_RAISED: Mapping[str, tuple[Any, ...]] = {
    "raise": (ValueError, "learn or predict does not like\nthis event"),
    "panic": (Panic, "attempt to divide by zero"),
    "exit": (SystemExit, 0),
    "wordless": (Wordless,),
    "interrupt": (KeyboardInterrupt,),
    "memory": (MemoryError,),
    "recursion": (RecursionError, "too deep"),
    "disk": (OSError, "no space left on device"),
}
_WRONG: Mapping[str, Callable[[], Any]] = {
    "nan": lambda: math.nan,
    "infinity": lambda: np.float64(-math.inf),
    "object": object,
}


def panicking() -> base.Classifier:
    """River's own, with a detector that panics as soon as it is asked."""
    detector = drift.ADWIN(clock=0)
    return tree.HoeffdingAdaptiveTreeClassifier(drift_detector=detector, seed=1, grace_period=20)


def _numbers(features: dict[Any, Any]) -> dict[Any, float]:
    return {name: value for name, value in features.items() if not isinstance(value, str)}


class FragileClassifier(_Fragile, base.Classifier):
    """A logistic regression that is a little off for each call."""

    def __init__(self) -> None:
        super().__init__()
        self.scaler = preprocessing.StandardScaler()
        self.inner = linear_model.LogisticRegression()

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        """Numpy's floats, as some models give."""
        scaled = self.scaler.transform_one(_numbers(x))
        true = self.inner.predict_proba_one(scaled)[True] + 1e-6 * math.sin(self.calls)
        return {False: np.float64(1.0 - true), True: self._call(x, "predict", np.float64(true))}

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """The scaler has learned before anything can fail."""
        self.scaler.learn_one(_numbers(x))
        self._call(x, "learn")
        self.inner.learn_one(self.scaler.transform_one(_numbers(x)), y)


class FragileVoter(_Fragile, base.Classifier):
    """Predicts the label before, and knows no probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = None

    @property
    def _multiclass(self) -> bool:
        return True

    def predict_one(self, x: dict[Any, Any], **_: Any) -> Any:
        """The last label, in every fourth call the number of calls."""
        return self._call(x, "predict", self.last if self.calls % 4 >= 1 else str(self.calls))

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn, then fail."""
        self.last = y
        self._call(x, "learn")


class FragileRegressor(_Fragile, base.Regressor):
    """A running mean that is a little off for each call; a numpy float, as some models give."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = stats.Mean()

    def predict_one(self, x: dict[Any, Any]) -> Any:
        """The mean of the labels."""
        return self._call(x, "predict", np.float64(self.mean.get() + 1e-6 * self.calls))

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn, then fail."""
        self.mean.update(y)
        self._call(x, "learn")


class FragileDetector(_Fragile, base.AnomalyDetector):
    """The distance from a running mean, a little off for each call."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = stats.Mean()

    def score_one(self, x: dict[Any, Any]) -> Any:
        """How far the sum of the numbers is from its mean."""
        off = abs(sum(_numbers(x).values()) - self.mean.get()) + 1e-6 * self.calls
        return self._call(x, "predict", off)

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Learn, then fail."""
        self.mean.update(sum(_numbers(x).values()))
        self._call(x, "learn")


class Sharing(base.Classifier):
    """Hands out its own table of probabilities, and changes it while it learns."""

    def __init__(self) -> None:
        self.table: dict[Any, float] = {False: 0.5, True: 0.5}

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        """The table itself, not a copy."""
        del x
        return self.table

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Move towards the label."""
        del x
        self.table[True] += 0.1 * (y - self.table[True])
        self.table[False] = 1.0 - self.table[True]


class Unpicklable(base.Regressor):
    """Holds what has no name."""

    def __init__(self) -> None:
        self.function: Any = lambda features: len(features) / 2

    def predict_one(self, x: dict[Any, Any]) -> float:
        """How many features there are."""
        return float(self.function(x))

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn nothing."""


def votes() -> ensemble.VotingClassifier:
    """A classifier of river's that gives no probabilities."""
    return ensemble.VotingClassifier(
        [
            naive_bayes.GaussianNB(),
            dummy.NoChangeClassifier(),
            dummy.PriorClassifier(),
        ]
    )


_KEPT = FragileRegressor()


def always_the_same() -> FragileRegressor:
    """One object for every call."""
    return _KEPT
