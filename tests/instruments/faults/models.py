"""The models of the faulted pipelines: plain river, and the ways in which a model can misbehave."""

import random
import time
from typing import Any

from river import base, drift, forest, linear_model, preprocessing

from tests.instruments.faults import clocks, hooks


class Brittle(base.Classifier):
    """Learns from a poisoned event, and then raises: the state is half changed.

    Args:
        step_ms: how long each learning step takes.
        slow_ms: how long that of an event with the feature `slow` takes.
    """

    def __init__(self, step_ms: float = 0.0, slow_ms: float = 0.0) -> None:
        self.step_ms = step_ms
        self.slow_ms = slow_ms
        self.model = preprocessing.StandardScaler() | linear_model.LogisticRegression()

    @property
    def _multiclass(self) -> bool:
        return False

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        """River's."""
        answer: dict[Any, float] = self.model.predict_proba_one(_numbers(x))
        return answer

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """River's."""
        wait_ms = self.slow_ms if "slow" in x else self.step_ms
        if wait_ms:
            time.sleep(wait_ms / 1000)
        self.model.learn_one(_numbers(x), y)
        if "poison" in x:
            raise ValueError("poison")


def _numbers(x: dict[Any, Any]) -> dict[Any, Any]:
    return {k: v for k, v in x.items() if k not in {"poison", "slow"}}


def logistic(*, rate: float = 0.01) -> Any:
    """Logistic regression on scaled features, and whatever `FAULTS` asks for."""
    from river import optim  # noqa: PLC0415

    hooks.install()
    clocks.install()
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(rate))


def brittle(*, step_ms: float = 0.0, slow_ms: float = 0.0) -> Any:
    """See `Brittle`."""
    hooks.install()
    return Brittle(step_ms=step_ms, slow_ms=slow_ms)


def unseeded() -> Any:
    """A forest whose answers nobody can repeat."""
    return forest.ARFClassifier(n_models=3)


def adaptive_forest(*, n_models: int = 10, max_depth: int = 10) -> Any:
    """A seeded adaptive random forest that keeps its trees over the stream's drifts, and is large.

    Its detectors look at every event and do not alarm: trees begun anew every 1,500 events would
    stay small.
    """
    hooks.install()
    return forest.ARFClassifier(
        n_models=n_models, max_depth=max_depth, seed=random.Random(7).randrange(1 << 30),
        drift_detector=drift.ADWIN(delta=1e-300), warning_detector=drift.ADWIN(delta=1e-300),
    )  # fmt: skip
