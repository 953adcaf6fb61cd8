"""What a monitor finds, and how seldom that may be wrong."""

from typing import Any, Final, Literal, NamedTuple

from stream.core.monitoring.episodes import Direction, Finding, Measured, Severity

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


def finding(
    of: Found,
    kind: str,
    signal: str,
    *,
    block_n: int,
    direction: Direction = "changed",
    what: str = "",
    feature: str | None = None,
    part: str | None = None,
) -> Finding:
    """What a monitor found, as the policy takes it.

    Args:
        of: the measure.
        kind: of the finding, as `direction`.
        signal: what was measured.
        block_n: events of a block.
        direction: where it went.
        what: begins the message.
        feature: whose; None: of no feature.
        part: one value of it.
    """
    since_n = None if of.since_n is None else of.since_n * block_n
    return Finding(
        kind, of.measure, of.name or of.measure, signal, direction, of.severity, of.before,
        of.after, f"{what}{of.text}", since_n,
        Measured(of.value, of.threshold, of.before_n, of.after_n, feature, part),
    )  # fmt: skip


def of_flow(found: Found, block_n: int) -> Finding:
    """What was found of how events come."""
    if found.measure == "quarantine_rate":
        return finding(found, "flow", "quarantine", block_n=block_n, direction="worse")
    return finding(found, "flow", "events", block_n=block_n)


def of_slice(feature: str, word: str, worse: Found, block_n: int) -> Finding:
    """That the error of one value of a feature has risen."""
    return finding(
        worse, "score", f"slice:{feature}={word}", block_n=block_n, direction="worse",
        what=f"{feature}={word}: ", feature=feature, part=word,
    )  # fmt: skip
