"""What a pipeline has published, read as any consumer would read it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from stream.core.event import Channel, Kind, Record
from stream.core.scores import Score, Window
from stream.demo.pipelines import Pipeline
from stream.ports import Reader

PARTITION = 0
"""The demo's topics have one."""


class _Prediction(msgspec.Struct):
    prediction: bool | None
    label: bool


class Evidence(msgspec.Struct):
    """Mean error before and after a change, as the detector saw it."""

    before: float | None
    after: float | None


class Alarm(msgspec.Struct):
    """What the demo needs of an alert record."""

    kind: str
    offset: int
    event_time: str
    evidence: Evidence

    def text(self) -> str:
        """For people: the day of the flight, and what changed."""
        before, after = self.evidence.before or 0.0, self.evidence.after or 0.0
        move = "rose" if after > before else "fell"
        return f"{self.event_time[:10]}: its error {move} from {before:.1%} to {after:.1%}"


class Sample(msgspec.Struct, frozen=True):
    """How far a pipeline was at one moment.

    Attributes:
        at_s: seconds since the feed began.
        lag_n: events that were there and had no prediction yet.
    """

    at_s: float
    published_n: int
    lag_n: int


_decode_prediction = msgspec.json.Decoder(_Prediction).decode
_decode_alarm = msgspec.json.Decoder(Alarm).decode


@dataclass(slots=True)
class Follower:
    """Follows the outputs of one pipeline from their beginning.

    Attributes:
        predictions: the records, as they were published.
        answers: of each of them: what was predicted, and what came.
        samples: one for each look.
    """

    pipeline: Pipeline
    reader: Reader
    predictions: list[Record] = field(default_factory=list)
    answers: list[tuple[bool | None, bool]] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    _window: Window = field(default_factory=Window)
    _positions: dict[Channel, int] = field(default_factory=dict)

    @property
    def published_n(self) -> int:
        """Predictions so far."""
        return len(self.predictions)

    def look(self, at_s: float) -> list[Alarm]:
        """Read what is new. Returns: the new alarms. Raises: Retryable, Misconfigured, LogLost."""
        # The events first: asked for after the predictions, a lag of 0 could not be seen.
        events_n = self.reader.bounds(Channel.EVENTS, PARTITION).end
        for record in self._new(Channel.PREDICTIONS):
            assert record.value is not None  # noqa: S101  # of our own topic
            prediction = _decode_prediction(record.value)
            self.predictions.append(record)
            self.answers.append((prediction.prediction, prediction.label))
            self._window.add((prediction.prediction, prediction.label))
        alarms_n = len(self.alarms)
        for record in self._new(Channel.ALERTS):
            self.alarms.append(_decode_alarm(record.value or b""))
        lag_n = max(0, events_n - self.published_n)
        self.samples.append(Sample(at_s, self.published_n, lag_n))
        return self.alarms[alarms_n:]

    def score(self) -> Score | None:
        """Over the window of the last events; None before there are two."""
        return self._window.score(Kind.BINARY)

    def per_s(self, over_s: float) -> float:
        """Predictions a second, over about the last `over_s` seconds."""
        last = self.samples[-1]
        first = next(s for s in self.samples if s.at_s >= last.at_s - over_s)
        took_s = last.at_s - first.at_s
        return (last.published_n - first.published_n) / took_s if took_s else 0.0

    def _new(self, channel: Channel) -> Iterator[Record]:
        end = self.reader.bounds(channel, PARTITION).end
        for batch in self.reader.read(channel, PARTITION, self._positions.get(channel, 0), end):
            for record in batch:
                # At once, so that a read that fails later repeats nothing.
                self._positions[channel] = record.offset + 1
                yield record
        self._positions[channel] = end
