"""river's linear models behind a scaler, on events that bring the same features each time.

Most streams do: the same names in the same order. After some such events means, variances and
weights move from river's dictionaries into a `row`, whose arithmetic is river's, in river's order.
Whoever wants to see the model calls `write_back` first, as `Quick.model` does. Any other event (a
name that is new or missing, a new word) writes them back too, and goes through both steps; so does
each event of a stream that never agrees. Which way an event goes changes no bit.

Measured: nine numbers, predicting and learning, 5 us an event; step by step 10, river's own 14.
"""

from itertools import product
from typing import Any, Protocol

from stream.core.learning.asking import brings
from stream.models.fast import linear, row

Features = dict[str, Any]

SAME_N = 64
"""Events in turn with the same names, before their values move into a row."""

_NOT_OF_A_ROW = (TypeError, OverflowError, KeyError)
"""A number where a word was, or the other way round; one beyond floats; a word not known yet."""


class Scaler(Protocol):
    """What a transformer brings that scales numbers to mean 0 and variance 1, as river's does.

    It refuses strings, or turns each into a column of its own, which is 1.0.
    """

    @property
    def scales_plainly(self) -> bool:
        """Whether the transformer only scales, and does nothing else to an event."""

    def moments(self, name: str) -> tuple[int, float, float]:
        """How often a number was learned, its mean and its variance."""

    def keep_moments(self, name: str, n: int, mean: float, variance: float) -> None:
        """Take over how often `name` was learned, its mean and variance; it is known already."""

    def columns(self, name: str) -> tuple[dict[str, str], str | None]:
        """The column of each known string, and that of all others; None: another would be new."""


def is_fused_linear(scaler: Any, last: Any) -> bool:
    """Whether `FusedLinear` is for these last two steps of a pipeline."""
    return _scaler(scaler) is not None and linear.is_plain_linear(last)


class FusedLinear:
    """The methods of a pipeline's last two steps that a fold needs.

    Args:
        scaler: a `preprocessing.StandardScaler`, or a transformer that is a `Scaler`.
        model: a linear model that learns by plain gradient descent.
    """

    path = "the scaler and the linear model are one loop"

    def __init__(self, scaler: Any, model: Any) -> None:
        known = _scaler(scaler)
        assert known is not None, "is_fused_linear was asked"  # noqa: S101
        self._scaler, self._model = known, model
        self._transform = scaler.transform_one
        self._learn_and_transform = linear.learn_and_transform(scaler)
        self._learn_scaled = linear.learner(model)
        self._mean_of, self._descend = linear.mean_func(model.loss), linear.descent(model)
        self._names: list[str] | None = None  # of the row, while there is one
        self._numbers: list[str] = []
        self._row: row.Row
        self._asked: Features | None = None  # it fits the row, and nothing was learned since
        self._last_names: list[str] = []
        self._same_n = 0
        is_classifier = hasattr(model, "predict_proba_one")
        self.predict_proba_one = self._probabilities if is_classifier else None
        self.predict_one = None if is_classifier else self._mean

    def _probabilities(self, features: Features) -> dict[bool, float]:
        """Do what `LogisticRegression.predict_proba_one` does."""
        p = self._mean(features)
        return {False: 1.0 - p, True: p}

    def _mean(self, features: Features) -> float:
        """Do what `LinearRegression.predict_one` does."""
        if list(features) == self._names:
            try:
                dot = self._row.dot(*features.values())
            except _NOT_OF_A_ROW:
                self._leave()
            else:
                self._asked = features
                return self._mean_of(dot + self._model.intercept)
        elif self._names is not None:
            self._leave()
        scaled = self._transform(features)
        return self._mean_of(self._model._raw_dot_one(scaled))

    def learn_one(self, features: Features, label: Any) -> None:
        """Do what `learn_one` of both steps does."""
        if features is self._asked:
            self._asked = None
            dot = self._row.learn_asked(*features.values())
        elif list(features) == self._names:
            try:
                dot = self._row.learn(*features.values())
            except _NOT_OF_A_ROW:
                self._learn_apart(features, label)
                return
        else:
            self._learn_apart(features, label)
            return
        self._row.descend(*self._descend(label, dot))

    def write_back(self) -> None:
        """Write what the row knows back into the model and its scaler."""
        if self._names is None:
            return
        known, weights = self._row.values(), self._model._weights
        numbers = zip(known.counts, known.means, known.variances, known.weights, strict=True)
        for name, (n, mean, variance, weight) in zip(self._numbers, numbers, strict=True):
            self._scaler.keep_moments(name, n, mean, variance)
            weights[name] = weight
        for column, weight in known.columns.items():
            weights[column] = weight

    def _learn_apart(self, features: Features, label: Any) -> None:
        """Learn step by step; once enough events in turn have the same names, go over to a row."""
        self._leave()
        scaled = self._learn_and_transform(features)
        self._learn_scaled(scaled, label)
        names = list(features)
        self._same_n = self._same_n + 1 if names == self._last_names else 0
        self._last_names = names
        if self._same_n >= SAME_N and len(names) <= row.WIDTH_MAX:
            self._enter(features)

    def _enter(self, features: Features) -> None:
        """Move what is known of these features into a row, unless they do not fit one."""
        self._same_n = 0
        words = [name for name, value in features.items() if type(value) is str]
        numbers = [name for name in features if name not in words]
        if not numbers or _may_collide(words, list(features)):
            return
        known, weights = self._scaler, self._model._weights
        counts, means, variances = zip(*map(known.moments, numbers), strict=True)
        told_apart = [_Words(known.columns(word), weights) for word in words]
        columns = {column for word in told_apart for column in word.all_columns()}
        self._row = row.make(
            "".join(row.WORD if name in words else row.NUMBER for name in features),
            row.Values(
                counts, means, variances, [weights[name] for name in numbers], told_apart,
                {column: weights[column] for column in columns},
            ),
            l2=self._model.l2,
        )  # fmt: skip
        self._names, self._numbers = list(features), numbers

    def _leave(self) -> None:
        self.write_back()
        self._names = self._asked = None


