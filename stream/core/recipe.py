"""The recipe of a fold: everything that decides what it computes, and a fingerprint of it."""

import ast
import hashlib
import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
from river.__version__ import __version__ as river_version

from stream.core.probe import math_digest
from stream.core.spec import DetectorSpec, EventShape, Limits, ModelSpec

FOLD = 2
"""Raised when this program folds otherwise than before: older states are of another recipe."""


def versions(*, has_sklearn: bool = False) -> dict[str, str]:
    """What this process folds with, as far as it can change a result or the reading of a state.

    Args:
        has_sklearn: some of the model is scikit-learn's.
    """
    of_sklearn = {"scikit-learn": sys.modules["sklearn"].__version__} if has_sklearn else {}
    return of_sklearn | {
        "fold": str(FOLD),
        "river": river_version,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "numpy": np.__version__,
        "machine": platform.machine(),
        "machine's math": math_digest(),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a pipeline folds with. Two equal recipes give, bit for bit, equal outcomes.

    Attributes:
        source: digest of the factory's module as code (comments and layout do not count), "" if
            it has no source.
        versions: those of the program and what it runs on; another one is another recipe.
    """

    pipeline: str
    events_topic: str
    model: ModelSpec
    detectors: tuple[DetectorSpec, ...]
    shape: EventShape
    limits: Limits
    hash_seed: int
    source: str = ""
    versions: dict[str, str] = field(default_factory=versions)

    def parts(self) -> dict[str, str]:
        """The parts by name, readable: what a changed fingerprint is explained with.

        A setting that has its default is no part, so that a new one changes nobody's fingerprint.
        """
        return {
            "model.factory": self.model.factory,
            **_named("model.params", self.model.params),
            "model.hash_seed": str(self.hash_seed),
            "model source": self.source,
            "detectors": ", ".join(each.name for each in self.detectors),
            **_named("detectors", {each.name: _detector(each) for each in self.detectors}),
            **_named("events", _set(self.shape, EventShape())),
            **_named("limits", _set(self.limits, Limits())),
            "topics.events": self.events_topic,
            **self.versions,
        }

    def fingerprint(self) -> str:
        """Eight hex digits over all parts."""
        return hashlib.sha256(_canonical(self.parts()).encode()).hexdigest()[:8]


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What differs between two recipes' parts, one line each."""
    names = [*after, *(name for name in before if name not in after)]
    defaults = _named("events", asdict(EventShape())) | _named("limits", asdict(Limits()))
    before, after = defaults | before, defaults | after
    return [
        f"{name}: {before.get(name, 'unset')} -> {after.get(name, 'unset')}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def source_digest(source: str) -> str:
    """Digest of a module's code; a changed comment or blank line does not change it."""
    return hashlib.sha256(ast.dump(ast.parse(source)).encode()).hexdigest()[:16]


def _named(section: str, settings: Mapping[str, object]) -> dict[str, str]:
    """Name each setting of a section as a part of the recipe."""
    return {f"{section}.{name}": _canonical(value) for name, value in settings.items()}


def _set(settings: EventShape | Limits, defaults: EventShape | Limits) -> dict[str, object]:
    """The settings that differ from their defaults."""
    usual = asdict(defaults)
    return {name: value for name, value in asdict(settings).items() if value != usual[name]}


def _detector(spec: DetectorSpec) -> dict[str, object]:
    return {"type": spec.type, "signal": spec.signal, "params": spec.params}


def _canonical(value: object) -> str:
    if isinstance(value, frozenset):
        value = sorted(value)
    # A TOML date has no JSON of its own; as text it is as distinct.
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
