"""Labels as small integers, for classifiers that keep them in sets or sort them."""

from collections.abc import Iterator
from typing import Any

from river import base, dummy


class LabelCoder(base.Wrapper[base.Classifier], base.Classifier):
    """Gives a classifier the numbers 0, 1, 2 … for labels, in the order they came.

    River's k-NN and adaptive tree iterate over a set of classes. With strings in it the order of a
    set differs between hash seeds and, for one in three, after a round trip through pickle; then
    the last digits of probabilities do too. A set of small integers has one order. And river's
    other trees sort their classes: one integer among strings, valid as it is, and each prediction
    from then on would raise.

    Args:
        classifier: any multi-class classifier.

    Raises: ValueError: it knows only true and false.
    """

    is_kept_by_asking = True  # see `stream.core.learning.asking`

    def __init__(self, classifier: base.Classifier) -> None:
        if not classifier._multiclass:  # noqa: SLF001  # river's tag
            raise ValueError(
                f"{type(classifier).__name__} knows only true and false, and no numbers"
            )
        self.classifier = classifier
        self._codes: dict[Any, int] = {}
        self._labels: list[Any] = []

    @property
    def _wrapped_model(self) -> base.Classifier:
        return self.classifier

    @property
    def _multiclass(self) -> bool:
        return True

    def learn_one(self, x: dict[Any, Any], y: Any, **kwargs: Any) -> None:
        """Teach the classifier the label's number."""
        self.classifier.learn_one(x, self.code(y), **kwargs)

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Probability by label."""
        return self.named(self.classifier.predict_proba_one(x, **kwargs))

    def code(self, label: Any) -> int:
        """The label's number; a new label gets the next one."""
        code = self._codes.get(label)
        if code is None:
            code = self._codes[label] = len(self._labels)
            self._labels.append(label)
        return code

    def named(self, probabilities: dict[Any, float]) -> dict[Any, float]:
        """Probability by label, where the classifier gave it by the labels' numbers."""
        labels = self._labels
        return {labels[int(code)]: share for code, share in probabilities.items()}

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"classifier": dummy.PriorClassifier()}
