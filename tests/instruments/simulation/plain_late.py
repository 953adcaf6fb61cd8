"""The right answer for labels that come later: whose each is, what it teaches, what is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from river import linear_model

from stream.core.event import Channel
from tests.instruments.simulation import plain_acting
from tests.instruments.simulation.labels_source import Said, SentLabel
from tests.instruments.simulation.model import BOMB
from tests.instruments.simulation.plain_acting import Harm
from tests.instruments.simulation.plain_alerts import Place as AlertPlace
from tests.instruments.simulation.plain_fold import PlainFold, copied
from tests.instruments.simulation.plain_labels import Came, Kept, Place, PlainPending
from tests.instruments.simulation.plain_policy import Fired
from tests.instruments.simulation.workload import LIMITS, Fact

_OF_NOBODY = ("early", "unknown")


class Found(NamedTuple):
    """What a label came to: how wrong the prediction was, and why it was refused."""

    error: float | None = None
    reason: str | None = None


_NOTHING = Found()


@dataclass(slots=True)
class PlainLate(PlainFold):
    """Teaches the model what it was asked before.

    Attributes:
        before_all_n: steps that the program counted before the first of these.
        source: what the present step folded.
    """

    before_all_n: int = 0
    source: str = "events"
    _harm: Harm | None = None

    @property
    def _has_topic(self) -> bool:
        return self.pending is not None and self.pending.rules.has_topic

    @property
    def _prefix(self) -> str:
        return f"{self.topic}-{self.partition}-"

    def _fold_label(self, said: Said, came: Came, *, seen_until: int) -> None:
        """A label comes: of an event that is kept, of one that is to come, or of nobody."""
        pending = self.pending
        assert pending is not None
        place = pending.place(said, self.partition, self._prefix)
        kept = None if place is None else pending.find(place)
        if kept is not None:
            self._label(pending, came, kept)
        elif place is None or (isinstance(place, int) and place < seen_until):
            name = said.id or f"{self.topic}-{said.partition}-{said.offset}"
            self._tell("unknown", came, name=name)
        else:
            self._wait_for(pending, place, came)

    def _wait_for(self, pending: PlainPending, place: Place, came: Came) -> None:
        before, kind, previous = pending.early.get(place), "early", None
        if before is not None:
            is_same = before[0].label == came.label
            kind, previous = ("repeated", None) if is_same else ("corrected", before[0].label)
        if kind != "repeated":
            pending.early.pop(place, None)
            pending.early[place] = came, pending.time.now
        self._tell(kind, came, name=self._name(place), previous=previous)

    def _label(self, pending: PlainPending, came: Came, kept: Kept) -> None:
        """A label of an event that is kept: its first, the same again, or another one."""
        learned, previous, found = self.learned, kept.label, _NOTHING
        kind = "labeled" if previous is None else "repeated"
        if previous is not None and previous != came.label:
            kind = "corrected"
        is_taught = kind == "corrected" and pending.rules.on_correction == "learn"
        if kind == "labeled" or is_taught:
            found = self._learn_late(kept, came.label, is_scored=kind == "labeled")
        if found.reason is not None:
            kind = "refused"
        if kind in ("labeled", "corrected"):
            pending.come(kept, came.label)
        self._tell(
            kind, came, kept=kept, found=found, learned=learned,
            previous=previous if kind == "corrected" else None,
        )  # fmt: skip

    def _accept(self, kept: Kept) -> None:
        """An event was predicted: it is kept, and a label may have waited for it."""
        pending = self.pending
        assert pending is not None
        if kept.label is not None and pending.rules.publish == "all":
            fact, answer = kept.fact, kept.answer
            came = Came(kept.label, kept.offset, fact.timestamp_ms, fact.key)
            error = float(answer["prediction"] != kept.label)
            self._tell(
                "labeled", came, kept=kept, found=Found(error), is_counted=False,
                learned=self.asked_learned,
            )  # fmt: skip
        dropped = pending.keep(kept)
        if kept.offset in pending.waiting or kept.offset in pending.labelled:
            for came in pending.take_early(kept):
                self._label(pending, came, kept)
        for each in dropped:
            self._over("dropped", each, None, _NOTHING, self.learned)

    def _end_waiting(self) -> None:
        """Let go what has waited too long, at the end of a step."""
        pending = self.pending
        assert pending is not None
        for kept in pending.expired():
            learned, found, label = self.learned, _NOTHING, None
            if pending.rules.on_expiry == "negative":
                found, label = self._learn_late(kept, label=False, is_scored=True), False
                if found.reason is None:
                    pending.come(kept, label=False)
            kind = "expired" if found.reason is None else "refused"
            self._over(kind, kept, label, found, learned)
        pending.forget()
        for place, came in pending.given_up():
            self._tell("unknown", came, name=self._name(place))

    def _learn_late(self, kept: Kept, label: bool, *, is_scored: bool) -> Found:
        """Teach the model the features of an event's own time."""
        model, detector, names = self._state
        harm = None if self.commanded.is_frozen else self._look_again(kept)
        if not (self.commanded.is_frozen or harm):
            spare = copied(model) if BOMB in kept.features else None
            try:
                model.learn_one(dict(kept.features), label)
            except (ArithmeticError, ValueError, TypeError):
                assert spare is not None
                self._state = spare, detector, names
                self._stand_at(self.learned)
                self._note(is_failure=True, is_event=False)
                return Found(reason="model_error")
            self.learned += 1
        error, direction = None, None
        if is_scored:
            error = float(kept.answer["prediction"] != label)
            self.labelled_n += 1
            self.errors.append(int(error))
            detector.update(self.errors[-1])
            direction = self._direction() if detector.drift_detected else None
        self._stand_at(self.learned)
        if error is not None:
            self._alerts.watch_label(kept.features, label, kept.answer, error, kept.known)
        if harm is not None:
            self._harm = harm
            words = "numeric", "breaker", plain_acting.NAME, "breaker", "worse", "critical"
            self._alerts.find(Fired(*words))
        if direction is not None:
            severity = "info" if direction == "better" else "warning"
            self._alerts.find(Fired("drift", "PageHinkley", "ph", "error", direction, severity))
            self.errors = []
        return Found(error)

    def _look_again(self, kept: Kept) -> Harm | None:
        """What the breaker finds: at the sum of weights where the answer was sure of itself."""
        if self.breaker is None or not isinstance(self._state[0], linear_model.LogisticRegression):
            return None
        chances = kept.answer.get("probabilities")
        is_sure = chances is not None and not 0 < chances["true"] < 1
        return self.breaker.harm(self._state[0], kept.features, self.learned, has_margin=is_sure)

    def _stand_at(self, learned: int) -> None:
        """What is found from now on is told of a model that has learned so many."""
        at = self._alerts.at
        assert at is not None
        self._alerts.at = AlertPlace(at.offset, at.fact, learned, at.id_end)

    def _over(
        self,
        kind: str,
        kept: Kept,
        label: bool | None,
        found: Found,
        learned: int,
    ) -> None:
        came = Came(label, None, None, kept.fact.key)
        self._tell(kind, came, kept=kept, found=found, learned=learned)

    def _tell(
        self,
        kind: str,
        came: Came,
        *,
        kept: Kept | None = None,
        name: str | None = None,
        found: Found = _NOTHING,
        previous: Any = None,
        learned: int | None = None,
        is_counted: bool = True,
    ) -> None:
        """Expect an outcome, if it is one that is published."""
        pending = self.pending
        assert pending is not None
        rules = pending.rules
        pending.totals[kind] += is_counted
        if rules.publish == "none" or (rules.unknown == "count" and kind in _OF_NOBODY):
            return
        value: dict[str, Any] = {
            "v": 1, "n": self.before_all_n + self.n - 1, "input": self.source,
            "id": name if kept is None else kept.own_id, "kind": kind,
            "partition": self.partition, "offset": None, "label_offset": came.offset,
            "event_time_ms": None, "label_time_ms": came.timestamp_ms, "delay_ms": None,
            "prediction": None, "probabilities": None, "label": came.label, "error": found.error,
            "previous": previous, "learned": self.learned if learned is None else learned,
            "features": {},
        }  # fmt: skip
        if kept is not None:
            value |= _of_event(kept, came, has_features=rules.has_features)
        if found.reason is not None:
            value["reason"] = found.reason
        at_ms = pending.time.now if came.timestamp_ms is None else came.timestamp_ms
        self.outputs[Channel.OUTCOMES].append((at_ms, came.key, value, {}))

    def _name(self, place: Place) -> str:
        return place if isinstance(place, str) else f"{self._prefix}{place}"

    def refuse_label(self, sent: SentLabel, topic: str) -> None:
        """A record of the labels topic is refused for its bytes: no step."""
        assert sent.reason is not None
        value = sent.value if sent.value is None else sent.value[: LIMITS.value_bytes_max]
        headers = {
            "stream.reason": sent.reason.value.encode(),
            "stream.topic": topic.encode(),
            "stream.partition": str(self.partition).encode(),
            "stream.offset": str(sent.offset).encode(),
            "stream.pipeline": self.pipeline.encode(),
        }
        fact = Fact(value, timestamp_ms=sent.timestamp_ms, key=sent.key)
        self._expect(Channel.LABELS, fact, sent.key, value, headers)


def _of_event(kept: Kept, came: Came, *, has_features: bool) -> Mapping[str, Any]:
    """What an outcome says of its event."""
    event_ms = kept.fact.timestamp_ms
    return {
        "offset": kept.offset,
        "event_time_ms": event_ms,
        "delay_ms": None if came.timestamp_ms is None else came.timestamp_ms - event_ms,
        "prediction": kept.answer["prediction"],
        "probabilities": kept.answer.get("probabilities"),
        "features": dict(kept.features) if has_features else {},
    }
