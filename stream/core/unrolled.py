"""A river pipeline of plain steps, its steps called directly.

`compose.Pipeline` routes extra arguments and tells kinds of steps apart at each event: measured at
1.6 us, a tenth of what a logistic regression costs. Here the steps are told apart once. What is
called with what, and in which order, is what river's `Pipeline.learn_one` and `_transform_one` do
(river 0.26), so every bit of every prediction stays.
"""

from collections.abc import Callable
from typing import Any

from river import base, compose
from river.__version__ import __version__ as river_version

from stream.core import fused, purity, steps
from stream.core.fused_forest import FusedForest, is_fused_forest
from stream.core.fused_linear import FusedLinear, is_fused_linear
from stream.core.fused_tree import FusedTree, is_fused_tree

Features = dict[str, Any]


class Unrolled:
    """The methods of a pipeline that a fold needs.

    Args:
        pipeline: one that `is_plain` accepts.
        before: see `unrolled`.
    """

    __slots__ = ("learn_one", "path", "predict_one", "predict_proba_one", "score_one", "write_back")

    def __init__(self, pipeline: compose.Pipeline, before: tuple[Any, ...] = ()) -> None:
        *first, last = pipeline.steps.values()
        end: Any = unrolled(last, (*before, *first))
        if first and is_fused_linear(first[-1], last) and _is_alone(first[-1], (*before, *first)):
            end = FusedLinear(first.pop(), last)
        transforms = tuple(map(steps.transform, first))
        self.learn_one = _learner(first, end, is_supervised=last._supervised)  # noqa: SLF001
        self.predict_one = _after(transforms, getattr(end, "predict_one", None))
        self.predict_proba_one = _after(transforms, getattr(end, "predict_proba_one", None))
        self.score_one = _after(transforms, getattr(end, "score_one", None))
        self.write_back: Callable[[], None] = write_back_of(end)
        self.path = "the pipeline's steps are called directly"
        if not isinstance(end, base.Base):
            self.path += f", {end.path}"


def unrolled(model: Any, before: tuple[Any, ...] = ()) -> Any:
    """`model`, or its methods without what a pipeline, or trees' further counts of votes, cost.

    A wrapper may bring `over`: its methods, over those of its `classifier` that were found so.

    Args:
        model: river's estimator.
        before: the transformers whose features it is given, one after the other.
    """
    if is_plain(model):
        return Unrolled(model, before)
    if fused.brings(model, "over"):  # a wrapper of ours, with what it is around unrolled
        inner = unrolled(model.classifier, before)
        return model if inner is model.classifier else model.over(inner)
    if is_fused_forest(model):
        return FusedForest(model, is_untouched=all(map(purity.is_pure, before)))
    if is_fused_tree(model):
        return FusedTree(model, is_untouched=all(map(purity.is_pure, before)))
    return model


def path(model: Any) -> str:
    """How a fold calls a model, for people: in a quicker way than river's own, or why not."""
    if not fused.is_compared():
        return f"river's own methods: river {river_version} was not compared with a quicker way"
    methods = unrolled(model)
    if methods is model:
        return f"river's own methods: nothing quicker is known for {type(model).__name__}"
    return str(methods.path)


def write_back_of(methods: Any) -> Callable[[], None]:
    """A function that writes back what the methods of `unrolled` keep outside the model."""
    return methods.write_back if isinstance(methods, Unrolled | FusedLinear) else _nothing


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
    learn_last: Callable[..., None] = fused.learner(end)
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
