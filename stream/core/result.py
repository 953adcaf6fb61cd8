"""What one step gives, as values; `stream.core.formats` makes records of them."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from stream.core.commands import LedgerValue
from stream.core.event import Kind, Record, Rejection
from stream.core.outcomes import Outcome


class Prediction(msgspec.Struct, gc=False):
    """What a model says of an event before it learns from it.

    Attributes:
        value: `predict_one`'s answer; None before a classifier knows any class.
        probabilities: class -> probability, as the model gave it; None if it gives none.
        score: an anomaly detector's `score_one`; None for other models.
    """

    value: Any = None
    probabilities: dict[Any, float] | None = None
    score: float | None = None


class NoAnswer(Exception):
    """What a model gave is nothing that could be published; the text says what it was."""


class NotFinite(NoAnswer):
    """What it gave is a number, but no finite one."""

    def __init__(self, text: str, value: float) -> None:
        super().__init__(text)
        self.value = value


class PredictionValue(msgspec.Struct, gc=False):
    """One prediction, with the fields of its record: docs/TOPICS.md tells what each means.

    Attributes:
        prediction: null where `fault` says why; absent from an anomaly detector's.
        probabilities: class, as JSON names it -> probability.
        learned: how many events the model had learned before.
    """

    v: int
    id: str
    partition: int
    offset: int
    prediction: Any = UNSET
    probabilities: dict[Any, float] | UnsetType = UNSET
    score: float | UnsetType | None = UNSET
    label: Any = UNSET
    learned: int = 0
    fault: str | UnsetType = UNSET

    @property
    def kind(self) -> Kind | None:
        """The kind of model that made it; None: numbers may be a regressor's, or classes."""
        if self.score is not UNSET:
            return Kind.ANOMALY
        is_class = self.probabilities is not UNSET or isinstance(self.label, bool | str)
        return Kind.MULTICLASS if is_class else None


class Seen(msgspec.Struct, gc=False):
    """What one detector or monitor found last of an episode.

    Attributes:
        value: of the measure; threshold: what it is over; both of monitors only.
        before_n, after_n: of how many events both sides are.
        feature: whose; slice: one value of it, where that alone is looked at.
    """

    name: str
    detector: str
    before: float | None
    after: float | None
    offset: int
    value: float | UnsetType = UNSET
    threshold: float | UnsetType = UNSET
    before_n: int | UnsetType = UNSET
    after_n: int | UnsetType = UNSET
    feature: str | UnsetType = UNSET
    slice: str | UnsetType = UNSET


class Moved(msgspec.Struct, gc=False):
    """A feature that moved before a drift: its psi as a multiple of what is too much."""

    feature: str
    times: float


class Withheld(msgspec.Struct, gc=False):
    """An episode that was not announced, for there was too much at a time."""

    episode: str
    severity: str
    repeats: int
    message: str


class Evidence(msgspec.Struct, gc=False):
    """The mean of a signal before and after a change, as a detector saw it; None: unknown.

    Attributes:
        detectors: what each detector saw of it, in the order in which they came.
        largest: of a storm: the most severe and most frequent of what was withheld.
        withheld: of a storm: how many announcements were.
        feature, slice, measure, value, threshold, before_n, after_n: of a monitor: as `Seen`.
        moved: of a drift: the features that have moved most.
    """

    before: float | None
    after: float | None
    detectors: list[Seen] | UnsetType = UNSET
    largest: list[Withheld] | UnsetType = UNSET
    withheld: int | UnsetType = UNSET
    feature: str | UnsetType = UNSET
    slice: str | UnsetType = UNSET
    measure: str | UnsetType = UNSET
    value: float | UnsetType = UNSET
    threshold: float | UnsetType = UNSET
    before_n: int | UnsetType = UNSET
    after_n: int | UnsetType = UNSET
    moved: list[Moved] | UnsetType = UNSET


class Since(msgspec.Struct, gc=False):
    """When a change probably began."""

    offset: int
    event_time: str


class AlertValue(msgspec.Struct, gc=False, kw_only=True):
    """One alert, with the fields of its record: docs/TOPICS.md tells what each means.

    Those from `severity` on are there with `alerts.policy = "quiet"` only.
    """

    v: int = 1
    id: str
    kind: str
    detector: str
    name: str
    signal: str
    partition: int
    offset: int
    event_time: str
    learned: int
    evidence: Evidence
    message: str
    severity: str | UnsetType = UNSET
    direction: str | UnsetType = UNSET
    state: str | UnsetType = UNSET
    episode: str | UnsetType = UNSET
    since: Since | UnsetType = UNSET
    repeats: int | UnsetType = UNSET
    suggestion: str | UnsetType = UNSET


_read = msgspec.json.Decoder(PredictionValue).decode


class StepResult(msgspec.Struct, gc=False):
    """What folding one record gave: a prediction or a refusal, and alerts.

    A worker keeps thousands until their commit, so each holds its prediction as bytes only.

    Attributes:
        canonical: the prediction in the form that the digest goes over; b"" for a refusal.
        refusal: why the record was refused; None if it was not.
        alerts: in the order in which they are published.
        ledger: what was done to what predicts, at its end and by the fold itself.
        outcomes: of events whose labels came, or did not, as far as they are published.
        label_offset: of the labels topic's record that was folded, with `record` for the event
            before it; None: `record` was.
    """

    record: Record
    canonical: bytes = b""
    refusal: Rejection | None = None
    alerts: tuple[AlertValue, ...] = ()
    ledger: tuple[LedgerValue, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    label_offset: int | None = None

    @property
    def id_end(self) -> str:
        """How the ids of its alerts end, for many labels may come behind one event."""
        return "" if self.label_offset is None else f"/{self.label_offset}"

    @property
    def is_of_label(self) -> bool:
        """Whether the record was a label, so that there is neither prediction nor refusal."""
        return not self.canonical and self.refusal is None

    @property
    def prediction(self) -> PredictionValue | None:
        """The prediction as a value; None if the record was refused."""
        return _read(self.canonical) if self.canonical else None
