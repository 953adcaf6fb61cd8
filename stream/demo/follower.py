"""What a pipeline has published, read as any consumer would read it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from stream.core.event import Channel, Record
from stream.core.result import AlertValue, PredictionValue
from stream.core.scores import Score, Window, accuracy
from stream.demo.pipelines import Pipeline
from stream.ports import Reader

PARTITION = 0
"""The demo's topics have one."""


class Drift(AlertValue):
    """An alert, and how many flights are its evidence.

    Attributes:
        before_n: how many flights `evidence.before` is the mean of; 0: unknown.
        after_n: how many `evidence.after` is the mean of.
    """

    before_n: int = 0
    after_n: int = 0

    @property
    def worse(self) -> bool:
        """Whether the error rose: an alarm. A detector finds improvements too."""
        return (self.evidence.after or 0.0) > (self.evidence.before or 0.0)

    def text(self) -> str:
        """What people read: the day of the flight, and what changed."""
        before = _share(self.evidence.before, self.before_n)
        after = _share(self.evidence.after, self.after_n)
        return f"{self.event_time[:10]}: error {'up' if self.worse else 'down'} {before} -> {after}"


def _share(share: float | None, n: int) -> str:
    return f"{share or 0.0:.1%}" + (f" of {n:,}" if n else "")


class Sample(msgspec.Struct, frozen=True):
    """How far a pipeline was at one moment.

    Attributes:
        at_s: seconds since the feed began.
        lag_n: events that were there and had no prediction yet.
    """

    at_s: float
    published_n: int
    lag_n: int


_decode_prediction = msgspec.json.Decoder(PredictionValue).decode
_decode_drift = msgspec.json.Decoder(Drift).decode


@dataclass(slots=True)
class Tail:
    """Reads what is new in the topics of one pipeline."""

    reader: Reader
    _positions: dict[Channel, int] = field(default_factory=dict)

    def new(self, channel: Channel) -> Iterator[Record]:
        """The records since the last call. Raises: Retryable, Misconfigured, LogLost."""
        end = self.reader.bounds(channel, PARTITION).end
        for batch in self.reader.read(channel, PARTITION, self._positions.get(channel, 0), end):
            for record in batch:
                # At once, so that a read that fails later repeats nothing.
                self._positions[channel] = record.offset + 1
                yield record
        self._positions[channel] = end


@dataclass(slots=True)
class Follower:
    """Follows the outputs of one pipeline from their beginning.

    Attributes:
        predictions: the records, as they were published.
        answers: for each prediction what was predicted, and what came.
        drifts: what the detector found, for the worse or the better.
        samples: how far it was at each look.
    """

    pipeline: Pipeline
    reader: Reader
    predictions: list[Record] = field(default_factory=list)
    answers: list[tuple[bool | None, bool]] = field(default_factory=list)
    drifts: list[Drift] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    _window: Window = field(default_factory=Window)
    _tail: Tail = field(init=False)

    def __post_init__(self) -> None:
        self._tail = Tail(self.reader)

    @property
    def published_n(self) -> int:
        """How many predictions there are so far."""
        return len(self.predictions)

    @property
    def alarms_n(self) -> int:
        """How many drifts for the worse there are so far."""
        return sum(drift.worse for drift in self.drifts)

    def look(self, at_s: float) -> list[Drift]:
        """Read what is new. Returns: the new drifts. Raises: Retryable, Misconfigured, LogLost."""
        # The events first: asked for after the predictions, a lag of 0 could not be seen. And the
        # alerts before the predictions, so that theirs are there: they came with the same commit.
        events_n = self.reader.bounds(Channel.EVENTS, PARTITION).end
        found = [_decode_drift(record.value or b"") for record in self._tail.new(Channel.ALERTS)]
        for record in self._tail.new(Channel.PREDICTIONS):
            assert record.value is not None  # noqa: S101  # of our own topic
            prediction = _decode_prediction(record.value)
            self.predictions.append(record)
            self.answers.append((prediction.prediction, prediction.label))
            self._window.add((prediction.prediction, prediction.label))
        for drift in found:
            self._count_evidence(drift)
            self.drifts.append(drift)
        lag_n = max(0, events_n - self.published_n)
        self.samples.append(Sample(at_s, self.published_n, lag_n))
        return found

    def _count_evidence(self, drift: Drift) -> None:
        """How many flights are before and after: the only cut that has these two error rates.

        The record does not say it, but all flights since the last drift are in one of the two.
        """
        first = self.drifts[-1].offset + 1 if self.drifts else 0
        errors = [said != label for said, label in self.answers[first : drift.offset + 1]]
        before, after, total = drift.evidence.before, drift.evidence.after, sum(errors)
        later = 0
        for after_n, error in enumerate(reversed(errors[1:]), start=1):
            later += error
            before_n = len(errors) - after_n
            if (total - later) / before_n == before and later / after_n == after:
                drift.before_n, drift.after_n = before_n, after_n
                return

    def score(self) -> Score | None:
        """The score over the window of the last events; None before there are two."""
        return accuracy(self._window.pairs)

    def per_s(self, over_s: float) -> float:
        """Predictions a second, over about the last `over_s` seconds."""
        last = self.samples[-1]
        first = next(s for s in self.samples if s.at_s >= last.at_s - over_s)
        took_s = last.at_s - first.at_s
        return (last.published_n - first.published_n) / took_s if took_s else 0.0
