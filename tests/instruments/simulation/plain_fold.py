"""The right answer for one partition: predict, learn, detect; what is refused; what is told.

It shares no code with the worker: what an event says it knows from whoever sent it, and a model
that raised is replaced by the copy made before.
"""

import copy
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from math import isnan
from types import MappingProxyType
from typing import Any

from river import drift

from stream.core.event import Channel
from stream.core.monitoring.monitors_spec import MonitorsSpec
from tests.instruments.simulation import plain_acting
from tests.instruments.simulation.model import BOMB, Brittle
from tests.instruments.simulation.plain_acting import Harm, PlainBreaker, PlainReactions, Reaction
from tests.instruments.simulation.plain_alerts import PlainAlerts
from tests.instruments.simulation.plain_commands import Commanded
from tests.instruments.simulation.plain_labels import Kept, LabelRules, PlainPending
from tests.instruments.simulation.plain_policy import Fired, Rules
from tests.instruments.simulation.workload import LIMITS, Fact

DETECTOR: Mapping[str, Any] = {"min_instances": 8, "delta": 0.005, "threshold": 1.5}

OUTPUTS = (
    Channel.PREDICTIONS, Channel.ALERTS, Channel.QUARANTINE, Channel.LEDGER, Channel.OUTCOMES,
    Channel.LABELS,
)  # fmt: skip
"""What is published; the last are the labels that are refused, which lie in the quarantine, too,
and in no order with the events there."""

Told = tuple[int, bytes | None, Any, Mapping[str, bytes | None]]
"""Of a published record: its timestamp, its key, what its value says, its headers."""

_State = tuple[Any, Any, set[Hashable]]
"""Model, detector, and names that were taken in."""


