"""Optional parts of a state: what a fold keeps beside its learner, where it is configured.

A part that is not configured is not there: no state, no cost, no byte, no word in the recipe. See
docs/CONTRIBUTING.md, "a part of a state".
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol, runtime_checkable

from stream.core.event import Event
from stream.core.result import StepResult

PENDING: Final = "pending"
"""The part with the events that wait for their labels, by `[labels]`."""


class Part(Protocol):
    """What one part keeps; a deterministic fold of its own, pickled with the state."""

    def on_event(self, event: Event, result: StepResult) -> None:
        """Take in an event that was predicted, and learned if it has a label.

        An event that is refused is not seen, or taken back. What this raises is our own mistake.
        """
        ...


class PartSpec(Protocol):
    """The settings of one part."""

    @property
    def name(self) -> str:
        """The part's name in a state and a recipe."""
        ...

    @property
    def version(self) -> int:
        """Raised when the part does otherwise than before: then it begins anew."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """Those that are not the default, as JSON can hold them."""
        ...

    def begin(self) -> object:
        """Before the first event: a `Part`; of alerts, their policy, which sees no event."""
        ...


@runtime_checkable
class CarrySpec(Protocol):
    """The settings of a part that need not begin anew when they change."""

    def as_of(self, settings: Mapping[str, Any]) -> PartSpec:
        """The settings that were told so (`PartSpec.settings`)."""
        ...

    def carry(self, old: Any) -> object:
        """The part of other settings, and this version, as it goes on with these."""
        ...
