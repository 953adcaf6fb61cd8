"""The settings of the policy on alerts."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from stream.core.monitoring.episodes import Severity

if TYPE_CHECKING:
    from stream.core.monitoring.policy import Policy

NAME: Final = "alerts"
"""Of the part, and of its table in the configuration."""

Unit = Literal["events", "ms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """The settings of the policy.

    Attributes:
        min_severity: what is less severe is not announced.
        cooldown: so long nothing may fire until an episode is over.
        unit: of the cooldown: steps, or milliseconds of fold time.
        severities: detector and its own severity, for drifts that are no improvement.
        reminder_ms: so far apart, by the records' timestamps, reminders are at least.
        burst_n: so many may be announced at once; refill_n: one more in so many steps. What is
            found in the data and what is found of the model are counted apart.
    """

    name: ClassVar = NAME
    version: ClassVar = 3
    min_severity: Severity = Severity.WARNING
    cooldown: int = 1000
    unit: Unit = "events"
    severities: tuple[tuple[str, Severity], ...] = ()
    reminder_ms: int = 1_800_000
    burst_n: int = 3
    refill_n: int = 10_000

    def settings(self) -> Mapping[str, Any]:
        """Those that are not the default."""
        found = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if getattr(self, each.name) != each.default
        }
        if "min_severity" in found:
            found["min_severity"] = self.min_severity.word
        if "severities" in found:
            found["severities"] = {name: severity.word for name, severity in self.severities}
        return found

    def begin(self) -> "Policy":
        """Before the first step."""
        from stream.core.monitoring.policy import Policy  # noqa: PLC0415  # it knows its settings

        return Policy(self)

    def as_of(self, settings: Mapping[str, Any]) -> "PolicySpec":
        """The settings that were told so. Raises: TypeError, KeyError: they are none."""
        told = dict(settings)
        if "min_severity" in told:
            told["min_severity"] = Severity[told["min_severity"].upper()]
        if "severities" in told:
            words = told["severities"].items()
            told["severities"] = tuple((name, Severity[word.upper()]) for name, word in words)
        return PolicySpec(**told)

    def carry(self, old: "Policy") -> "Policy":
        """The policy of other settings goes on with these: what is open ends, and that is told."""
        return self.begin().going_on_from(old)
