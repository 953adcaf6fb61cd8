"""The settings of labels that come later."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from stream.core.outcomes import OutcomeKind
from stream.core.parts import PENDING

if TYPE_CHECKING:
    from stream.core.labels.pending import Pending

LABEL_BYTES_MAX: Final = 500_000
"""Key and value of a record of the labels topic: the journal keeps them, in base64, in one of its
own records, which have less than 1 MB."""

_OF_NOBODY: Final = (OutcomeKind.EARLY, OutcomeKind.UNKNOWN)
"""What the labels of events that others have come to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsSpec:
    """What events wait for, and how long.

    Attributes:
        wait_ms: so long an event waits for its label, by the fold's time; and so long it is kept
            after it came, for corrections.
        id, label: fields of a label record.
        pending_max: so many events are kept.
        early_max: so many labels are kept whose events have not come.
        has_topic: labels come in a topic of their own, and none among the events.
        unknown, publish, features: which outcomes are published, and with what: the fold is the
            same.
    """

    name: ClassVar = PENDING
    version: ClassVar = 2
    wait_ms: int
    id: str = "id"
    label: str = "label"
    pending_max: int = 100_000
    on_expiry: Literal["drop", "negative"] = "drop"
    early_max: int = 10_000
    on_correction: Literal["learn", "ignore"] = "learn"
    has_topic: bool = False
    unknown: Literal["outcome", "count"] = field(default="outcome", compare=False)
    publish: Literal["late", "all", "none"] = field(default="late", compare=False)
    features: bool = field(default=False, compare=False)

    def publishes(self, kind: OutcomeKind) -> bool:
        """Whether outcomes of a kind are published."""
        return self.publish != "none" and (self.unknown == "outcome" or kind not in _OF_NOBODY)

    def settings(self) -> Mapping[str, Any]:
        """Those that are not the default, of what the fold does."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.compare and getattr(self, each.name) != each.default
        }

    def begin(self) -> "Pending":
        """Before the first event."""
        from stream.core.labels.pending import Pending  # noqa: PLC0415  # it knows its settings

        return Pending(self)

    def as_of(self, settings: Mapping[str, Any]) -> "LabelsSpec":
        """The settings that were told so. Raises: TypeError: they are none."""
        return LabelsSpec(**settings)

    def carry(self, old: "Pending") -> "Pending":
        """The events that wait go on waiting, under these settings."""
        return self.begin().going_on_from(old)


def are_among_events(extras: Iterable[object]) -> bool:
    """Whether label records come in the events topic."""
    return any(isinstance(each, LabelsSpec) and not each.has_topic for each in extras)


def have_topic(extras: Iterable[object]) -> bool:
    """Whether label records come in a topic of their own."""
    return any(isinstance(each, LabelsSpec) and each.has_topic for each in extras)
