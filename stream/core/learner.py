"""A river estimator as the fold uses it: what it can do is found once, at the start."""

import importlib
import inspect
import operator
import pickle
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Any, NamedTuple

import msgspec
import numpy as np
from river import active, base, compose

from stream.core import fused, pickling
from stream.core.event import Feature, Kind
from stream.core.spec import ModelSpec
from stream.core.unrolled import settler, unrolled
from stream.errors import Misconfigured


class Prediction(msgspec.Struct, gc=False):
    """What a model says of an event before it learns from it.

    Attributes:
        value: `predict_one`'s answer; None before a classifier knows any class.
        probabilities: class -> probability, as the model gave it; None if it gives none.
        score: an anomaly detector's `score_one`; None for other models.
    """

    value: Any = None
    probabilities: dict[Any, float] | None = None
    score: float | None = None


class NotFiniteError(ArithmeticError):
    """A model's answer is NaN or infinite: nothing that could be published as a number."""


_BINARY_N = 2  # classes; to compare two takes a third of what `max` with a key does

Predict = Callable[[dict[str, Feature]], Prediction]
Learn = Callable[[dict[str, Feature], Any], None]


def build(spec: ModelSpec) -> base.Estimator:
    """Make the untrained model of a recipe.

    Raises: Misconfigured: no such module or callable, it raised, or it gave no river estimator.
    """
    module_name, _, name = spec.factory.partition(":")
    try:
        module = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's module may raise anything, and call `sys.exit`
        raise Misconfigured(
            f'model.factory: cannot import "{module_name}": {_told(error)}'
        ) from error
    try:
        factory = operator.attrgetter(name)(module)
    except AttributeError:
        factory = None
    if not callable(factory):
        known = [n for n in dir(module) if not n.startswith("_") and callable(getattr(module, n))]
        raise Misconfigured(
            f'model.factory: "{module_name}" has no callable "{name}"; it has {", ".join(known)}'
        )
    try:
        model = factory(**spec.params)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever else a factory raises, the configuration is wrong
        raise Misconfigured(
            f"model.factory: {spec.factory}({_arguments(spec.params)}) raised {_told(error)}; "
            "mend model.params"
        ) from error
    if not isinstance(model, base.Estimator):
        raise Misconfigured(
            f"model.factory: {spec.factory} gave a {type(model).__name__}, not a river estimator"
        )
    return model


def kind_of(model: base.Estimator) -> Kind:
    """What a model does. Raises: Misconfigured: nothing that we can fold over a stream."""
    final = _final(model)
    name = type(final).__name__
    if isinstance(final, base.AnomalyFilter):  # as the last step it scores as what it wraps does
        return kind_of(final._wrapped_model)  # noqa: SLF001  # river's own way to look inside
    if isinstance(final, base.SupervisedAnomalyDetector):
        raise Misconfigured(
            f"model.factory: {name} needs the label to score; use an unsupervised anomaly "
            "detector, or a regressor"
        )
    if isinstance(final, active.base.ActiveLearningClassifier):
        raise Misconfigured(
            f"model.factory: {name} asks for labels, and nobody here could answer; use the "
            "classifier that it wraps"
        )
    if isinstance(final, base.AnomalyDetector):
        return Kind.ANOMALY
    if isinstance(final, base.Classifier):
        return Kind.MULTICLASS if final._multiclass else Kind.BINARY  # noqa: SLF001  # river's tag
    if isinstance(final, base.Regressor):
        return Kind.REGRESSION
    raise Misconfigured(
        f"model.factory: {name} is no classifier, regressor or anomaly detector, nor does a "
        "pipeline end in one"
    )


class Methods(NamedTuple):
    """What a fold calls for each event; bound to one very model.

    Attributes:
        predict: before it learns.
        learn: teaches; an anomaly detector's ignores the label.
        settle: to be called before anybody looks at the model, pickles it, or asks it himself.
    """

    predict: Predict
    learn: Learn
    settle: Callable[[], None]


def methods_of(model: base.Estimator, kind: Kind) -> Methods:
    """Found once; they may share what they work out of an event."""
    methods = unrolled(model)
    return Methods(_predictor(model, methods, kind), _learner(methods, kind), settler(methods))


def _predictor(model: base.Estimator, methods: Any, kind: Kind) -> Predict:
    if kind is Kind.ANOMALY:
        return _scorer(methods)
    if kind is Kind.REGRESSION:
        return _regressor(methods)
    final = _final(model)
    if not _knows_probabilities(final):
        return _classifier_without_probabilities(methods)
    if type(final).predict_one is base.Classifier.predict_one:
        return _classifier_by_arg_max(methods)
    return _classifier(methods)


