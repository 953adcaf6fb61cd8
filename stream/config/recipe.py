"""`[events]`, `[model]` and `[limits]`: what the fold is made of, for the core."""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from stream.config.checks import Section, matching, show
from stream.config.durations import duration, milliseconds
from stream.core import spec
from stream.core.seen import SeenSpec
from stream.core.spec import FeatureType

FieldName = Annotated[str, matching(r"(?s).+", "the name of a field")]


def _scalar(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("no label is ever infinite or not a number; write another value")
    if isinstance(value, str | int | float | None):
        return value
    raise ValueError("must be one value: a string, a number, true or false")


def _span(value: str | None) -> str | None:
    """Check a time span. Raises: ValueError: it is none, or nothing."""
    if value is None:
        return None
    if milliseconds(duration(value)) < 1:
        raise ValueError(f"{show(value)} is no time; write some, or leave it out")
    return value


class Events(Section):
    """How an upstream's JSON maps to an event."""

    id: FieldName = Field(default="id", description="Field with the event's id.")
    label: FieldName = Field(default="label", description="Field with the label.")
    positive: Annotated[str | int | float | bool | None, BeforeValidator(_scalar)] = Field(
        default=None,
        description="For binary tasks whose labels are no bools: this value is true, any other "
        "is false.",
    )
    features: FieldName = Field(
        default="features",
        description="Field with the object of features; `*`: every other field is a feature.",
    )
    ignore: Annotated[tuple[FieldName, ...], Field(strict=False)] = Field(
        default=(), description="Fields that are dropped unseen."
    )
    extra: Literal["refuse", "ignore"] = Field(
        default="refuse",
        description="`refuse` an event with an unknown field, or `ignore` the field.",
    )
    missing: Literal["absent", "refuse"] = Field(
        default="absent",
        description="A feature that is null is not there (`absent`), or its event is quarantined "
        "(`refuse`).",
    )

    require: Annotated[tuple[FieldName, ...], Field(strict=False)] = Field(
        default=(),
        description="Features that must be there; without one an event is quarantined "
        "(`bad_feature`).",
    )
    types: dict[FieldName, FeatureType] = Field(
        default_factory=dict,
        description='What features must be, where they are there: `{ amount = "number" }`; '
        "`number`, `string` or `bool`. Else the event is quarantined (`bad_feature`).",
    )

    deduplicate: Annotated[str | None, AfterValidator(_span)] = Field(
        default=None,
        description="So long, by the fold's time, an id that was accepted is known: another event "
        "with it is quarantined (`duplicate`).",
        examples=["1h"],
    )
    deduplicate_max: int = Field(
        default=1_000_000, ge=1, le=100_000_000,
        description="Ids that a partition knows at most, 8 bytes each in a snapshot; the oldest "
        "leave first.",
    )  # fmt: skip
    weight: FieldName | None = Field(
        default=None,
        description="Field with the weight of learning, 0 to 1e6; without it an event has 1. For "
        "models whose `learn_one` takes `w`.",
        examples=["w"],
    )

    @field_validator("label", "features", "weight", "ignore")
    @classmethod
    def _differ(cls, value: Any, info: ValidationInfo) -> Any:
        named = ("id", "label", "features", "weight")
        roles = {info.data[role]: role for role in named if info.data.get(role) is not None}
        for each in (value,) if isinstance(value, str) else value:
            if each in roles:
                raise ValueError(f"{show(each)} is events.{roles[each]} already; write another")
        return value

    def core(self) -> spec.EventShape:
        """The same, as the codec wants it."""
        flat = self.features == "*"
        return spec.EventShape(
            id=self.id,
            label=self.label,
            positive=self.positive,
            flat=flat,
            features="features" if flat else self.features,
            ignore=frozenset(self.ignore),
            extra=self.extra,
            missing=self.missing,
            require=self.require,
            types=tuple(sorted(self.types.items())),
            weight=self.weight or "",
        )

    def seen(self) -> SeenSpec | None:
        """Which ids are known; None: nobody asks."""
        if self.deduplicate is None:
            return None
        return SeenSpec(window_ms=milliseconds(self.deduplicate), ids_max=self.deduplicate_max)


EXAMPLE_FACTORY = "stream.models:logistic_regression"


def _factory(value: str) -> str:
    """Check that a value reads `module:callable`; the error proposes the right spelling."""
    module, colon, name = value.partition(":")
    dotted = [*module.split("."), *name.split(".")]
    if colon and all(part.isidentifier() for part in dotted):
        return value
    hint = f'"module:callable", for example "{EXAMPLE_FACTORY}"'
    head, dot, tail = value.rpartition(".")
    if not colon and dot and all(part.isidentifier() for part in value.split(".")):
        hint = f'"{head}:{tail}" (a colon before the callable)'
    raise ValueError(f"{show(value)} names no callable; write {hint}")


class Model(Section):
    """The recipe of the river estimator."""

    factory: str = Field(
        description="`module:callable`, called with `params`; returns a river estimator. The "
        "configuration's folder and the current one are importable.",
        examples=[EXAMPLE_FACTORY],
    )
    params: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments for the factory."
    )
    on_change: Literal["refuse", "rebuild", "fresh", "keep"] = Field(
        default="refuse",
        description="The learner's own recipe is not that of the committed state: `refuse` (exit "
        "78), `rebuild` (replay the log under the new one), `fresh` (untrained, from here; also "
        "where the log does not give that state again) or `keep` (after another river, Python or "
        "machine: go on with the state, after a trial). Where only other settings changed the "
        "learner is kept without asking.",
    )
    hash_seed: int | None = Field(
        default=None,
        ge=0,
        le=4_294_967_295,
        description="`PYTHONHASHSEED` of every worker.",
        json_schema_extra={"shown": "from `pipeline`"},
    )
    numeric_breaker: bool = Field(
        default=True,
        description="A prediction that is no finite number, one a million times beyond all labels, "
        "or a linear model's weights or weighted sum out of bounds: learning is frozen at once, "
        "and the last good copy predicts (docs/OPERATING.md).",
    )

    @field_validator("factory")
    @classmethod
    def _names_a_callable(cls, value: str) -> str:
        return _factory(value)

    def core(self) -> spec.ModelSpec:
        """The same, as the learner wants it."""
        return spec.ModelSpec(factory=self.factory, params=dict(self.params))


