"""A model that costs next to nothing, remembers everything, and can be made to fail."""

from collections.abc import Hashable
from math import nan
from typing import Any

from river import base, linear_model, optim

BOMB = "bomb"
"""The feature that makes the model raise; its value says where."""


WILD = 9e14
"""A number just within the limits: no weight that learned it is one to keep."""


def steep() -> linear_model.LogisticRegression:
    """River's, with steps so long that one wild number bursts a weight; a bomb always raises."""
    return linear_model.LogisticRegression(optimizer=optim.SGD(10.0))


def is_of_bomb(error: Exception) -> bool:
    """Whether that is what river raises on a bomb, for its value is a word."""
    return isinstance(error, TypeError) and "VectorDict values" in str(error)


class Brittle(base.Classifier):
    """A linear model in plain Python: each answer depends on every event before it.

    The bomb `"predict"` raises before predicting, `"learn"` half way through learning, which leaves
    some weights changed; whoever learns from `"predict"` in spite of it finds the latter, too.
    `"gap"` raises before predicting only, `"nan"` answers with no number, and both can be learned.
    `"memory"` is the process's failure, not the event's.
    """

    def __init__(self, rate: float = 0.5) -> None:
        self.rate = rate
        self.weights: dict[Hashable, float] = {}
        self.bias = 0.0

    def predict_proba_one(
        self, x: dict[Hashable, Any], **_kwargs: Any
    ) -> dict[bool | str | int, float]:
        """P(false) and P(true)."""
        bomb = x.get(BOMB)
        if bomb in ("predict", "gap"):
            raise ArithmeticError("this event cannot be predicted")
        if bomb == "nan":
            return {False: nan, True: nan}
        chance = self._chance(x)
        return {False: 1.0 - chance, True: chance}

    def _chance(self, x: dict[Hashable, Any]) -> float:
        total, weights = self.bias, self.weights
        for name, value in x.items():
            if name in weights:
                total += weights[name] * value
        return 0.5 + 0.5 * total / (1.0 + abs(total))  # as good as a logistic one, and cheaper

    def learn_one(self, x: dict[Hashable, Any], y: bool | str | int) -> None:
        """One step of gradient descent."""
        bomb = x.get(BOMB)
        if bomb == "memory":
            raise MemoryError
        step = self.rate * (bool(y) - self._chance(x))
        self.bias += step
        weights = self.weights
        for name, value in x.items():
            if name == BOMB:
                if bomb in ("gap", "nan"):
                    continue
                raise ValueError("this event cannot be learned")
            weights[name] = weights.get(name, 0.0) + step * value
