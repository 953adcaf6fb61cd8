"""A river pipeline of plain steps, its steps called directly.

`compose.Pipeline` routes extra arguments and tells kinds of steps apart at each event: measured at
1.6 us, a tenth of what a logistic regression costs. Here the steps are told apart once. What is
called with what, and in which order, is what river's `Pipeline.learn_one` and `_transform_one` do
(river 0.26), so every bit of every prediction stays.
"""

from collections.abc import Callable
from typing import Any

from river import base, compose

from stream.core.learning import purity
from stream.models.fast import steps
from stream.models.fast.coder import Coded
from stream.models.fast.forest import FusedForest, is_fused_forest
from stream.models.fast.linear import Linear, is_plain_linear
from stream.models.fast.scaled_linear import FusedLinear, is_fused_linear
from stream.models.fast.tree import FusedTree, is_fused_tree
from stream.models.labels import LabelCoder

Features = dict[str, Any]


class Unrolled:
    """The methods of a pipeline that a fold needs.

    Args:
        pipeline: one that `is_plain` accepts.
        before: see `quicker`.
    """

    __slots__ = ("learn_one", "path", "predict_one", "predict_proba_one", "score_one", "write_back")

    def __init__(self, pipeline: compose.Pipeline, before: tuple[Any, ...] = ()) -> None:
        *first, last = pipeline.steps.values()
        end: Any = quicker(last, (*before, *first))
        if first and is_fused_linear(first[-1], last) and _is_alone(first[-1], (*before, *first)):
            end = FusedLinear(first.pop(), last)
        transforms = tuple(map(steps.transform, first))
        self.learn_one = _learner(first, end, is_supervised=last._supervised)
        self.predict_one = _after(transforms, getattr(end, "predict_one", None))
        self.predict_proba_one = _after(transforms, getattr(end, "predict_proba_one", None))
        self.score_one = _after(transforms, getattr(end, "score_one", None))
        self.write_back: Callable[[], None] = write_back_of(end)
        self.path: str = end.path if isinstance(end, Unrolled) else _path(end, last)


def quicker(model: Any, before: tuple[Any, ...] = ()) -> Any:
    """Methods that do what a model's do, quicker; the model itself if nothing is.

    Without what a pipeline, or trees' further counts of votes, cost.

    Args:
        model: river's estimator.
        before: the transformers whose features it is given, one after the other.
    """
    if is_plain(model):
        return Unrolled(model, before)
    if type(model) is LabelCoder:
        inner = quicker(model.classifier, before)
        if inner is model.classifier:
            return model
        return Coded(model, inner, write_back=write_back_of(inner))
    if is_fused_forest(model):
        return FusedForest(model, is_untouched=all(map(purity.is_pure, before)))
    if is_fused_tree(model):
        return FusedTree(model, is_untouched=all(map(purity.is_pure, before)))
    return Linear(model) if is_plain_linear(model) else model


def write_back_of(methods: Any) -> Callable[[], None]:
    """A function that writes back what the methods of `quicker` keep outside the model."""
    keeps = isinstance(methods, Unrolled | FusedLinear | Coded)
    return methods.write_back if keeps else _nothing


def unknown(model: Any) -> str:
    """Why a model keeps its own methods, for people."""
    if type(model) is compose.Pipeline and model.steps:
        *first, last = model.steps.values()
        odd = [step for step in first if not steps.is_plain(step)] or [last]
        return f"nothing quicker is known for a pipeline with {type(odd[0]).__name__}"
    inner = model.classifier if type(model) is LabelCoder else model
    return f"nothing quicker is known for this {type(inner).__name__}"


def _path(end: Any, last: Any) -> str:
    """How a pipeline's steps are called, and its last one, which is no pipeline itself."""
    said = f"; {unknown(last)}" if end is last else f", {end.path}"
    return f"the pipeline's steps are called directly{said}"


def _nothing() -> None:
    pass


def is_plain(model: Any) -> bool:
    """Whether a model is a pipeline of plain transformers before one estimator.

    Supervised transformers and anomaly filters have rules of their own: theirs stay river's. So do
    those of a class derived from river's.
    """
    if type(model) is not compose.Pipeline or not model.steps:
        return False
    *first, last = model.steps.values()
    return not isinstance(last, base.AnomalyFilter) and all(map(steps.is_plain, first))


def _is_alone(scaler: Any, before: tuple[Any, ...]) -> bool:
    """Whether no other step sees the scaler, or may give it other numbers than Python's.

    While a row has its values, its own are out of date; and numpy's small numbers round otherwise.
    """
    are_pure = all(map(purity.is_pure, before))
    return are_pure and sum(step is scaler for step in steps.leaves(before)) == 1


def _after(
    transforms: tuple[Callable[[Features], Features], ...], method: Callable[[Features], Any] | None
) -> Callable[[Features], Any] | None:
    """A model's method, called with the features that the transformers before it give."""
    if method is None or not transforms:
        return method

    def transform_and_call(features: Features) -> Any:
        for transform in transforms:
            features = transform(features)
        return method(features)

    return transform_and_call


def _learner(first: list[Any], end: Any, *, is_supervised: bool) -> Callable[..., None]:
    """A whole pipeline's `learn_one`: the transformers in order, then the last step."""
    before = tuple(map(steps.learn_and_transform, first))
    learn_last: Callable[..., None] = end.learn_one
    if is_supervised and not before:
        return learn_last

    def learn_one(features: Features, label: Any = None) -> None:
        for learn_and_transform in before:
            features = learn_and_transform(features)
        if is_supervised:
            learn_last(features, label)
        else:
            learn_last(features)

    return learn_one
