"""Whether a model that raised while it was asked is as it was: then there is nothing to undo.

To go back to a copy takes half a second for a forest; user code that raises on one event in twenty
would leave a tenth of the speed. Most often nothing has changed: river's larger models do not
change when they are asked, which tests/core/test_untouched.py tries; a function has no state. What
is left (somebody's own classes, and river's that add names when they are asked) is mostly small.
So while events fail, those parts are pickled before each event, and compared when it fails.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
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

from stream.core import fused, pickling

BYTES_MAX = 32 << 10
"""Of the parts to be compared: 0.1 ms; with more, a model goes back to its copy each time."""

WATCHED_N = 1000
"""Events for which the parts are looked at, after one has failed."""

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

_ATOMS = (bool, int, float, str, bytes, type(None), FunctionType, BuiltinFunctionType, type)
_MODELS = (base.Classifier, base.Regressor, base.Transformer, base.AnomalyDetector, base.Clusterer)
"""What can be asked; a splitter, a metric or a detector is a part of what is."""

_LIBRARIES = ("river.", "stream.")


class Watch:
    """Looks at the parts of a model that asking it may change.

    Args:
        model: the live one.
        settle: to be called before anybody looks at it.
    """

    def __init__(self, model: Any, settle: Callable[[], None]) -> None:
        self._parts = in_doubt(model)
        self._settle = settle
        self._before: bytes | None = None

    @property
    def has_parts(self) -> bool:
        """Whether there is anything to look at; else nothing ever changes."""
        return bool(self._parts)

    def look(self) -> bool:
        """Before an event. Returns: whether to go on with that: it takes little."""
        self._before = self._pickled()
        return len(self._before) <= BYTES_MAX

    def is_untouched(self, *, is_looked_at: bool) -> bool:
        """Whether everything is surely as it was before this event.

        Args:
            is_looked_at: `look` was called before this very event.
        """
        return not self._parts or (is_looked_at and self._before == self._pickled())

    def _pickled(self) -> bytes:
        self._settle()
        return pickling.dumps(self._parts)


def in_doubt(model: Any) -> list[Any]:
    """The parts of a model that asking it may change; of a pipeline each step by itself."""
    if type(model) is compose.Pipeline:
        return list(chain.from_iterable(map(in_doubt, model.steps.values())))
    if type(model) is compose.TransformerUnion:
        return list(chain.from_iterable(map(in_doubt, model.transformers.values())))
    return [] if _is_sure(model) else [model]


def _is_sure(value: Any) -> bool:
    """Whether asking changes nothing of it, or of what it was made of: its parameters."""
    if isinstance(value, _ATOMS):
        return True
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_sure, value))
    if isinstance(value, Mapping):
        return all(map(_is_sure, value.values()))
    if isinstance(value, partial):
        return _is_sure([value.func, value.args, value.keywords])
    if type(value) is compose.Pipeline:
        return not in_doubt(value)
    return _is_known(value) and all(map(_is_sure, _parameters(value)))


def _is_known(value: Any) -> bool:
    cls = type(value)
    if not isinstance(value, _MODELS):
        return cls.__module__.startswith(_LIBRARIES)
    is_rivers = cls in UNCHANGED or cls is compose.FuncTransformer
    return (is_rivers and fused.is_compared()) or fused.brings(value, "is_kept_by_asking")


def _parameters(value: Any) -> list[Any]:
    try:
        names = inspect.signature(type(value)).parameters
    except ValueError:  # written in another language
        return []
    return [getattr(value, name, None) for name in names]
