"""`[monitors]`: what is watched beside the detectors."""

import re
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, ValidationInfo

from stream.config.checks import Section, show
from stream.config.durations import duration, milliseconds
from stream.config.places import placed
from stream.config.recipe import FieldName
from stream.core.monitoring.monitors_spec import BLOCK_N, MonitorsSpec

_FILE: Final = "file:"
_REFERENCE: Final = re.compile(r"first ([1-9][0-9]{0,8})")


def _reference(value: str, info: ValidationInfo) -> str:
    """Check what a reference is; a file's path begins in the configuration's folder."""
    if value.startswith(_FILE) and value != _FILE:
        return _FILE + placed(value.removeprefix(_FILE), info)
    found = _REFERENCE.fullmatch(value)
    if not found or int(found[1]) < REFERENCE_MIN:
        raise ValueError(
            f'{show(value)} is no reference; write "first 5000", with {REFERENCE_MIN} events or '
            'more, or "file:PATH", a file as `stream produce` takes it'
        )
    return value


REFERENCE_MIN: Final = 2 * BLOCK_N
"""Events of a reference: of one block alone nothing says how much blocks differ."""


class Monitors(Section):
    """What is watched beside the detectors; `monitors = false`: nothing is."""

    inputs: bool = Field(
        default=True,
        description="Each feature (the first 100): its distribution, what is missing, of another "
        "type, out of range, a category never seen before, or does not vary any more.",
    )
    reference: Annotated[str, AfterValidator(_reference)] = Field(
        default="first 5000",
        description='What they are compared with: `"first N"` events of the partition, or '
        '`"file:PATH"`: the features of a file as `stream produce` takes it, in the order in which '
        "they came; it is read at each start. Labels and predictions are compared with the first "
        "5,000, or N.",
    )
    outputs: bool = Field(
        default=True,
        description="The distribution of predictions and labels, whether probabilities come true, "
        "and the score beside no change and the majority.",
    )
    slices: Annotated[tuple[FieldName, ...], Field(strict=False)] = Field(
        default=(),
        description="Features whose values, strings, have an error of their own (classifiers).",
    )
    slices_max: int = Field(
        default=50, ge=1, le=10_000, description="Values of each of them that are watched."
    )
    silence_after: Annotated[str, AfterValidator(duration)] = Field(
        default="0s",
        description="A partition without an event for so long, by the wall clock, is an alert; "
        "`0s`: never.",
    )
    lag_after: Annotated[str, AfterValidator(duration)] = Field(
        default="0s",
        description="A lag that has grown for so long, by the wall clock, is an alert; "
        "`0s`: never.",
    )

    @property
    def silence_s(self) -> float | None:
        """How long is silence; None: nothing is."""
        return milliseconds(self.silence_after) / 1000 or None

    @property
    def lag_s(self) -> float | None:
        """How long a lag must have grown; None: nobody looks."""
        return milliseconds(self.lag_after) / 1000 or None

    @property
    def reference_file(self) -> Path | None:
        """The file that features are compared with."""
        is_file = self.inputs and self.reference.startswith(_FILE)
        return Path(self.reference.removeprefix(_FILE)) if is_file else None

    def spec(self, budget_events: int) -> MonitorsSpec | None:
        """The monitors, as the core wants them; None: there are none."""
        if not (self.inputs or self.outputs or self.slices):
            return None
        usual, found = MonitorsSpec(), _REFERENCE.fullmatch(self.reference)
        return MonitorsSpec(
            inputs=self.inputs,
            outputs=self.outputs,
            reference_n=usual.reference_n if found is None else int(found[1]),
            slices=self.slices,
            slices_max=self.slices_max,
            budget_events=budget_events,
        )


def table(value: Any) -> Any:
    """`false` is a table without any."""
    return {"inputs": False, "outputs": False} if value is False else value
