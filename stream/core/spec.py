"""What a pipeline is made of, as values: the part of the configuration that the fold needs.

Every check was made in `stream.config`; nothing here is checked again.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an event may be at most; anything beyond is quarantined."""

    value_bytes_max: int = 65_536
    features_max: int = 256
    name_chars_max: int = 128
    string_chars_max: int = 256
    magnitude_max: float = 1e15
    distinct_features_max: int = 10_000
    key_and_headers_bytes_max: int = 65_536
    classes_max: int = 1000
    classes_bytes_max: int = 786_432
    state_bytes_max: int = 268_435_456


WEIGHT_MAX = 1e6
"""Of what an event may be worth to learn."""

FeatureType = Literal["number", "string", "bool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventShape:
    """How an upstream's JSON maps to an event.

    Attributes:
        id: name of the top-level field with the event's id.
        label: name of the top-level field with the label.
        positive: for models that know only true and false: this label is true, any other false.
        flat: every other top-level field is a feature (`features = "*"`); else they are in the
            object named `features`.
        features: name of the top-level field with the features, unless `flat`.
        ignore: top-level fields that are dropped unseen.
        extra: what becomes of an unknown top-level field (never one, when `flat`).
        missing: what a feature that is null means: it is not there, or the event is refused.
        require: features that must be there.
        types: features and what they must be, where they are there: number, string or bool.
        weight: name of the top-level field with the weight of learning; "": there is none.
    """

    id: str = "id"
    label: str = "label"
    positive: str | int | float | bool | None = None
    flat: bool = False
    features: str = "features"
    ignore: frozenset[str] = frozenset()
    extra: Literal["refuse", "ignore"] = "refuse"
    missing: Literal["absent", "refuse"] = "absent"
    require: tuple[str, ...] = ()
    types: tuple[tuple[str, FeatureType], ...] = ()
    weight: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """The recipe of a river estimator: `module:callable`, called with `params`."""

    factory: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSpec:
    """One drift detector on one signal.

    Attributes:
        name: ours, unique in the pipeline; a part of the alert's id.
        type: the name of river's class or ours, one of those of `stream.config.detectors`.
        signal: "error", "prediction", "label" or "feature:NAME".
    """

    name: str
    type: str
    signal: str = "error"
    params: dict[str, Any] = field(default_factory=dict)


def without_defaults(params: dict[str, Any], of: Callable[..., Any]) -> dict[str, Any]:
    """The keyword arguments that differ from a callable's own defaults.

    So that a default that is written out is no other recipe. Of a value that is no plain one, and
    of a callable that does not tell its defaults, nobody knows: it stays.

    >>> without_defaults({"base": 10, "ndigits": 1}, lambda ndigits=1, base=10.0: None)
    {'base': 10}
    """
    try:
        known = inspect.signature(of).parameters
    except (TypeError, ValueError):
        return dict(params)
    plain = (bool, int, float, str, type(None))
    return {
        name: value
        for name, value in params.items()
        if name not in known
        or type(value) not in plain
        or (type(value), repr(value)) != (type(known[name].default), repr(known[name].default))
    }
