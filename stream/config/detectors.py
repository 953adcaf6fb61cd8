"""`[[detectors]]`: which drift detectors, river's or our own, watch which signal."""

import inspect
import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationError

from stream.config import problems
from stream.config.alerts import SeverityName
from stream.config.checks import Entry, RefusedError, Section, did_you_mean, matching, show
from stream.core.monitoring.ecusum import ECUSUM
from stream.core.spec import DetectorSpec, without_defaults

DetectorType = Literal[
    "ADWIN", "KSWIN", "PageHinkley", "DDM", "EDDM", "FHDDM", "HDDMA", "HDDMW", "ECUSUM"
]
SIGNALS = ("error", "prediction", "label", "feature:NAME")

# In river 0.26 ADWIN panics (past every `except`) with a clock of 0 or without buckets.
_AT_LEAST = {"clock": 1, "max_buckets": 1}
# Past every window's and grace period's default, so that a test statistic is computed once.
_TRIAL_UPDATES_N = 256


class Detector(Section):
    """One detector as it is written; `core()` is what the fold gets."""

    name: Annotated[
        str | None,
        matching(r"[a-zA-Z0-9._-]{1,64}", "1 to 64 letters, digits, dots, underscores or hyphens"),
    ] = Field(
        default=None,
        description="Unique; a part of its alerts' ids.",
        json_schema_extra={"shown": "`type` in lower case"},
    )
    type: DetectorType = Field(
        description="river's class, or our own: "
        + ", ".join(f"`{each}`" for each in get_args(DetectorType))
        + ".",
        examples=["ADWIN"],
    )
    signal: str = Field(
        default="error",
        description="`error` (0/1 wrong, or abs(prediction - label)), `prediction` (P(true), the "
        "value or the score), `label` or `feature:NAME`.",
    )
    params: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments for that class; KSWIN needs `seed`."
    )
    severity: SeverityName = Field(
        default="warning",
        description="`info`, `warning` or `critical`: of its drifts, but for improvements; with "
        '`alerts.policy = "quiet"`.',
    )

    def core(self) -> DetectorSpec:
        """The same, as the task wants it; with a name, if none was written."""
        name = self.name or self.type.lower()
        params = without_defaults(self.params, detector_class(self.type))
        return DetectorSpec(name=name, type=self.type, signal=self.signal, params=params)


def detector_class(name: str) -> Any:
    """The class behind a detector's `type`; imports river, which takes about a second."""
    if name == "ECUSUM":
        return ECUSUM
    from river import drift  # noqa: PLC0415 - nobody who only reads the configuration waits for it

    return getattr(drift, name, None) or getattr(drift.binary, name)


def _spec(value: object) -> DetectorSpec:
    """One table becomes one checked `DetectorSpec`.

    Raises: RefusedError.
    """
    if isinstance(value, DetectorSpec):
        return value
    try:
        written = Detector.model_validate(value)
    except ValidationError as error:
        raise RefusedError(*problems.entries(error, Detector)) from None
    refused = list(_signal_problems(written.signal)) + list(_params_problems(written))
    if refused:
        raise RefusedError(*refused)
    return written.core()


def _signal_problems(signal: str) -> Iterable[Entry]:
    if signal in SIGNALS[:-1] or (signal.startswith("feature:") and signal != "feature:"):
        return
    yield "signal", f"{show(signal)} is no signal; {did_you_mean(signal, SIGNALS)}"


def _params_problems(written: Detector) -> Iterable[Entry]:
    """Unknown, mistyped and missing parameters; if all are fine, one trial run."""
    kind = detector_class(written.type)
    known = inspect.signature(kind).parameters
    refused: list[Entry] = []
    for name, value in written.params.items():
        if name not in known:
            text = f"{written.type} has no such parameter; {did_you_mean(name, known)}"
            refused.append((f"params.{name}", text))
        elif wrong := _value_problem(name, value, known[name].default):
            refused.append((f"params.{name}", wrong))
    if "seed" in known and "seed" not in written.params:
        text = "missing: unseeded, a replay would not repeat its alerts; write seed = 42"
        refused.append(("params.seed", text))
    return refused or _trial_problems(kind, written)


def _value_problem(name: str, value: object, default: object) -> str | None:
    """What is wrong with one value, judged by the default that river gives it."""
    if name == "seed" and (not isinstance(value, int) or isinstance(value, bool)):
        return f"{show(value)} is no seed; write a whole number"
    if isinstance(default, bool):
        return None if isinstance(value, bool) else f"{show(value)}: write true or false"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, int) and not (number and isinstance(value, int)):
        return f"{show(value)}: write a whole number, for example {default}"
    if isinstance(default, float) and not number:
        return f"{show(value)}: write a number, for example {default}"
    least = _AT_LEAST.get(name, 0)
    if isinstance(value, int | float) and not (least <= value < math.inf):
        return f"{show(value)}: write a finite number, at least {least}"
    return None


def _trial_problems(kind: Any, written: Detector) -> Iterable[Entry]:
    """Build the detector and run it a little: river checks some values only when it uses them."""
    try:
        detector = kind(**written.params)
        for i in range(_TRIAL_UPDATES_N):
            detector.update(i % 2)
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        yield "params", f"{written.type} refuses them: {' '.join(str(error).split())}"


def _unique(found: dict[int, DetectorSpec]) -> list[Entry]:
    """The problems of names that were given before."""
    first: dict[str, int] = {}
    return [
        (
            f"[{i}].name",
            f"{show(each.name)} is detectors[{first[each.name]}] already; write another",
        )
        for i, each in found.items()
        if first.setdefault(each.name, i) != i
    ]


def specs(value: object) -> object:
    """The whole list, every table's problems at once; anything else is pydantic's to refuse.

    Raises: RefusedError.
    """
    if not isinstance(value, list | tuple):
        return value
    found: dict[int, DetectorSpec] = {}
    refused: list[Entry] = []
    for i, each in enumerate(value):
        try:
            found[i] = _spec(each)
        except RefusedError as error:
            refused += [(problems.under(f"[{i}]", key), text) for key, text in error.entries]
    refused += _unique(found)
    if refused:
        raise RefusedError(*refused)
    return tuple(found.values())


def severities(value: Any) -> dict[str, str]:
    """Of a list that `specs` let pass: detector's name -> its severity, if not the usual one.

    It is no part of a `DetectorSpec`: a detector goes on as it is when its severity is another one.
    """
    written = [Detector.model_validate(each) for each in value or () if isinstance(each, dict)]
    return {each.core().name: each.severity for each in written if each.severity != "warning"}


Detectors = Annotated[tuple[DetectorSpec, ...] | None, BeforeValidator(specs)]
"""None: the section is absent, and the kind of model decides; empty: none at all."""
