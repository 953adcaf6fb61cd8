"""`[alerts]`: which of the findings are told."""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from stream.config.checks import Section, show
from stream.config.durations import MS
from stream.core.monitoring.episodes import Severity
from stream.core.monitoring.policy_spec import PolicySpec, Unit

SeverityName = Literal["info", "warning", "critical"]

_COOLDOWN: Final = re.compile(r"([1-9][0-9]{0,8}) ?(events|ms|s|m|h|d)")


def checked_cooldown(value: str) -> str:
    """Check that a value is a cooldown: of records, or of fold time."""
    if not _COOLDOWN.fullmatch(value):
        raise ValueError(
            f'{show(value)} is no cooldown; write "1000 events", or a duration of fold time: '
            '"30s", "15m", "24h", "7d"'
        )
    return value


def cooldown_of(checked: str) -> tuple[int, Unit]:
    """How many records, or milliseconds, a checked cooldown is.

    >>> cooldown_of("15m")
    (900000, 'ms')
    """
    found = _COOLDOWN.fullmatch(checked)
    assert found is not None  # noqa: S101
    number, unit = int(found[1]), found[2]
    return number * MS.get(unit, 1), "events" if unit == "events" else "ms"


class Alerts(Section):
    """What becomes of what detectors find."""

    policy: Literal["raw", "quiet"] = Field(
        default="quiet",
        description="`quiet`: few alerts: one when something begins, reminders, one when it is "
        "over (docs/TOPICS.md). `raw`: every firing of every detector is one, and nothing else is; "
        "the other keys of this table and `[monitors]` are of `quiet`.",
    )
    min_severity: SeverityName = Field(
        default="warning",
        description="`info`, `warning` or `critical`: what is less severe is not told.",
    )
    cooldown: Annotated[str, AfterValidator(checked_cooldown)] = Field(
        default="1000 events",
        description="So long nothing may fire until an alert is resolved; the same within as long "
        'again reopens it. Records (`"1000 events"`), or fold time (`"30s"`, `"15m"`, `"24h"`, '
        '`"7d"`).',
    )

    budget_events: int = Field(
        default=100_000,
        ge=1000,
        le=10_000_000_000,
        description="At most one false alarm in so many events, on average, of all monitors of a "
        "partition together (`[monitors]`).",
    )

    def policy_spec(self, severities: Mapping[str, str]) -> PolicySpec | None:
        """The policy, as the core wants it; None: every firing is told.

        Args:
            severities: of detectors that have their own.
        """
        if self.policy == "raw":
            return None
        number, unit = cooldown_of(self.cooldown)
        return PolicySpec(
            min_severity=Severity[self.min_severity.upper()],
            cooldown=number,
            unit=unit,
            severities=tuple(
                (name, Severity[word.upper()]) for name, word in sorted(severities.items())
            ),
        )
