"""The right answer: a plain river loop over the same records, and what must follow from it.

It shares no code with the worker: what an event says it knows from whoever sent it, and a model
that raised is replaced by the copy made before.
"""

import copy
from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isnan
from types import MappingProxyType
from typing import Any

from river import drift

from stream.core.event import Channel
from stream.core.monitoring.episodes import Finding
from stream.core.monitoring.monitors import Monitors
from stream.core.monitoring.monitors_spec import MonitorsSpec
from stream.core.problems import BINARY
from tests.instruments.simulation.control_topic import Sent
from tests.instruments.simulation.model import BOMB, Brittle
from tests.instruments.simulation.plain_commands import REFUSED, Commanded, told
from tests.instruments.simulation.plain_policy import Fired, PlainPolicy, Rules, Step
from tests.instruments.simulation.workload import LIMITS, Fact

DETECTOR: Mapping[str, Any] = {"min_instances": 8, "delta": 0.005, "threshold": 1.5}

OUTPUTS = (Channel.PREDICTIONS, Channel.ALERTS, Channel.QUARANTINE, Channel.LEDGER)

Told = tuple[int, bytes | None, Any, Mapping[str, bytes | None]]
"""Of a published record: its timestamp, its key, what its value says, its headers."""

_State = tuple[Brittle, Any, set[Hashable]]


def _nothing_failed() -> deque[bool]:
    return deque(maxlen=100)


def _iso(timestamp_ms: int) -> str:
    at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=timestamp_ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _untrained() -> _State:
    return Brittle(), drift.PageHinkley(**DETECTOR), set()


def _copied(model: Brittle) -> Brittle:
    copied = Brittle(model.rate)
    copied.weights, copied.bias = dict(model.weights), model.bias
    return copied