def copied(model: Any) -> Any:
    """A model to go back to."""
    if not isinstance(model, Brittle):
        return copy.deepcopy(model)
    other = Brittle(model.rate)
    other.weights, other.bias = dict(model.weights), model.bias
    return other


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What folds are configured with, as far as it decides what is published.

    Attributes:
        make: gives an untrained model.
        rules: of the policy on alerts; None: all that is found is told.
        monitors: their settings; they are the worker's own, fed by hand with what was accepted.
        has_breaker: the numeric one.
        reactions: in their order.
        labels: how labels that come later are waited for; None: they never come.
    """

    make: Callable[[], Any] = Brittle
    rules: Rules | None = None
    monitors: MonitorsSpec | None = None
    has_breaker: bool = False
    reactions: tuple[Reaction, ...] = ()
    labels: LabelRules | None = None


@dataclass(slots=True)
class PlainFold:
    """What one partition's records come to, in order.

    Attributes:
        genesis: where it began.
        n: steps: records, commands and labels.
        records_n: of the steps those that are events, valid or not.
        labelled_n: events with a label, learned or not.
        refused: the refused records, each by its number among the records, from 1 on.
        has_answered: the model gave numbers for an event after it had learned one.
        valid_n: events that no check refused; failed: the numbers of those among them on which
            the model failed, or of the next one, where it failed on a label that came later.
        is_failing: on more than ten, and on more than five ever since.
        closed_n: so many steps were done when the worker decided that no new name is taken in any
            more: that is its own affair, it says so beside the committed offset.
        left_out_n: as many when one was left out for the first time, which is told.
        errors: what the detector was fed since its last alarm.
        commanded: what commands have made of it.
        breaker: the numeric one; None: there is none.
        pending: the events that wait for labels; None: none does.
        asked_learned: how many events the model had learned when it was asked last.
    """

    pipeline: str
    topic: str
    partition: int
    facts: Mapping[int, Fact]
    plan: Plan = Plan()
    genesis: int = 0
    offset: int = 0
    n: int = 0
    records_n: int = 0
    labelled_n: int = 0
    learned: int = 0
    refused: list[int] = field(default_factory=list)
    has_answered: bool = False
    valid_n: int = 0
    failed: list[int] = field(default_factory=list)
    is_failing: bool = False
    closed_n: int | None = None
    left_out_n: int | None = None
    outputs: dict[Channel, list[Told]] = field(
        default_factory=lambda: {channel: [] for channel in OUTPUTS}
    )
    errors: list[int] = field(default_factory=list)
    commanded: Commanded = field(default_factory=Commanded)
    breaker: PlainBreaker | None = None
    pending: PlainPending | None = None
    asked_learned: int = 0
    _kept: Kept | None = None
    _reactions: PlainReactions | None = None
    _harm: Harm | None = None
    _alerts: PlainAlerts = field(init=False)
    _state: _State = field(init=False)

    def __post_init__(self) -> None:
        self._begin_untrained(set())
        self._begin_watching()

    def _arm(self) -> None:
        """The breaker looks again; what it alarmed of is over."""
        if self.breaker is not None and self.breaker.is_tripped:
            self.breaker.is_tripped = False
            self._alerts.release(plain_acting.NAME)

    def _reset(self) -> None:
        """Another model and detector, untrained; the names that there were stay known.

        What the breaker froze learns.
        """
        if self.breaker is not None:
            if self.breaker.is_tripped:
                self.commanded.is_frozen = self.commanded.is_frozen_by_command
            self._arm()
            self.breaker = PlainBreaker()
        self._begin_untrained(self._state[2])

    def _begin_untrained(self, names: set[Hashable]) -> None:
        self._state = self.plan.make(), drift.PageHinkley(**DETECTOR), names
        self.learned = 0
        self.failed.clear()
        self.has_answered = self.is_failing = False
        self.errors = []

    def _begin_watching(self) -> None:
        plan = self.plan
        self._alerts = PlainAlerts(
            f"{self.pipeline}/{self.partition}", plan.rules, plan.monitors, self._publish,
            self._holds_on,
        )  # fmt: skip
        self.breaker = PlainBreaker() if plan.has_breaker else None
        self._reactions = PlainReactions(plan.reactions) if plan.reactions else None
        self.pending = None if plan.labels is None else PlainPending(plan.labels)

    def _process(self, offset: int, fact: Fact) -> None:
        if fact.reason is not None:
            self._refuse(offset, fact, fact.reason.value)
            return
        given_id = fact.document.get("id")
        if self.pending is not None and given_id is not None and self.pending.holds(given_id):
            self._refuse(offset, fact, "duplicate")
            return
        features: dict[Hashable, Any] = fact.document["features"]
        model, detector, names = self._state
        # The model raises before the detector is told.
        spare = (copied(model), detector, set(names)) if BOMB in features else None
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
        except (ArithmeticError, ValueError, TypeError):
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
        learned_before, harm = self.learned, None
        self.asked_learned = learned_before
        answer, is_no_number = self._asked(features)
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
                harm = self._look(features, answer, is_no_number=is_no_number)
            if not (self.commanded.is_frozen or harm):
                model.learn_one(features, label)
                self.learned += 1
            self.labelled_n += 1
            self.errors.append(int(answer["prediction"] != label))
            detector.update(self.errors[-1])
        self._expect(Channel.PREDICTIONS, fact, fact.key, value)
        is_fault = "fault" in answer
        self.has_answered |= learned_before > 0 and not is_fault
        self._note(is_failure=is_fault)
        if harm is not None:
            self._harm = harm
            words = "numeric", "breaker", plain_acting.NAME, "breaker", "worse", "critical"
            self._alerts.find(Fired(*words))
        if is_left_out and self.left_out_n is None:
            self.left_out_n = self.n - 1
            told = "input", "state_bytes", "model:names", "names", "changed", "critical"
            self._alerts.find(Fired(*told))
        if label is not None and detector.drift_detected:
            direction = self._direction()
            severity = "info" if direction == "better" else "warning"
            self._alerts.find(Fired("drift", "PageHinkley", "ph", "error", direction, severity))
            self.errors = []
        if self._alerts.watch(features, label, answer):
            n, refused_n = self.records_n - 1, len(self.refused)
            self._alerts.watch_flow(n, refused_n, fact.timestamp_ms)
        if self.pending is not None:
            given_id, known = document.get("id"), self.pending.known
            self._kept = Kept(offset, fact, value["id"], given_id, features, answer, known, label)

    def _asked(self, features: dict[Hashable, Any]) -> tuple[dict[str, Any], bool]:
        """What the model answers; and whether that is no number."""
        fault: dict[str, Any] = {"prediction": None, "fault": True}
        try:
            chances = self._state[0].predict_proba_one(features)
        except (ArithmeticError, TypeError):
            if self.has_answered:
                raise
            return fault, False
        if any(map(isnan, chances.values())):
            return fault, True
        # Of a tie the first one wins, as in river.
        answer = {"prediction": chances[True] > chances[False]}
        answer["probabilities"] = {"false": chances[False], "true": chances[True]}
        return answer, False

    def _look(
        self, features: Mapping[Hashable, Any], answer: Mapping[str, Any], *, is_no_number: bool
    ) -> Harm | None:
        """What the breaker finds before an event is learned."""
        if self.breaker is None:
            return None
        if "fault" in answer:
            return plain_acting.NO_NUMBER if is_no_number and self.has_answered else None
        return self.breaker.harm(self._state[0], features, self.learned)

    def _direction(self) -> str:
        """Whether the error rose or fell: of the last hundred values, or half, and those before."""
        after_n = max(1, min(100, len(self.errors) // 2))
        before, after = self.errors[:-after_n], self.errors[-after_n:]
        rise = sum(after) * len(before) - sum(before) * len(after) if before else 0
        return "worse" if rise > 0 else "better" if rise < 0 else "changed"

    def _note(self, *, is_failure: bool, is_event: bool = True) -> None:
        """A valid event is over; tell if the model failed on more than a tenth of a hundred.

        Or the model failed on a label, `is_event` False.
        """
        if is_failure:
            self.failed.append(self.valid_n)
        failed_n = sum(each > self.valid_n - 100 for each in self.failed)
        self.valid_n += is_event
        was_failing = self.is_failing
        self.is_failing = failed_n > (5 if was_failing else 10)
        # A policy counts each of them; without one the first is told.
        is_new = failed_n > 10 and not was_failing
        is_told = is_new if self.plan.rules is None else self.is_failing
        if is_failure and is_told:
            words = "numeric", "failures", "model:failures", "failure", "worse", "critical"
            self._alerts.find(Fired(*words))

    def _holds_on(self, name: str) -> bool:
        is_broken = self.breaker is not None and self.breaker.is_tripped
        return {
            "model:names": self.left_out_n is not None,
            "model:failures": self.is_failing,
            plain_acting.NAME: is_broken,
        }.get(name, False)

    def _publish(self, fact: Fact, alert: dict[str, Any]) -> None:
        self._expect(Channel.ALERTS, fact, f"{self.pipeline}/{self.partition}".encode(), alert)

    def _refuse(self, offset: int, fact: Fact, reason: str) -> None:
        self.refused.append(self.records_n)
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
