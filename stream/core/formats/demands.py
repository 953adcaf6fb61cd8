"""What a pipeline demands of its events' features, beside what every one does."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from stream.core.spec import EventShape, FeatureType

_TYPES: Final[Mapping[FeatureType, frozenset[type]]] = {
    "number": frozenset((int, float)), "string": frozenset((str,)), "bool": frozenset((bool,)),
}  # fmt: skip
_NAMES: Final[Mapping[type, str]] = {bool: "boolean", int: "number", float: "number", str: "string"}

Misfit = Callable[[Mapping[str, Any]], str]
"""What is wrong with features that are valid by themselves; "" if nothing is."""


def demands(shape: EventShape) -> Misfit | None:
    """Look at features as `events.require` and `events.types` demand; None: neither does.

    >>> misfit = demands(EventShape(require=("a",), types=(("b", "number"),)))
    >>> misfit({"a": 1.0, "b": "x"}), misfit({"b": 2}), misfit({"a": "any"})
    ('feature "b" is a JSON string, not a number', 'feature "a" is missing', '')
    """
    required, types = frozenset(shape.require), dict(shape.types)
    if not (required or types):
        return None

    def misfit(features: Mapping[str, Any]) -> str:
        if not features.keys() >= required:
            missing = next(name for name in shape.require if name not in features)
            return f'feature "{missing}" is missing'
        for name, wanted in types.items():
            if name in features and type(features[name]) not in _TYPES[wanted]:
                return f'feature "{name}" is a JSON {_NAMES[type(features[name])]}, not a {wanted}'
        return ""

    return misfit
