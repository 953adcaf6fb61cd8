"""What a model answers to an event: asked in its own way, and made something that can be published.

A model that gives NaN, or no number where one is needed, has not answered: that is its state's gap,
and the event is learned all the same. What a model's own code raises passes through here.
"""

from collections.abc import Callable, Mapping
from math import inf, isfinite
from typing import Any, NamedTuple

import numpy as np
from river import base, compose

from stream.core.event import Feature, Kind
from stream.core.problems import PROBLEMS
from stream.core.result import NoAnswer, NotFinite, Prediction
from stream.core.stand_in import plain


class Answering(NamedTuple):
    """How a model is asked, and what becomes of its answer.

    Attributes:
        ask: calls the model, and does nothing else: whatever it raises, the model raised.
        read: makes of an answer what can be published. Raises: NoAnswer; all else is our mistake.
    """

    ask: Callable[[dict[str, Feature]], Any]
    read: Callable[[Any], Prediction]


_BINARY_N = 2  # classes; to compare two takes a third of what `max` with a key does

_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
"""What JSON's writers and readers take for an integer."""

_NOT_AN_ANSWER = (TypeError, ValueError, ArithmeticError, AttributeError)
"""What looking at an answer of another form than river's raises."""


def answering(model: base.Estimator, methods: Any, kind: Kind) -> Answering:
    """Ask a model in the way that its kind is asked.

    Args:
        model: says what it can do.
        methods: what is called: the model itself, or what does the same faster.
        kind: what the model does.
    """
    wanted = PROBLEMS[kind].answer
    if wanted == "score":
        return Answering(methods.score_one, _read_score)
    if wanted == "value":
        return Answering(methods.predict_one, _read_value)
    final = last_step(model)
    if not _knows_probabilities(final):
        return Answering(methods.predict_one, _read_class)
    if type(final).predict_one is base.Classifier.predict_one:
        return Answering(methods.predict_proba_one, _read_likeliest)
    predict_one, predict_proba_one = methods.predict_one, methods.predict_proba_one
    return Answering(lambda x: (predict_one(x), predict_proba_one(x)), _read_both)


def last_step(model: Any) -> Any:
    """The estimator at a pipeline's end; any other model itself, or what it stands for."""
    model = plain(model)
    while isinstance(model, compose.Pipeline):
        model = list(model.steps.values())[-1]
    return model


def is_of_sklearn(final: Any) -> bool:
    """Whether it is scikit-learn's, in river's wrapping, which cannot be imported without it."""
    return type(final).__module__ == "river.compat.sklearn_to_river"


def _knows_probabilities(final: Any) -> bool:
    if is_of_sklearn(final):  # the wrapping always has the method, which may raise
        return hasattr(final.estimator, "predict_proba")
    if type(final).predict_proba_one is base.Classifier.predict_proba_one:
        return False
    wrapped = final._wrapped_model if isinstance(final, base.Wrapper) else None  # noqa: SLF001
    inner = last_step(wrapped)
    return not isinstance(inner, base.Classifier) or _knows_probabilities(inner)


def _read_score(score: Any) -> Prediction:
    if type(score) is not float or not isfinite(score):
        score = _number(score, "score")
    return Prediction(None, None, score)


def _read_value(value: Any) -> Prediction:
    if type(value) is not float or not isfinite(value):
        value = _number(value, "prediction")
    return Prediction(value)


def _read_likeliest(probabilities: Any) -> Prediction:
    """Take the likeliest class, as river's `Classifier.predict_one` would by asking again."""
    try:
        if not probabilities:
            return Prediction(None, probabilities)
        if len(probabilities) == _BINARY_N:
            (one, p), (other, q) = probabilities.items()
            likeliest, total = (other if q > p else one), p + q
        else:
            likeliest = max(probabilities, key=probabilities.get)
            total = sum(probabilities.values())
        is_known = isfinite(total)
    except _NOT_AN_ANSWER:
        is_known = False
    if not is_known:
        raise _about(probabilities)
    return Prediction(likeliest, probabilities)


def _read_both(answer: tuple[Any, Any]) -> Prediction:
    """Turn a class and its probabilities into a prediction. Raises: NoAnswer."""
    value, probabilities = answer
    try:
        is_known = not probabilities or isfinite(sum(probabilities.values()))
    except _NOT_AN_ANSWER:
        is_known = False
    if not is_known:
        raise _about(probabilities)
    return Prediction(_named(value), probabilities)


def _read_class(value: Any) -> Prediction:
    return Prediction(_named(value))


def _number(value: Any, what: str) -> Any:
    """Turn a value into a finite Python number that JSON can hold. Raises: NoAnswer."""
    value = _plain(value)
    if not isinstance(value, float | int):
        found = "None" if value is None else f"of type {type(value).__name__}, no number"
        raise NoAnswer(f"the {what} is {found}")
    if isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            raise NoAnswer(f"the {what} is an integer of more than 64 bits")
    elif not isfinite(value):
        raise NotFinite(f"the {what} is {value}", value)
    return value


def _named(value: Any) -> Any:
    """Turn a predicted class into a type that a label may have. Raises: NoAnswer."""
    value = _plain(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float | int):
        return _number(value, "prediction")
    raise NoAnswer(f"the prediction is of type {type(value).__name__}, no class")


def _plain(value: Any) -> Any:
    """Turn a numpy scalar into Python's own type; everything else stays as it is."""
    return value.item() if isinstance(value, np.generic) else value


def _about(probabilities: Any) -> NoAnswer:
    """Say what is wrong with these probabilities: the first that is no number, by its class.

    The text is published, so nothing in it may differ in a replay, as an object's address does.
    """
    if not isinstance(probabilities, Mapping):
        return NoAnswer(f"the probabilities are of type {type(probabilities).__name__}, no mapping")
    for name, value in probabilities.items():
        shown = _plain(name) if isinstance(name, str | bool | int | np.generic) else type(name)
        try:
            _number(value, f"probability of {shown!r}")
        except NoAnswer as fault:
            return fault
    return NotFinite("the probabilities add up to no finite number", inf)
