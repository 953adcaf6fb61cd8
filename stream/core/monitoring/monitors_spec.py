"""The settings of the monitors."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

if TYPE_CHECKING:
    from stream.core.monitoring.monitors import Monitors

NAME: Final = "monitors"
"""Of the part, and of its table in the configuration."""

BLOCK_N: Final = 250
"""Of a block: enough to say something of a distribution, and not much to wait for."""


MOVED_MAX: Final = 5
"""Features that an alert of a drift names."""


FEATURES_MAX: Final = 100
"""So many are watched: those that came first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorsSpec:
    """The settings of the monitors.

    Attributes:
        inputs: watch each feature; outputs: predictions, labels and scores.
        reference_n: so many events are the reference, in whole blocks.
        slices: features whose values have an error of their own; slices_max: of how many values.
        budget_events: at most one false alarm in so many events, on average, of all together.
        block_n: so many events are taken apart at once.
        digest: of a reference that is given; "": it is the first events. rows: its features.
    """

    name: ClassVar = NAME
    version: ClassVar = 2
    inputs: bool = True
    outputs: bool = True
    reference_n: int = 5000
    slices: tuple[str, ...] = ()
    slices_max: int = 50
    budget_events: int = 100_000
    block_n: int = BLOCK_N
    digest: str = ""
    rows: tuple[Mapping[str, Any], ...] = field(default=(), compare=False, repr=False)

    def settings(self) -> Mapping[str, Any]:
        """Those that are not the default."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.compare and getattr(self, each.name) != each.default
        }

    def begin(self) -> "Monitors":
        """Before the first event."""
        # Who only reads the configuration does not wait for numpy.
        from stream.core.monitoring.monitors import Monitors  # noqa: PLC0415

        return Monitors(self)

    @property
    def blocks_n(self) -> int:
        """Blocks of the reference."""
        return max(2, self.reference_n // self.block_n)

    @property
    def least_n(self) -> int:
        """Values that a block must have of a variable, for its distribution to say something."""
        return max(2, self.block_n // 5)


class WatchedFeatures(NamedTuple):
    """The features that are watched.

    Attributes:
        n: how many.
        not_monitorable: of which only what is missing, of another type or constant is told: a
            clock, a counter or an id is never as it was.
    """

    n: int
    not_monitorable: tuple[str, ...]
