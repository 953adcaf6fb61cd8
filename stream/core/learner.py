"""A river estimator as the fold uses it: what it can do is found once, at the start."""

import importlib
import math
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
from river import base, compose

from stream.core.event import Feature, Kind
from stream.core.spec import ModelSpec
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


class NotFinite(ArithmeticError):
    """A model's answer is NaN or infinite: nothing that could be published as a number."""


Predict = Callable[[dict[str, Feature]], Prediction]


def build(spec: ModelSpec) -> base.Estimator:
    """Make the untrained model of a recipe.

    Raises: Misconfigured: no such module or callable, it raised, or it gave no river estimator.
    """
    module_name, _, name = spec.factory.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise Misconfigured(f'model.factory: cannot import "{module_name}": {error}') from error
    factory = getattr(module, name, None)
    if not callable(factory):
        near = [n for n in dir(module) if not n.startswith("_") and callable(getattr(module, n))]
        raise Misconfigured(
            f'model.factory: "{module_name}" has no callable "{name}"; it has {", ".join(near)}'
        )
    try:
        model = factory(**spec.params)
    except Exception as error:  # whatever a user's factory raises is an error in the configuration
        raise Misconfigured(
            f"model.factory: {spec.factory}({_arguments(spec.params)}) raised "
            f"{type(error).__name__}: {error}; mend model.params"
        ) from error
    if not isinstance(model, base.Estimator):
        raise Misconfigured(
            f"model.factory: {spec.factory} gave a {type(model).__name__}, not a river estimator"
        )
    return model


def kind_of(model: base.Estimator) -> Kind:
    """What a model does. Raises: Misconfigured: nothing that we can fold over a stream."""
    final = _final(model)
    if isinstance(final, base.SupervisedAnomalyDetector):
        raise Misconfigured(
            f"model.factory: {type(final).__name__} needs the label to score; use an "
            "unsupervised anomaly detector, or a regressor"
        )
    if isinstance(final, base.AnomalyDetector):
        return Kind.ANOMALY
    if isinstance(final, base.Classifier):
        return Kind.MULTICLASS if final._multiclass else Kind.BINARY  # noqa: SLF001  # river's tag
    if isinstance(final, base.Regressor):
        return Kind.REGRESSION
    raise Misconfigured(
        f"model.factory: {type(final).__name__} is no classifier, regressor or anomaly detector"
    )


def predictor(model: base.Estimator, kind: Kind) -> Predict:
    """The one function that predicts with `model`; it is bound to this very object."""
    if kind is Kind.ANOMALY:
        return _scorer(model)
    if kind is Kind.REGRESSION:
        return _regressor(model)
    final = type(_final(model))
    if final.predict_proba_one is base.Classifier.predict_proba_one:
        return _classifier_without_probabilities(model)
    if final.predict_one is base.Classifier.predict_one:
        return _classifier_by_arg_max(model)
    return _classifier(model)


def learner(model: base.Estimator, kind: Kind) -> Callable[[dict[str, Feature], Any], None]:
    """The one function that teaches `model`; an anomaly detector's ignores the label."""
    learn_one: Any = model.learn_one  # type: ignore[attr-defined]  # every kind above has it
    if kind is Kind.ANOMALY:
        return lambda features, _label: learn_one(features)
    return learn_one  # type: ignore[no-any-return]


def unseeded(model: base.Estimator) -> list[str]:
    """Where in a model a seed is missing, as `Class.parameter`; [] = it repeats itself."""
    return sorted(set(_unseeded(model, set())))


def trial(model: base.Estimator, kind: Kind, features: dict[str, Feature], label: Any) -> None:
    """Clone, pickle, predict, learn and predict again on copies; `model` stays untouched.

    Raises: whatever the model raises; `pickle.PicklingError`, AttributeError or TypeError for one
        that cannot be pickled.
    """
    copy = pickle.loads(pickle.dumps(model.clone()))  # noqa: S301  # our own bytes, just made
    predict, learn = predictor(copy, kind), learner(copy, kind)
    predict(features)
    if label is not None or kind is Kind.ANOMALY:
        learn(dict(features), label)
    predict(features)


def _final(model: base.Estimator) -> Any:
    while isinstance(model, compose.Pipeline):
        model = list(model.steps.values())[-1]
    return model


def _scorer(model: Any) -> Predict:
    score_one = model.score_one

    def predict(features: dict[str, Feature]) -> Prediction:
        return Prediction(score=_finite(score_one(features)))

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
        _finite(sum(probabilities.values()))
        # river's own `Classifier.predict_one`, without computing the probabilities once more.
        return Prediction(max(probabilities, key=probabilities.get), probabilities)

    return predict


def _classifier(model: Any) -> Predict:
    predict_one, predict_proba_one = model.predict_one, model.predict_proba_one

    def predict(features: dict[str, Feature]) -> Prediction:
        value = predict_one(features)
        probabilities = predict_proba_one(features)
        _finite(sum(probabilities.values()))
        return Prediction(_plain(value), probabilities)

    return predict


def _classifier_without_probabilities(model: Any) -> Predict:
    predict_one = model.predict_one

    def predict(features: dict[str, Feature]) -> Prediction:
        return Prediction(_plain(predict_one(features)))

    return predict


def _finite(value: Any) -> Any:
    value = _plain(value)
    if value is not None and not math.isfinite(value):
        raise NotFinite(f"the prediction is {value}")
    return value


def _plain(value: Any) -> Any:
    """A numpy scalar as Python's own; everything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def _arguments(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{k}={v!r}" for k, v in params.items())


def _unseeded(part: Any, seen: set[int]) -> Iterator[str]:
    if id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, compose.Pipeline):
        parts: Any = part.steps.values()
    elif isinstance(part, compose.TransformerUnion):
        parts = part.transformers.values()
    elif isinstance(part, Mapping):
        parts = part.values()
    elif isinstance(part, list | tuple):
        parts = part
    elif isinstance(part, base.Base):
        params = part._get_params()  # noqa: SLF001  # river's own way to look at a model
        if "seed" in params and params["seed"] is None:
            yield f"{type(part).__name__}.seed"
        parts = params.values()
    else:
        return
    for inner in parts:
        yield from _unseeded(inner, seen)


def source_of(spec: ModelSpec) -> str | None:
    """Path of the source file that the factory is defined in, once built; None if it has none."""
    module = sys.modules.get(spec.factory.partition(":")[0])
    return getattr(module, "__file__", None)