class _Words(dict[str, str]):
    """The columns of a feature's strings that have a weight.

    Args:
        columns: what `Scaler.columns` gives.
        weights: the weight of each column.
    """

    def __init__(self, columns: tuple[dict[str, str], str | None], weights: Any) -> None:
        known, other = columns
        super().__init__((word, column) for word, column in known.items() if column in weights)
        # Of a scaler that had learned before: a word without a weight is none of the others.
        is_whole = len(self) == len(known)
        self._other = other if is_whole and other is not None and other in weights else None

    def __missing__(self, word: object) -> str:
        if self._other is None or type(word) is not str:
            raise KeyError(word)
        return self._other

    def all_columns(self) -> list[str]:
        """All columns that a string of this feature can have, each once."""
        return [*self.values(), *([] if self._other is None else [self._other])]


def _may_collide(words: list[str], names: list[str]) -> bool:
    """Whether a column of a word may be called as something else is."""
    return any(name.startswith((f"{word}=", f"{word}≠")) for word, name in product(words, names))


class _Standard:
    """River's `StandardScaler`; it refuses strings."""

    scales_plainly = True

    def __init__(self, scaler: Any) -> None:
        self._scaler = scaler

    def moments(self, name: str) -> tuple[int, float, float]:
        scaler = self._scaler
        return scaler.counts[name], scaler.means[name], scaler.vars[name]

    def keep_moments(self, name: str, n: int, mean: float, variance: float) -> None:
        scaler = self._scaler
        scaler.counts[name], scaler.means[name], scaler.vars[name] = n, mean, variance

    def columns(self, name: str) -> tuple[dict[str, str], str | None]:
        raise TypeError(name)


def _scaler(step: Any) -> Scaler | None:
    if linear.is_plain_scaler(step):
        return _Standard(step)
    return step if brings(step, "scales_plainly") and step.scales_plainly else None