def _learner(methods: Any, kind: Kind) -> Learn:
    learn_one = fused.learner(methods)
    if kind is Kind.ANOMALY:
        return lambda features, _label: learn_one(features)
    return learn_one


def unseeded(model: base.Estimator) -> list[str]:
    """Where in a model a seed is missing, as `Class.parameter`; [] = it repeats itself.

    River keeps every parameter in an attribute of its name; a seed that is not there is missing.
    """
    return sorted(set(_unseeded(model, set())))


def trial(model: base.Estimator, kind: Kind, features: dict[str, Feature], label: Any) -> None:
    """Predict, learn, pickle and predict again on a copy; `model` stays untouched.

    Raises: whatever the model raises; `pickle.PicklingError`, AttributeError or TypeError for one
        that cannot be pickled.
    """
    copy = pickle.loads(pickling.dumps(model))
    methods = methods_of(copy, kind)
    methods.predict(dict(features))
    if label is not None or kind is Kind.ANOMALY:
        methods.learn(dict(features), label)
    methods.settle()
    copy = pickle.loads(pickling.dumps(copy))
    methods_of(copy, kind).predict(dict(features))


def _final(model: Any) -> Any:
    while isinstance(model, compose.Pipeline):
        model = list(model.steps.values())[-1]
    return model


def _knows_probabilities(final: Any) -> bool:
    if type(final).predict_proba_one is base.Classifier.predict_proba_one:
        return False
    inner = _final(final._wrapped_model) if isinstance(final, base.Wrapper) else None  # noqa: SLF001
    return not isinstance(inner, base.Classifier) or _knows_probabilities(inner)


def _scorer(model: Any) -> Predict:
    score_one = model.score_one

    def predict(features: dict[str, Feature]) -> Prediction:
        score = _finite(score_one(features))
        if score is None:
            raise NotFiniteError("the score is None")
        return Prediction(score=score)

    return predict


def _regressor(model: Any) -> Predict:
    predict_one = model.predict_one

    def predict(features: dict[str, Feature]) -> Prediction:
        return Prediction(_finite(predict_one(features)))

    return predict


def _classifier_by_arg_max(model: Any) -> Predict:
    predict_proba_one = model.predict_proba_one

    def predict(features: dict[str, Feature]) -> Prediction:
        probabilities = predict_proba_one(features)
        if not probabilities:
            return Prediction(None, probabilities)
        # From here on river's own `Classifier.predict_one`, which would compute them once more.
        if len(probabilities) == _BINARY_N:
            (one, p), (other, q) = probabilities.items()
            likeliest, total = (other if q > p else one), p + q
        else:
            likeliest, total = (
                max(probabilities, key=probabilities.get),
                sum(probabilities.values()),
            )
        if not isfinite(total):
            raise NotFiniteError(f"the probabilities are {probabilities}")
        return Prediction(likeliest, probabilities)

    return predict


def _classifier(model: Any) -> Predict:
    predict_one, predict_proba_one = model.predict_one, model.predict_proba_one

    def predict(features: dict[str, Feature]) -> Prediction:
        value = predict_one(features)
        probabilities = predict_proba_one(features)
        if probabilities and not isfinite(sum(probabilities.values())):
            raise NotFiniteError(f"the probabilities are {probabilities}")
        return Prediction(_named(value), probabilities)

    return predict


def _classifier_without_probabilities(model: Any) -> Predict:
    predict_one = model.predict_one

    def predict(features: dict[str, Feature]) -> Prediction:
        return Prediction(_named(predict_one(features)))

    return predict


def _finite(value: Any) -> Any:
    value = _plain(value)
    if value is not None and not isfinite(value):
        raise NotFiniteError(f"the prediction is {value}")
    return value


def _named(value: Any) -> Any:
    """A class, of whatever type."""
    value = _plain(value)
    return _finite(value) if isinstance(value, float) else value


def _plain(value: Any) -> Any:
    """A numpy scalar as Python's own; everything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def _arguments(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{k}={v!r}" for k, v in params.items())


def _told(error: BaseException) -> str:
    """An exception on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _unseeded(part: Any, seen: set[int]) -> Iterator[str]:
    if id(part) in seen:
        return
    seen.add(id(part))
    parts: list[Any] = []
    if isinstance(part, Mapping):
        parts += part.values()
    elif isinstance(part, list | tuple):
        parts += part
    elif isinstance(part, base.Base):
        for name in inspect.signature(type(part)).parameters:
            inner = getattr(part, name, None)
            if name == "seed" and inner is None:
                yield f"{type(part).__name__}.seed"
            parts.append(inner)
    for inner in parts:
        yield from _unseeded(inner, seen)
