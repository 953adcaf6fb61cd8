"""A `LabelCoder` around a classifier that is quicker than river's own."""

from collections.abc import Callable
from typing import Any

from stream.models.labels import LabelCoder


class Coded:
    """The methods of a coder that a fold calls.

    Args:
        coder: gives labels their numbers.
        classifier: does, quicker, what the coder's classifier does.
        write_back: that of `classifier`.
    """

    def __init__(
        self, coder: LabelCoder, classifier: Any, *, write_back: Callable[[], None]
    ) -> None:
        code, named = coder.code, coder.named
        ask, teach = classifier.predict_proba_one, classifier.learn_one

        def learn_one(features: dict[str, Any], label: Any) -> None:
            teach(features, code(label))

        def predict_proba_one(features: dict[str, Any]) -> dict[Any, float]:
            return named(ask(features))

        self.learn_one, self.predict_proba_one = learn_one, predict_proba_one
        self.write_back = write_back
        self.path = classifier.path