class LimitsSection(Section):
    """What an event may be at most; anything beyond is quarantined."""

    value_bytes_max: int = Field(
        default=65_536, ge=64, le=16_777_216, description="Bytes of a record's value."
    )
    features_max: int = Field(default=256, ge=1, le=100_000, description="Features of one event.")
    name_chars_max: int = Field(
        default=128, ge=1, le=4_096, description="Characters of a feature's name."
    )
    string_chars_max: int = Field(
        default=256, ge=1, le=1_000_000, description="Characters of a string value."
    )
    # Squares and fourth powers of a feature must stay finite: beyond 1e308 they poison a model.
    magnitude_max: float = Field(
        default=1e15, gt=0, le=1e75, description="Absolute value of a number."
    )
    distinct_features_max: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Feature names that a partition may see in its life; bounds the model's size.",
    )
    classes_max: int = Field(
        default=1000,
        ge=2,
        le=1_000_000,
        description="Classes that a partition's labels may name in its life; each is in every "
        "prediction's `probabilities`.",
    )
    classes_bytes_max: int = Field(
        default=786_432,
        ge=1024,
        le=16_777_216,
        description="Bytes that all classes of a partition together may take of a prediction's "
        "`probabilities`: of each its name as JSON, and 32.",
    )
    state_bytes_max: int = Field(
        default=268_435_456,
        ge=1024,
        le=2**40,
        description="Bytes of a partition's pickled state, looked at whenever it is pickled: from "
        "the commit on after it was more, no new feature name and no new class is taken in.",
    )

    key_and_headers_bytes_max: int = Field(
        default=65_536,
        ge=64,
        le=16_777_216,
        description="Bytes of a record's key and headers together; a header counts its name, its "
        "value, and two.",
    )

    @field_validator("distinct_features_max")
    @classmethod
    def _room_for_one_event(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("features_max", 0):
            raise ValueError(
                f"{value} is less than limits.features_max; write at least that, "
                "or lower limits.features_max"
            )
        return value

    def core(self) -> spec.Limits:
        """The same, as the codec and the task want it."""
        return spec.Limits(**self.model_dump())
