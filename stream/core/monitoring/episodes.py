"""Episodes: what fires again and again for one reason is one of them, from firing to resolved."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, Literal, NamedTuple

from stream.core.monitoring.marks import Place

Direction = Literal["worse", "better", "changed"]
Phase = Literal["firing", "reminder", "resolved"]
Key = tuple[str, ...]
"""Kind, direction and signal: what several detectors find of one signal is one episode. Of what a
monitor finds of a variable also the measure: that a feature moved must not hide that it is gone."""

GROUPED: Final = frozenset({"input", "output"})
"""Kinds of findings that have an episode for each measure, and join each other's."""

NEVER: Final = 1 << 62
STORM: Final = "storm"

PIECES_MAX: Final = 20
"""Of evidence in one episode: a hundred features may break together."""


class Severity(IntEnum):
    """How soon somebody should look; as a word in records and in the configuration."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2

    @property
    def word(self) -> str:
        """As it is written."""
        return self.name.lower()


class Measured(NamedTuple):
    """What a monitor measured.

    Attributes:
        value: of the measure; threshold: what it is over.
        before_n, after_n: of how many events both sides are.
        feature: whose; None: of no feature. part: one value of it, where that alone is looked at.
    """

    value: float
    threshold: float
    before_n: int
    after_n: int
    feature: str | None = None
    part: str | None = None


class Finding(NamedTuple):
    """One firing of a detector, or of what the fold itself watches.

    Attributes:
        before: mean of the signal before; None where it is unknown, as `after`.
        values_n: the change began so many values ago, the present one included; None: unknown.
        measured: by a monitor; None: a detector tells no more than before and after.
        moved: features that have moved, and psi as a multiple of its threshold: of a drift.
        lead: the key of the episode that it has joined; None: its own.
    """

    kind: str
    detector: str
    name: str
    signal: str
    direction: Direction
    severity: Severity
    before: float | None
    after: float | None
    message: str
    values_n: int | None = None
    measured: Measured | None = None
    moved: Sequence[tuple[str, float]] = ()
    lead: Key | None = None

    @property
    def is_grouped(self) -> bool:
        """Whether its measure has an episode of its own, that others may join."""
        return self.measured is not None and self.kind in GROUPED

    @property
    def key(self) -> Key:
        """Of the episode that it belongs to."""
        if self.lead is not None:
            return self.lead
        if self.is_grouped:
            return self.kind, self.direction, self.signal, self.detector
        return self.kind, self.direction, self.signal


class Piece(NamedTuple):
    """What one detector or monitor found last in an episode."""

    detector: str
    before: float | None
    after: float | None
    offset: int
    measured: Measured | None


class Episode:
    """One episode of one partition.

    Times are steps, or milliseconds of fold time, as the cooldown is.

    Attributes:
        first: the finding that it began with, and is called by.
        began: where that was; `since` is where the change probably was.
        severity: the highest there was.
        repeats: how often it fired.
        last: when it fired last, and `last_offset` where.
        over_at: when it was resolved; None: it goes on.
        announced: the severity with which it was, since it was resolved last; None: nobody knows.
        is_withheld: it was not announced because too much was; a storm tells of it.
        announced_at: when its last record was; announced_ms: with which timestamp.
        remind_n: so many repeats are worth a reminder.
        pieces: detector's name, and feature -> what it found last, since it was resolved last.
        moved: as the last finding that had it.
    """

    __slots__ = (
        "announced",
        "announced_at",
        "announced_ms",
        "began",
        "first",
        "is_withheld",
        "last",
        "last_offset",
        "message",
        "moved",
        "over_at",
        "pieces",
        "remind_n",
        "repeats",
        "severity",
        "since",
    )  # fmt: skip

    def __init__(self, first: Finding, began: Place, since: Place) -> None:
        self.first, self.began, self.since = first, began, since
        self.severity = first.severity
        self.message, self.moved = first.message, first.moved
        self.repeats = self.last = self.last_offset = 0
        self.over_at: int | None = None
        self.announced: Severity | None = None
        self.is_withheld = False
        self.announced_at = self.announced_ms = 0
        self.remind_n = NEVER
        self.pieces: dict[tuple[str, str | None], Piece] = {}

    def fire(self, finding: Finding, place: Place, now: int) -> None:
        """Take one more firing in; of one that goes on after it was resolved that is a new change.

        Whoever calls this says by `since` when that began.
        """
        if self.over_at is not None:
            self.pieces.clear()
        # Of several findings of one step the first says it.
        if place.offset != self.last_offset or not self.repeats:
            self.message = finding.message
        self.repeats += 1
        self.severity = max(self.severity, finding.severity)
        self.last, self.last_offset = now, place.offset
        self.over_at = None
        self.moved = finding.moved or self.moved
        # A timestamp far ahead must not silence the reminders for as long.
        self.announced_ms = min(self.announced_ms, place.timestamp_ms)
        if finding.kind != STORM:
            self._keep(finding, place)

    def _keep(self, finding: Finding, place: Place) -> None:
        """Keep what was found as a piece of evidence, while there is room."""
        feature = None if finding.measured is None else finding.measured.feature
        key = finding.name, feature
        if key in self.pieces or len(self.pieces) < PIECES_MAX:
            self.pieces[key] = Piece(
                finding.detector, finding.before, finding.after, place.offset, finding.measured
            )

    def announce(self, place: Place, now: int) -> None:
        """Note that it is told now."""
        self.announced, self.is_withheld = self.severity, False
        self.announced_at, self.announced_ms = now, place.timestamp_ms
        self.remind_n = 2 * self.repeats

    def moved_to(self, at: int) -> "Episode":
        """The same, as if it had fired last, and been told, at another time."""
        self.last = self.announced_at = at
        return self

    def release(self, at: int) -> None:
        """Let it end at the next step as if it had fired last at `at`; or be told again there."""
        self.last = self.announced_at = at
        self.announced_ms, self.remind_n = -NEVER, 0

    def resolve(self, at: int) -> bool:
        """It is over. Returns: whether that is to be told."""
        was_announced, self.announced = self.announced is not None, None
        self.over_at, self.is_withheld = at, False
        return was_announced

    def is_worth_a_reminder(self, place: Place, now: int, *, cooldown: int, least_ms: int) -> bool:
        """Whether it has fired twice as often as was told, and that is long enough ago."""
        return (
            self.repeats >= self.remind_n
            and now - self.announced_at >= cooldown
            and place.timestamp_ms - self.announced_ms >= least_ms
        )
