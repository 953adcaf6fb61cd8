"""What a fold must do to itself: its numeric breaker, and its reactions to alerts.

Bounds, and when weights are looked at: docs/decisions/numeric-breaker.md. It shares no code with
`stream.core.fold.acting`, `guard` or the monitors' `numeric` and `reactions`.
"""

import copy
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from river import linear_model

from tests.instruments.simulation.plain_policy import PlainTime

MARGIN_MAX, WEIGHT_MAX = 1e9, 1e15
LOOKS = (*(1 << k for k in range(11)),)
"""After so many learned events weights are looked at, beside those of an untrained model."""

NAME = "model:numeric"
"""Of the alert."""


class Harm(NamedTuple):
    """What left its bounds; no number has no threshold. `is_of_model`: not only of the event."""

    measure: str
    value: float | None
    threshold: float | None
    is_of_model: bool


NO_NUMBER = Harm("prediction", None, None, is_of_model=True)
"""An answer of what has answered before."""


def _next_look(learned: int) -> int:
    return next((n for n in LOOKS if n > learned), learned + LOOKS[-1])


@dataclass(slots=True)
class PlainBreaker:
    """The numeric breaker of one model.

    Attributes:
        good: the model when its weights were looked at last and were good; and what it knew.
    """

    is_tripped: bool = False
    look_at: int = 0
    good: tuple[Any, int] | None = None

    def harm(
        self,
        model: Any,
        features: Mapping[Hashable, Any],
        learned: int,
        *,
        has_margin: bool = True,
    ) -> Harm | None:
        """What is wrong with a model that is about to learn these features, and has answered.

        Without `has_margin` nobody looks at the sum of the weights.
        """
        if not isinstance(model, linear_model.LogisticRegression):
            return None
        weights = dict(model.weights)
        if has_margin:
            margin = sum(weights.get(name, 0.0) * value for name, value in features.items())
            margin = float(margin + model.intercept)
            if abs(margin) > MARGIN_MAX:
                return Harm("margin", margin, MARGIN_MAX, is_of_model=False)
        if learned < self.look_at:
            return None
        for weight in weights.values():
            if abs(weight) > WEIGHT_MAX:
                return Harm("weight", float(weight), WEIGHT_MAX, is_of_model=True)
        self.good = copy.deepcopy(model), learned
        self.look_at = _next_look(learned)
        return None

    def trip(self, harm: Harm, model: Any, learned: int) -> tuple[Any, int]:
        """Returns: the model to go on with, and how many events it knows."""
        if harm.is_of_model and self.good is not None:
            good, learned = self.good
            model = copy.deepcopy(good)
        self.is_tripped, self.look_at = True, _next_look(learned)
        return model, learned


class Reaction(NamedTuple):
    """One of the settings: at an alert of this kind or name, do this; not again within."""

    when: str
    do: str
    cooldown: int
    by_time: bool


@dataclass(slots=True)
class PlainReactions:
    """When reactions acted, all that ever did."""

    rules: Sequence[Reaction]
    acted: list[tuple[Reaction, int]] = field(default_factory=list)
    n: int = 0
    time: PlainTime = field(default_factory=PlainTime)

    def see(self, timestamp_ms: int, *, is_event: bool = True) -> None:
        """A record of the events topic is over, valid or not; a label there is no event."""
        self.n += is_event
        self.time.see(timestamp_ms)

    def due(self, alerts: Sequence[Mapping[str, Any]]) -> list[tuple[Reaction, Mapping[str, Any]]]:
        """Which want to act on the alerts of this record: of several that do the same, the first.

        Only where an alert begins; with a policy one that only goes on, or ends, is none.
        """
        begin = [each for each in alerts if each.get("state", "firing") == "firing"]
        due: list[tuple[Reaction, Mapping[str, Any]]] = []
        for rule in self.rules:
            why = [each for each in begin if rule.when in (each["kind"], each["name"])]
            is_first = rule.do not in [other.do for other, _ in due]
            if why and is_first and self._is_rested(rule):
                due.append((rule, why[0]))
        return due

    def note(self, rule: Reaction) -> None:
        """It has acted."""
        self.acted.append((rule, self._now(rule)))

    def _is_rested(self, rule: Reaction) -> bool:
        return all(
            self._now(rule) - at >= rule.cooldown for other, at in self.acted if other is rule
        )

    def _now(self, rule: Reaction) -> int:
        return self.time.now if rule.by_time else self.n


def told(
    what: str,
    by: str,
    *,
    evidence: Mapping[str, Any],
    versions: tuple[int, int],
    place: Mapping[str, Any],
    pipeline: str,
    source: str = "events",
) -> dict[str, Any]:
    """What the ledger must say of it; a text of why is only looked for.

    Args:
        what: was done.
        by: the breaker, or which reaction.
        evidence: on what.
        versions: of the model, before and since.
        place: number, partition, next offset and event time of the step.
        pipeline: its name.
        source: what the step folded.
    """
    before, after = versions
    return {
        "v": 1,
        "input": source,
        "id": f"{pipeline}/{place['partition']}/{place['n']}/{what}",
        "what": what,
        "by": by,
        "before": {"model": "main", "version": before},
        "after": {"model": "main", "version": after},
        "evidence": evidence,
        **place,
    }
