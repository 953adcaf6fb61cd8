"""Whether a model leaves the features that it is given as they are; if not, it gets its own copy.

River's transformers make new dicts, all but two: `Renamer` writes into the one it is given, and
what the function of a `FuncTransformer` does nobody knows; river's own example writes. A user's own
transformer, or model, may do anything. Then a plain loop that gives the same dict to `predict_one`
and to `learn_one` learns from what the prediction left behind, and so does a fold. But nobody else
sees it: not the detectors, nor the second of two predictions.
"""

import inspect
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from river import compose

from stream.core.compared import is_compared

Features = dict[str, Any]

_WRITERS = frozenset({compose.FuncTransformer, compose.Renamer})
_ATOMS = frozenset({type(None), bool, int, float, str, bytes})
_KNOWN = frozenset({"builtins", "river", "stream"})
_INSIDE: dict[type, Callable[[Any], Iterable[Any]]] = {
    compose.Pipeline: lambda pipeline: pipeline.steps.values(),
    compose.TransformerUnion: lambda union: union.transformers.values(),
    **dict.fromkeys((dict, OrderedDict, defaultdict), dict.values),
    **dict.fromkeys((list, tuple, set, frozenset), iter),
}
_CALLED = (type, FunctionType, BuiltinFunctionType, MethodType)
_UNKNOWN = object()


def is_pure(part: Any) -> bool:
    """Whether a step, or a model, writes into no features, and gives out no dict that it keeps.

    That is so of river's and of ours, if all that they were made with is river's or ours, too.
    """
    return is_compared() and _is_pure(part, set())


class OnOwnCopy:
    """The methods of a model that may write into its features.

    A prediction gets a copy of them; `learn_one` of the same features gets what the last prediction
    left of its copy, as in a plain loop.

    Args:
        methods: the model, or its methods.
    """

    __slots__ = ("learn_one", "predict_one", "predict_proba_one", "score_one")

    def __init__(self, methods: Any) -> None:
        asked: Features | None = None
        own: Features = {}
        learn = methods.learn_one

        def on_copy(method: Callable[[Features], Any]) -> Callable[[Features], Any]:
            def ask(features: Features) -> Any:
                nonlocal asked, own
                asked, own = features, dict(features)
                return method(own)

            return ask

        def learn_one(features: Features, *label: Any, **weight: float) -> None:
            nonlocal asked
            known, asked = asked, None
            learn(own if features is known else dict(features), *label, **weight)

        self.learn_one = learn_one
        for name in ("predict_one", "predict_proba_one", "score_one"):
            method = getattr(methods, name, None)
            setattr(self, name, None if method is None else on_copy(method))


def _is_pure(part: Any, seen: set[int]) -> bool:
    """Look at a part and at everything it was made of; `seen` ends circles."""
    cls: Any = type(part)
    if cls in _ATOMS or id(part) in seen:
        return True
    seen.add(id(part))
    if cls in _INSIDE:
        return all(_is_pure(each, seen) for each in _INSIDE[cls](part))
    if isinstance(part, _CALLED):
        return _is_known(part)
    if not _is_known(cls) or cls in _WRITERS:
        return False
    # What an object was made with, river keeps under the parameter's name; else nobody knows it.
    return all(_is_pure(getattr(part, name, _UNKNOWN), seen) for name in _parameters(cls))


def _is_known(what: Any) -> bool:
    return str(what.__module__).partition(".")[0] in _KNOWN


@cache
def _parameters(cls: type) -> tuple[str, ...]:
    return tuple(inspect.signature(cls).parameters)
