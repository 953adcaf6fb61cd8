"""What binary, multiclass, regression and anomaly models differ in; nobody else asks for the kind.

A problem says which labels fit, what an answer is worth, what a detector is told, and which score
is shown beside which baseline.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stream.core import scores
from stream.core.event import Kind
from stream.core.result import Prediction
from stream.core.spec import EventShape

Answer = Literal["class", "value", "score"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of problem.

    Attributes:
        kind: its name.
        answer: what a model is asked for: a class, with probabilities if it knows them; a value;
            or a score, which needs no label.
        labels: the JSON types that a label may have.
        needs: what the message about any other label says.
        has_positive: `events.positive` makes its labels true and false.
        names_classes: its labels name classes that nobody knows before they come.
        error: of a prediction's value and a label, for the detectors; None: nothing is ever wrong.
        error_is_share: an error is 0 or 1, so that its mean is a share.
        signal: what detectors on "prediction" are told; None: of this answer nothing.
        score: of what `scores.Window` holds, in stream order; None: there is none.
    """

    kind: Kind
    answer: Answer
    labels: tuple[type, ...]
    needs: str
    has_positive: bool
    names_classes: bool
    error: Callable[[Any, Any], float] | None
    error_is_share: bool
    signal: Callable[[Prediction], float | None]
    score: Callable[[Sequence[tuple[Any, ...]]], scores.Score | None]

    @property
    def is_supervised(self) -> bool:
        """Whether it learns from labels."""
        return self.error is not None


def _is_wrong(predicted: Any, label: Any) -> float:
    return 0.0 if predicted == label else 1.0


def _distance(predicted: Any, label: Any) -> float:
    """How far a value is off; no answer counts as 0."""
    return abs((predicted or 0.0) - label)  # type: ignore[no-any-return]  # both are numbers


def _chance_of_true(prediction: Prediction) -> float | None:
    """P(true); None where the classes are others, or there are no probabilities."""
    probabilities = prediction.probabilities
    if not probabilities:
        return None
    chance = probabilities.get(True)
    if chance.__class__ is float:  # nearly always; so it takes half as long
        return chance
    if chance is not None:
        return float(chance)  # numpy's are no floats to the detectors
    return 0.0 if False in probabilities else None


def _value_of(prediction: Prediction) -> float | None:
    return prediction.value  # type: ignore[no-any-return]  # a number, or None


def _score_of(prediction: Prediction) -> float | None:
    return prediction.score


BINARY = Problem(
    Kind.BINARY,
    answer="class",
    labels=(bool,),
    needs="this model knows true and false (events.positive names another value)",
    has_positive=True,
    names_classes=False,
    error=_is_wrong,
    error_is_share=True,
    signal=_chance_of_true,
    score=scores.accuracy,
)
MULTICLASS = Problem(
    Kind.MULTICLASS,
    answer="class",
    labels=(bool, int, str),
    needs="a class is a string, bool or integer",
    has_positive=True,
    names_classes=True,
    error=_is_wrong,
    error_is_share=True,
    signal=_chance_of_true,
    score=scores.accuracy,
)
REGRESSION = Problem(
    Kind.REGRESSION,
    answer="value",
    labels=(int, float),
    needs="a regressor needs a number",
    has_positive=False,
    names_classes=False,
    error=_distance,
    error_is_share=False,
    signal=_value_of,
    score=scores.mean_error,
)
ANOMALY = Problem(
    Kind.ANOMALY,
    answer="score",
    labels=(bool, int, float, str),
    needs="",
    has_positive=False,
    names_classes=False,
    error=None,
    error_is_share=False,
    signal=_score_of,
    score=scores.none,
)

PROBLEMS: Mapping[Kind, Problem] = {
    each.kind: each for each in (BINARY, MULTICLASS, REGRESSION, ANOMALY)
}


def has_positive(kind: Kind, shape: EventShape) -> bool:
    """Whether an upstream's labels become true or false (`events.positive`)."""
    return shape.positive is not None and PROBLEMS[kind].has_positive


def label_types(kind: Kind, shape: EventShape) -> tuple[type, ...]:
    """The JSON types that a label may have in this pipeline."""
    return ANOMALY.labels if has_positive(kind, shape) else PROBLEMS[kind].labels
