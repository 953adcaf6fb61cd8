"""The numeric breaker in a fold: what looks at an event before it is learned."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from river import compose, linear_model

from stream.core.event import Feature
from stream.core.learning.answers import last_step
from stream.core.learning.learner import Learner
from stream.core.monitoring.numeric import (
    WEIGHTS_MAX,
    Breaker,
    Harm,
    harm_of_margin,
    harm_of_weights,
    no_number,
)
from stream.core.problems import Problem
from stream.core.result import NotFinite, Prediction
from stream.core.snapshots import pickling
from stream.core.stand_in import plain

Look = Callable[[Prediction, Any, dict[str, Feature], Exception | None], Harm | None]
"""Looks at an event that is about to be learned: its answer, its label, its features; and why there
was no answer."""

_SIGMOID = (linear_model.LogisticRegression, linear_model.PAClassifier)
"""Classifiers whose probability is a sigmoid of a weighted sum."""

_NEVER: Final = 1 << 62


def guard(learner: Learner, breaker: Breaker | None, problem: Problem) -> Look:
    """What looks at each event before this learner learns it.

    Args:
        learner: its model may be another one by then, of the same kind.
        breaker: what is kept of it; None: nothing is wrong, ever. One that began later than the
            model knows no label yet.
        problem: says what answers and labels are.
    """
    if breaker is None:
        return _pass
    model = plain(learner.model)
    is_linear = _linear(model) is not None
    if problem.answer == "value":
        if not breaker.label_max:
            for _, label, *_ in learner.window.pairs:
                breaker.note(label)
        return _of_values(learner, breaker, is_linear=is_linear)
    if is_linear:
        has_margin = type(last_step(model)) in _SIGMOID and _is_repeatable(model)
        return _of_classes(learner, breaker, has_margin=has_margin)

    def look(_prediction: Any, _label: Any, _features: Any, fault: Exception | None) -> Harm | None:
        return None if fault is None else _harm_of_fault(learner, fault)

    return look


def _pass(_prediction: Any, _label: Any, _features: Any, _fault: Any) -> None:
    return None


def _of_values(learner: Learner, breaker: Breaker, *, is_linear: bool) -> Look:
    """Look at a regressor's value beside all labels so far; at weights, if there are."""

    def look(
        prediction: Prediction, label: Any, _features: Any, fault: Exception | None
    ) -> Harm | None:
        value = prediction.value
        if (
            fault is None
            and -breaker.calm <= value <= breaker.calm
            and -breaker.label_max <= label <= breaker.label_max
            and learner.learned < breaker.look_at
        ):
            return None
        if fault is not None:
            return _harm_of_fault(learner, fault)
        breaker.note(label)
        harm = breaker.harm_of_value(value) if abs(value) > breaker.calm else None
        if harm is None and learner.learned >= breaker.look_at:
            if is_linear:
                return _harm_of_weights(learner, breaker)
            breaker.look_at = _NEVER
        return harm

    return look


def _of_classes(learner: Learner, breaker: Breaker, *, has_margin: bool) -> Look:
    """Look at a linear classifier's weights; where it is sure of itself, at their sum, too."""

    def look(
        prediction: Prediction, _label: Any, features: dict[str, Feature], fault: Exception | None
    ) -> Harm | None:
        if fault is not None:
            return _harm_of_fault(learner, fault)
        probabilities = prediction.probabilities
        if has_margin and probabilities and not 0 < probabilities.get(True, 0.5) < 1:
            harm = harm_of_margin(_margin(plain(learner.model), features))
            if harm is not None:
                return harm
        return _harm_of_weights(learner, breaker) if learner.learned >= breaker.look_at else None

    return look


def _harm_of_fault(learner: Learner, fault: Exception) -> Harm | None:
    """A number that is none; what has never answered may only need more events."""
    if isinstance(fault, NotFinite) and learner.is_ready:
        return no_number(str(fault), fault.value)
    return None


def _harm_of_weights(learner: Learner, breaker: Breaker) -> Harm | None:
    """Look at a linear model's weights; if they are good, as all answers were, keep a copy."""
    linear = _linear(plain(learner.model))
    weights = [] if linear is None else list(_numbers(linear.weights))
    harm = harm_of_weights(weights)
    if harm is None:
        is_kept = breaker.is_calm and len(weights) <= WEIGHTS_MAX
        breaker.looked(learner.learned, pickling.dumps(learner.model) if is_kept else None)
    return harm


def _linear(model: Any) -> Any:
    """River's linear model at the end of a model; None: there is none, or it shows no weights."""
    final = last_step(model)
    while isinstance(final, compose.TargetTransformRegressor):
        final = last_step(final.regressor)
    is_rivers = type(final).__module__.startswith("river.linear_model.")
    return final if is_rivers and isinstance(getattr(final, "weights", None), Mapping) else None


def _numbers(weights: Mapping[Any, Any]) -> Iterator[float]:
    for each in weights.values():
        if isinstance(each, Mapping):
            yield from _numbers(each)
        else:
            yield each


def _is_repeatable(model: Any) -> bool:
    """Whether a model's steps, asked a second time the same, stay as they are: river's and ours."""
    if isinstance(model, compose.Pipeline):
        return all(map(_is_repeatable, model.steps.values()))
    if isinstance(model, compose.TransformerUnion):
        return all(map(_is_repeatable, model.transformers.values()))
    is_known = type(model).__module__.startswith(("river.", "stream."))
    return is_known and not isinstance(model, compose.FuncTransformer)


def _margin(model: Any, features: dict[str, Any]) -> float:
    """The weighted sum that a linear classifier takes the sigmoid of."""
    while isinstance(model, compose.Pipeline):
        *transformers, model = model.steps.values()
        for each in transformers:
            features = each.transform_one(features)
    weights = model.weights
    return float(sum(weights.get(n, 0.0) * each for n, each in features.items()) + model.intercept)
