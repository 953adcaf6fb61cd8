"""What one variable is found to be, and how seldom that may be wrong."""

from typing import Any, Final, Literal, NamedTuple

Measure = Literal["psi", "missing", "new_category", "type", "range", "constant"]

SHOWN_MAX: Final = 40
"""Characters of a value in a message."""


class Found(NamedTuple):
    """One measure of one variable that is over its threshold.

    Attributes:
        value: of the measure; threshold: what it is over.
        before, after: a mean, or a share; None: there is no number for it.
        before_n, after_n: of how many values.
        since_n: it began so many blocks ago, the present one included.
        text: both sides, for people.
    """

    measure: Measure
    value: float
    threshold: float
    before: float | None
    after: float | None
    before_n: int
    after_n: int
    since_n: int
    text: str


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
