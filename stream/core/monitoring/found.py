"""What a monitor finds, and how seldom that may be wrong."""

from typing import Any, Final, Literal, NamedTuple

from stream.core.monitoring.episodes import Severity

Measure = Literal["psi", "missing", "new_category", "type", "range", "constant"]
"""Of a variable."""

SHOWN_MAX: Final = 40
"""Characters of a value in a message."""


class Found(NamedTuple):
    """One measure that is over its threshold.

    Attributes:
        value: of the measure; threshold: what it is over.
        before, after: a mean, or a share; None: there is no number for it.
        before_n, after_n: of how many values.
        since_n: it began so many blocks ago, the present one included; None: unknown.
        text: both sides, for people.
        name: where a measure has several; "": its own.
    """

    measure: str
    value: float
    threshold: float
    before: float | None
    after: float | None
    before_n: int
    after_n: int
    since_n: int | None
    text: str
    name: str = ""
    severity: Severity = Severity.WARNING


class Chances(NamedTuple):
    """How seldom a variable may be wrong.

    Attributes:
        psi: chance that the distribution of one block of an unchanged stream is over its threshold.
        blocks: to a false alarm of one rate, on average.
    """

    psi: float
    blocks: float


def shown(value: Any) -> str:
    """A value for people, short."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…"
