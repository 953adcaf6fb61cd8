"""Which models stay as they are when they are asked, and which parts of one may change then.

River's were tried, one by one (tests/core/learning/test_untouched.py); ours say it of themselves
(`is_kept_by_asking`). Everybody else's are in doubt.
"""

import inspect
from collections.abc import Mapping
from functools import cache, partial
from itertools import chain
from types import BuiltinFunctionType, FunctionType
from typing import Any

from river import (
    anomaly,
    base,
    compose,
    dummy,
    ensemble,
    forest,
    linear_model,
    multiclass,
    naive_bayes,
    neighbors,
    preprocessing,
    tree,
)

from stream.core.compared import is_compared

UNCHANGED = frozenset({
    anomaly.HalfSpaceTrees, compose.Discard, compose.Select, compose.SelectType,
    dummy.NoChangeClassifier, dummy.PriorClassifier, dummy.StatisticRegressor,
    ensemble.ADWINBaggingClassifier, ensemble.ADWINBoostingClassifier,
    ensemble.AdaBoostClassifier, ensemble.BaggingClassifier, ensemble.BaggingRegressor,
    ensemble.BOLEClassifier, ensemble.LeveragingBaggingClassifier, ensemble.SRPClassifier,
    ensemble.SRPRegressor, ensemble.VotingClassifier, forest.AMFClassifier, forest.AMFRegressor,
    forest.ARFClassifier, forest.ARFRegressor, forest.OXTRegressor,
    linear_model.LinearRegression, linear_model.LogisticRegression, linear_model.PAClassifier,
    linear_model.PARegressor, linear_model.Perceptron, linear_model.SoftmaxRegression,
    multiclass.OneVsOneClassifier, multiclass.OneVsRestClassifier, naive_bayes.BernoulliNB,
    naive_bayes.ComplementNB, naive_bayes.GaussianNB, naive_bayes.MultinomialNB,
    neighbors.KNNClassifier, neighbors.KNNRegressor, preprocessing.Normalizer,
    preprocessing.TargetStandardScaler,
    tree.ExtremelyFastDecisionTreeClassifier,
    tree.HoeffdingAdaptiveTreeClassifier, tree.HoeffdingAdaptiveTreeRegressor,
    tree.HoeffdingTreeClassifier, tree.HoeffdingTreeRegressor, tree.SGTClassifier,
    tree.SGTRegressor,
})  # fmt: skip
"""River's estimators that asking changes in nothing, whatever they are asked."""

ATOMS = (bool, int, float, str, bytes, type(None), FunctionType, BuiltinFunctionType, type)
_MODELS = (base.Classifier, base.Regressor, base.Transformer, base.AnomalyDetector, base.Clusterer)
"""What can be asked; a splitter, a metric or a detector is a part of what is."""

_LIBRARIES = ("river.", "stream.")


def in_doubt(model: Any) -> list[Any]:
    """The parts of a model that asking it may change; of a pipeline each step by itself."""
    if type(model) is compose.Pipeline:
        return list(chain.from_iterable(map(in_doubt, model.steps.values())))
    if type(model) is compose.TransformerUnion:
        return list(chain.from_iterable(map(in_doubt, model.transformers.values())))
    return [] if is_sure(model) else [model]


def is_sure(value: Any) -> bool:
    """Whether asking changes nothing of it, or of what it was made of: its parameters."""
    if isinstance(value, ATOMS):
        return True
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(is_sure, value))
    if isinstance(value, Mapping):
        return all(map(is_sure, value.values()))
    if isinstance(value, partial):
        return is_sure([value.func, value.args, value.keywords])
    if type(value) is compose.Pipeline:
        return not in_doubt(value)
    return _is_known(value) and all(map(is_sure, _parameters(value)))


def brings(step: Any, name: str) -> bool:
    """Whether an object's very class has this name; a derived class may do in its own way."""
    return name in vars(type(step))


def _is_known(value: Any) -> bool:
    cls = type(value)
    if not isinstance(value, _MODELS):
        return cls.__module__.startswith(_LIBRARIES)
    is_rivers = cls in UNCHANGED or cls is compose.FuncTransformer
    return (is_rivers and is_compared()) or brings(value, "is_kept_by_asking")


def _parameters(value: Any) -> list[Any]:
    names = _names(type(value))  # type: ignore[arg-type]  # a class is hashable
    return [getattr(value, name, None) for name in names]


@cache
def _names(cls: type) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(cls).parameters)
    except ValueError:  # written in another language
        return ()
