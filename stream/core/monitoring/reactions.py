"""What a fold does by itself when an alert is announced: which rules fire, and when again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, NamedTuple

from msgspec import UNSET

from stream.core.monitoring.fold_time import FoldTime
from stream.core.monitoring.policy_spec import Unit
from stream.core.result import AlertValue

NAME: Final = "reactions"
"""Of the part, and of its tables in the configuration."""

Do = Literal["freeze", "reset"]


class Rule(NamedTuple):
    """One reaction.

    Attributes:
        when: the kind of an alert, or its name.
        cooldown: so long after it acted it does not act again, in records, or milliseconds of fold
            time, as `unit` says.
    """

    when: str
    do: Do
    cooldown: int = 1000
    unit: Unit = "events"


class Reactions:
    """When each rule acted last; a deterministic fold, pickled with the state."""

    __slots__ = ("_acted", "_rules", "_time")

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules
        self._time = FoldTime() if any(each.unit == "ms" for each in rules) else None
        self._acted: dict[int, int] = {}

    def due(
        self, n: int, timestamp_ms: int | None, alerts: Sequence[AlertValue]
    ) -> list[tuple[int, Rule, AlertValue]]:
        """Let a record pass, the `n`th: the rules that want to act at the end of its step.

        Each with its number, and why. Without a timestamp time does not pass.

        Of several that want the same the first does it.
        """
        if self._time is not None and timestamp_ms is not None:
            self._time.see(timestamp_ms)
        firing = [each for each in alerts if each.state in (UNSET, "firing")]
        found: dict[Do, tuple[int, Rule, AlertValue]] = {}
        for number, rule in enumerate(self._rules) if firing else ():
            why = next((each for each in firing if rule.when in (each.kind, each.name)), None)
            if why is not None and self._is_rested(number, n):
                found.setdefault(rule.do, (number, rule, why))
        return list(found.values())

    def acted(self, number: int, n: int) -> None:
        """Begin the cool-down of a rule that has acted at the `n`th record."""
        self._acted[number] = self._now(self._rules[number], n)

    def _is_rested(self, number: int, n: int) -> bool:
        rule, acted = self._rules[number], self._acted.get(number)
        return acted is None or self._now(rule, n) - acted >= rule.cooldown

    def _now(self, rule: Rule, n: int) -> int:
        return n if rule.unit == "events" or self._time is None else self._time.now_ms


@dataclass(frozen=True, slots=True)
class ReactionsSpec:
    """The settings: the rules, in the order in which they were written."""

    name: ClassVar = NAME
    version: ClassVar = 1
    rules: tuple[Rule, ...]

    def settings(self) -> Mapping[str, Any]:
        """All: none is the usual one."""
        return {"rules": [list(rule) for rule in self.rules]}

    def begin(self) -> Reactions:
        """Before the first step."""
        return Reactions(self.rules)
