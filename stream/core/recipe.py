"""The recipe of a fold: everything that decides what it computes, and a fingerprint of it."""

import ast
import hashlib
import json
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from river.__version__ import __version__ as river_version

from stream.core.parts import PENDING, CarrySpec, PartSpec
from stream.core.probe import math_digest
from stream.core.spec import DetectorSpec, EventShape, Limits, ModelSpec

if TYPE_CHECKING:
    from river.base import Estimator  # commands that need no model do without river

FOLD = 3
"""Raised when this program folds otherwise than before: older states are of another recipe.

Each part of a state has a version of its own beside it, which is raised when that part alone does
otherwise; a part that is not there has none.
"""

ADMISSION = 1
"""The version of what decides which names and classes are let in."""

DETECTORS = 1
"""The version of what detectors are fed, and of what becomes of their findings."""


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


def itself(model: "Estimator") -> "Estimator":
    """Leave a model to its own methods."""
    return model


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a pipeline folds with. Two equal recipes give, bit for bit, equal outcomes.

    Attributes:
        source: digest of the factory's module as code (comments and layout do not count), "" if
            it has no source.
        versions: those of the program and what it runs on; another one is another recipe.
        extras: optional parts of the state, each only where it is configured.
        quicken: gives for a model what does the same to every bit, quicker (see `stand_in`); so it
            is no part of what is folded with.
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
    extras: tuple[PartSpec, ...] = ()
    quicken: "Callable[[Estimator], Estimator]" = field(default=itself, compare=False, repr=False)

    def learner_parts(self) -> dict[str, str]:
        """What decides what the model is, and what it is taught."""
        return {
            "model.factory": self.model.factory,
            **_named("model.params", self.model.params),
            "model.hash_seed": str(self.hash_seed),
            "model source": self.source,
            **_named("events", _set(self.shape, EventShape())),
            "topics.events": self.events_topic,
            **self.versions,
        }

    def parts(self) -> dict[str, str]:
        """All parts by name, readable: what a changed fingerprint is explained with.

        A setting that has its default is no part, so that a new one changes nobody's fingerprint;
        nor is anything of a part of the state that is not configured.
        """
        found = self.learner_parts() | {"part admission": str(ADMISSION)}
        found |= _named("limits", _set(self.limits, Limits()))
        if self.detectors:
            found["part detectors"] = str(DETECTORS)
            found["detectors"] = ", ".join(each.name for each in self.detectors)
            found |= _named("detectors", {each.name: _detector(each) for each in self.detectors})
        for spec in self.extras:
            found |= _of_part(spec)
        return found

    def fingerprint(self) -> str:
        """Eight hex digits over all parts."""
        return _fingerprint(self.parts())

    def learner_fingerprint(self) -> str:
        """Eight hex digits over the learner's parts: where only others changed, it is kept."""
        return _fingerprint(self.learner_parts())

    def as_of(self, parts: Mapping[str, str]) -> "Recipe":
        """This recipe with the detectors and limits that another one had, by its `parts`.

        Of the extras there are those that both have, or that know how to go on with other settings;
        a state keeps each apart from the rest.

        Raises: ValueError, TypeError, KeyError: they are no such parts.
        """
        names = [name for name in parts.get("detectors", "").split(", ") if name]
        limits = {
            name.removeprefix("limits."): json.loads(value)
            for name, value in parts.items()
            if name.startswith("limits.")
        }
        detectors = tuple(
            DetectorSpec(name=name, **json.loads(parts[f"detectors.{name}"])) for name in names
        )
        extras = tuple(was for spec in self.extras if (was := _as_of(spec, parts)) is not None)
        return replace(self, detectors=detectors, limits=Limits(**limits), extras=extras)


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What differs between two recipes' parts, one line each."""
    names = [*after, *(name for name in before if name not in after)]
    defaults = _named("events", asdict(EventShape())) | _named("limits", asdict(Limits()))
    before, after = defaults | before, defaults | after
    return [
        _change(name, before.get(name, "unset"), after.get(name, "unset"))
        for name in names
        if before.get(name) != after.get(name)
    ]


def _change(name: str, before: str, after: str) -> str:
    """Say a change in the words of the configuration, where events wait by `[labels]`."""
    if (name, after) == (f"part {PENDING}", "unset"):
        return "[labels] -> unset (events that wait for their labels are dropped)"
    setting = name.removeprefix(f"{PENDING}.")
    return f"{name if setting == name else f'labels.{setting}'}: {before} -> {after}"


def source_digest(source: str) -> str:
    """Digest of a module's code; a changed comment or blank line does not change it."""
    return hashlib.sha256(ast.dump(ast.parse(source)).encode()).hexdigest()[:16]


def _of_part(spec: PartSpec) -> dict[str, str]:
    return {f"part {spec.name}": str(spec.version), **_named(spec.name, spec.settings())}


def _as_of(spec: PartSpec, parts: Mapping[str, str]) -> PartSpec | None:
    """A part with the settings of then; None: there was none that could go on with these."""
    recorded = _recorded(spec, parts)
    if recorded == _of_part(spec):
        return spec
    own = f"part {spec.name}"
    if not isinstance(spec, CarrySpec) or recorded.get(own) != str(spec.version):
        return None
    told = {n.removeprefix(f"{spec.name}."): json.loads(v) for n, v in recorded.items() if n != own}
    return spec.as_of(told)


def _recorded(spec: PartSpec, parts: Mapping[str, str]) -> dict[str, str]:
    """What a recipe's parts tell of one of the extras; one more setting is another part."""
    own, settings = f"part {spec.name}", f"{spec.name}."
    return {n: value for n, value in parts.items() if n == own or n.startswith(settings)}


def _fingerprint(parts: Mapping[str, str]) -> str:
    return hashlib.sha256(_canonical(parts).encode()).hexdigest()[:8]


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
