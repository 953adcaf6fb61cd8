"""`[labels]` and `[outcomes]`: labels that come later than their events."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from stream.config.checks import Section, show
from stream.config.durations import duration, milliseconds
from stream.config.recipe import FieldName
from stream.core.labels.labels_spec import LabelsSpec


class Labels(Section):
    """Labels that come in records of their own; absent: a label is in its event, or never comes."""

    wait: Annotated[str, AfterValidator(duration)] = Field(
        description="So long an event waits for its label, by the fold's time; and so long it is "
        "kept after that came, for corrections.",
        examples=["24h"],
    )
    id: FieldName = Field(default="id", description="Field of a label record with the event's id.")
    label: FieldName = Field(default="label", description="Field of a label record with the label.")
    pending_max: int = Field(
        default=100_000, ge=1, le=10_000_000,
        description="Events that a partition keeps, waiting or labelled (for corrections): "
        "labelled ones leave first, then the oldest waiting one (`dropped`, never learned).",
    )  # fmt: skip
    on_expiry: Literal["drop", "negative"] = Field(
        default="drop",
        description="What becomes of an event whose label did not come: nothing is learned, or (a "
        "binary task: no click is an answer) that it was false.",
    )
    early_max: int = Field(
        default=10_000, ge=0, le=10_000_000,
        description="Labels whose event has not come yet, kept up to `wait`.",
    )  # fmt: skip
    unknown: Literal["outcome", "count"] = Field(
        default="outcome",
        description="`count`: labels without an event have no outcome (`early`, `unknown`); for a "
        "topic that others share.",
    )
    on_correction: Literal["learn", "ignore"] = Field(
        default="learn",
        description="A second, different label is learned, too, or ignored; it is neither scored "
        "again nor shown to detectors.",
    )

    patience: Annotated[str, AfterValidator(duration)] = Field(
        default="5s",
        description="So long, by the clock, events wait for a labels topic that has unread records "
        "and does not answer; then they go on without it.",
    )

    @property
    def patience_s(self) -> float:
        """In seconds."""
        return milliseconds(self.patience) / 1000

    @field_validator("wait")
    @classmethod
    def _some_time(cls, value: str) -> str:
        if milliseconds(value) < 1:
            raise ValueError(f"{show(value)} is no time to wait; write some, or no [labels]")
        return value

    @field_validator("label")
    @classmethod
    def _differ(cls, value: str, info: ValidationInfo) -> str:
        if value == info.data.get("id"):
            raise ValueError(f"{show(value)} is labels.id already; write another")
        return value


class Outcomes(Section):
    """What is published of labels that came later, and of those that did not."""

    publish: Literal["late", "all", "none"] = Field(
        default="late", description="`all`: for labels in events, too."
    )
    features: bool = Field(
        default=False, description="With the features that were predicted on, for the warehouse."
    )


def labels_spec(labels: Labels | None, outcomes: Outcomes, *, has_topic: bool) -> LabelsSpec | None:
    """Both, as the core wants them; None: no label comes later."""
    if labels is None:
        return None
    told = labels.model_dump(exclude={"wait", "patience"})
    return LabelsSpec(
        wait_ms=milliseconds(labels.wait), publish=outcomes.publish, features=outcomes.features,
        has_topic=has_topic, **told,
    )  # fmt: skip