@dataclass(slots=True)
class PlainLoop:
    """Predict, learn, detect: one partition's events in order, and what must come out.

    Attributes:
        genesis: where it began.
        history: every offset that it stopped at -> steps, events learned by then.
        refused: the refused records, each by its number, from 1 on.
        has_answered: the model gave numbers for an event after it had learned one.
        failed: of the last hundred events, whether the model failed on them.
        is_failing: on more than ten, and on more than five ever since.
        closed_n: so many records have been processed when the worker decided that no new name is
            taken in any more: that is its own affair, it says so beside the committed offset.
        left_out_n: as many when one was left out for the first time, which is told.
        rules: of the policy on alerts; None: all that is found is told.
        monitors: their settings; they are the worker's own, fed by hand with what was accepted.
        errors: what the detector was fed since its last alarm.
        commanded: what commands have made of it.
    """

    pipeline: str
    topic: str
    partition: int
    facts: Mapping[int, Fact]
    genesis: int = 0
    offset: int = 0
    n: int = 0
    learned: int = 0
    refused: list[int] = field(default_factory=list)
    has_answered: bool = False
    failed: deque[bool] = field(default_factory=_nothing_failed)
    is_failing: bool = False
    closed_n: int | None = None
    left_out_n: int | None = None
    history: dict[int, set[tuple[int, int]]] = field(default_factory=dict)
    outputs: dict[Channel, list[Told]] = field(
        default_factory=lambda: {channel: [] for channel in OUTPUTS}
    )
    rules: Rules | None = None
    monitors: MonitorsSpec | None = None
    errors: list[int] = field(default_factory=list)
    commanded: Commanded = field(default_factory=Commanded)
    _policy: PlainPolicy | None = None
    _watched: Monitors | None = None
    _at: tuple[int, Fact, int] | None = None
    _state: _State = field(default_factory=_untrained)

    def run_to(self, end: int) -> None:
        """Process everything below an offset."""
        facts = self.facts
        for offset in range(self.offset, end):
            fact = facts.get(offset)
            if fact is not None:
                self.n += 1
                learned, refused_n = self.learned, len(self.refused)
                self._at = offset, fact, learned
                self._process(offset, fact)
                if len(self.refused) > refused_n:
                    self._watch_flow(fact, refused_n)
                if self._policy is not None:
                    valid_n = self.n - 1 - refused_n
                    self._policy.close(Step(self.n, offset, fact.timestamp_ms, learned, valid_n))
        self.offset = max(self.offset, end)
        self.note_stop(end)

    def note_stop(self, offset: int) -> None:
        """Note that it stopped here; commands are steps, so there are several at one offset."""
        self.history.setdefault(offset, set()).add((self.n, self.learned))

    def command(self, sent: Sent, *, before_all_n: int) -> None:
        """Fold a command in; done before, it is a step that does nothing.

        The program counted `before_all_n` steps before the first of these.
        """
        commanded, command, n = self.commanded, sent.command, before_all_n + self.n
        assert command is not None
        self.n += 1
        commanded.places.append((self.offset, sent))
        if command["id"] not in commanded.done:
            commanded.done.add(command["id"])
            before, reason = commanded.version, None
            if command["what"] in REFUSED:
                reason = "nothing to promote"
            commanded.obey(command, n, reset=self._reset)
            self._answer(sent, n, before=before, reason=reason)
        self.note_stop(self.offset)

    def come_late(self, sent: Sent, *, before_all_n: int) -> None:
        """Answer a command that is not done any more; no step."""
        n, version = before_all_n + self.n, self.commanded.version
        self._answer(sent, n, before=version, reason="late", own_id=f"/{sent.offset}")

    def _answer(
        self, sent: Sent, n: int, *, before: int, reason: str | None, own_id: str = ""
    ) -> None:
        self.outputs[Channel.LEDGER].append(
            told(
                sent, pipeline=self.pipeline, n=n, offset=self.offset,
                event_time=_iso(sent.timestamp_ms), before=before, after=self.commanded.version,
                reason=reason, own_id=own_id,
            )
        )  # fmt: skip

    def _reset(self) -> None:
        """Another model and detector, untrained; the names that there were stay known."""
        names = self._state[2]
        self._state = (*_untrained()[:2], names)
        self.learned = 0
        self.failed.clear()
        self.has_answered = self.is_failing = False
        self.errors = []

    def begin_again(self, genesis: int) -> None:
        """From here on with an untrained model."""
        self.genesis = genesis
        self.offset = max(self.offset, genesis)
        self.n = self.learned = 0
        self.refused.clear()
        self.failed.clear()
        self.has_answered = self.is_failing = False
        self.closed_n = self.left_out_n = None
        self._state = _untrained()
        self.errors = []
        if self.rules is not None:
            self._policy = PlainPolicy(
                self.rules, tell=self._tell, holds_on=self._holds_on, ongoing=self._ongoing
            )
            self._watched = None if self.monitors is None else self.monitors.begin()
        self.commanded.begin_again()
        self.note_stop(genesis)
        for _, sent in (each for each in self.commanded.places if each[0] == genesis):
            self.n += 1  # what was commanded there is commanded again, and told no second time
            self.commanded.obey(sent.command or {}, 0, reset=self._reset)

    def ahead(self, end: int) -> "PlainLoop":
        """Another that has gone on to an offset; this one stays where it is."""
        other = PlainLoop(self.pipeline, self.topic, self.partition, self.facts)
        other.offset, other.n, other.learned = self.offset, self.n, self.learned
        other.refused = list(self.refused)
        other.failed, other.is_failing = self.failed.copy(), self.is_failing
        other.has_answered = self.has_answered
        other.closed_n, other.left_out_n = self.closed_n, self.left_out_n
        other.commanded.is_frozen = self.commanded.is_frozen
        other._state = copy.deepcopy(self._state)
        other.run_to(end)
        return other

    def _process(self, offset: int, fact: Fact) -> None:
        if fact.reason is not None:
            self._refuse(offset, fact, fact.reason.value)
            return
        features: dict[Hashable, Any] = fact.document["features"]
        model, detector, names = self._state
        # The model raises before the detector is told.
        spare = (_copied(model), detector, set(names)) if BOMB in features else None
        is_left_out = False
        if self.closed_n is not None and self.n > self.closed_n:
            known = {name: value for name, value in features.items() if name in names}
            if not known:
                self._refuse(offset, fact, "too_many_features")
                return
            is_left_out, features = len(known) < len(features), known
        elif not names.issuperset(features):
            if len(names | features.keys()) > LIMITS.distinct_features_max:
                self._refuse(offset, fact, "too_many_features")
                return
            names.update(features)
        try:
            self._learn(offset, fact, features, is_left_out=is_left_out)
        except (ArithmeticError, ValueError):
            assert spare is not None
            self._state = spare
            self._refuse(offset, fact, "model_error")
            self._note(is_failure=True)

    def _learn(
        self, offset: int, fact: Fact, features: dict[Hashable, Any], *, is_left_out: bool
    ) -> None:
        model, detector, _ = self._state
        document = fact.document
        label = document.get("label")
        learned_before = self.learned
        answer: dict[str, Any] = {"prediction": None, "fault": True}
        try:
            chances = model.predict_proba_one(features)
        except ArithmeticError:
            if self.has_answered:
                raise
        else:
            if not any(map(isnan, chances.values())):
                # Of a tie the first one wins, as in river.
                answer = {"prediction": chances[True] > chances[False]}
                answer["probabilities"] = {"false": chances[False], "true": chances[True]}
        value = {
            "v": 1,
            "id": document.get("id") or f"{self.topic}-{self.partition}-{offset}",
            "partition": self.partition,
            "offset": offset,
            "learned": learned_before,
            **answer,
        }
        if label is not None:
            value["label"] = label
            if not self.commanded.is_frozen:
                model.learn_one(features, label)
                self.learned += 1
            self.errors.append(int(answer["prediction"] != label))
            detector.update(self.errors[-1])
        self._expect(Channel.PREDICTIONS, fact, fact.key, value)
        is_fault = "fault" in answer
        self.has_answered |= learned_before > 0 and not is_fault
        self._note(is_failure=is_fault)
        if is_left_out and self.left_out_n is None:
            self.left_out_n = self.n - 1
            told = "input", "state_bytes", "model:names", "names", "changed", "critical"
            self._find(Fired(*told))
        if label is not None and detector.drift_detected:
            direction = self._direction()
            severity = "info" if direction == "better" else "warning"
            self._find(Fired("drift", "PageHinkley", "ph", "error", direction, severity))
            self.errors = []
        self._watch(fact, features, label, answer)

    def _watch(
        self, fact: Fact, features: dict[Hashable, Any], label: Any, answer: Mapping[str, Any]
    ) -> None:
        """Show the monitors an event that was accepted and learned."""
        if self._watched is None:
            return
        value, chances = answer["prediction"], answer.get("probabilities")
        shown = {str(name): each for name, each in features.items()}
        chance = None if chances is None else float(chances["true"])
        error = None if label is None else float(value != label)
        self._watched.rows.append((shown, label, value, chance, error))
        if len(self._watched.rows) == self._watched.block_n:
            for each in self._watched.close(BINARY):
                self._found(each)
            self._watch_flow(fact, len(self.refused))

    def _watch_flow(self, fact: Fact, refused_n: int) -> None:
        if self._watched is not None:
            for each in self._watched.flow(self.n - 1, refused_n, fact.timestamp_ms):
                self._found(each)

    def _found(self, of: Finding) -> None:
        self._find(_fired(of))

    def _ongoing(self) -> Iterator[Fired]:
        if self._watched is not None:
            yield from map(_fired, self._watched.ongoing())

    def _direction(self) -> str:
        """Whether the error rose or fell: of the last hundred values, or half, and those before."""
        after_n = max(1, min(100, len(self.errors) // 2))
        before, after = self.errors[:-after_n], self.errors[-after_n:]
        rise = sum(after) * len(before) - sum(before) * len(after) if before else 0
        return "worse" if rise > 0 else "better" if rise < 0 else "changed"

    def _note(self, *, is_failure: bool) -> None:
        """A valid event is over; tell if the model failed on more than a tenth of a hundred."""
        self.failed.append(is_failure)
        failed_n = sum(self.failed)
        was_failing = self.is_failing
        self.is_failing = failed_n > (5 if was_failing else 10)
        # A policy counts each of them; without one the first is told.
        is_told = self.is_failing if self._policy is not None else failed_n > 10 and not was_failing
        if is_failure and is_told:
            words = "numeric", "failures", "model:failures", "failure", "worse", "critical"
            self._find(Fired(*words))

    def _holds_on(self, name: str) -> bool:
        return {"model:names": self.left_out_n is not None, "model:failures": self.is_failing}.get(
            name, False
        )

    def _find(self, fired: Fired) -> None:
        if self._policy is not None:
            self._policy.fire(fired)
        else:
            self._alert(fired, f"{{}}/{fired.name}", {})

    def _tell(self, first: Fired, words: dict[str, Any]) -> None:
        """What the policy lets through."""
        began, (since, since_ms) = words.pop("began"), words.pop("since")
        episode = f"{self._where}/{first.kind}/{first.name}/{first.signal}/{began}"
        words |= {
            "direction": first.direction,
            "episode": episode,
            "since": {"offset": since, "event_time": _iso(since_ms)},
        }
        self._alert(first, f"{first.kind}/{first.name}/{first.signal}/{began}/{{}}", words)

    @property
    def _where(self) -> str:
        return f"{self.pipeline}/{self.partition}"

    def _alert(self, fired: Fired, own_id: str, words: Mapping[str, Any]) -> None:
        assert self._at is not None
        offset, fact, learned = self._at
        value = {
            "v": 1,
            "id": f"{self._where}/{own_id.format(offset)}",
            "kind": fired.kind,
            "detector": fired.detector,
            "name": fired.name,
            "signal": fired.signal,
            "partition": self.partition,
            "offset": offset,
            "event_time": _iso(fact.timestamp_ms),
            "learned": learned,
            **words,
        }
        self._expect(Channel.ALERTS, fact, self._where.encode(), value)

    def _refuse(self, offset: int, fact: Fact, reason: str) -> None:
        self.refused.append(self.n)
        value = fact.value if fact.value is None else fact.value[: LIMITS.value_bytes_max]
        headers = dict(fact.headers) | {
            "stream.reason": reason.encode(),
            "stream.topic": self.topic.encode(),
            "stream.partition": str(self.partition).encode(),
            "stream.offset": str(offset).encode(),
            "stream.pipeline": self.pipeline.encode(),
        }
        self._expect(Channel.QUARANTINE, fact, fact.key, value, headers)

    def _expect(
        self,
        channel: Channel,
        fact: Fact,
        key: bytes | None,
        value: object,
        headers: Mapping[str, bytes | None] = MappingProxyType({}),
    ) -> None:
        self.outputs[channel].append((fact.timestamp_ms, key, value, headers))


def _fired(of: Finding) -> Fired:
    words = of.kind, of.detector, of.name, of.signal, of.direction, of.severity.word
    return Fired(*words, of.values_n, of.measured is not None)
