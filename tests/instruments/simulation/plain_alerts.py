"""What must be told of one partition beside its outcomes: what was found, and when it ends."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from stream.core.monitoring.episodes import Finding
from stream.core.monitoring.monitors import Monitors
from stream.core.monitoring.monitors_spec import MonitorsSpec
from stream.core.monitoring.rows import LabelRow
from stream.core.problems import BINARY
from tests.instruments.simulation.plain_policy import Fired, PlainPolicy, Rules, Step
from tests.instruments.simulation.workload import Fact


def iso(timestamp_ms: int) -> str:
    """As records say it."""
    at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=timestamp_ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Place(NamedTuple):
    """A record, and how many events the model had learned before it.

    Attributes:
        id_end: how the ids of its alerts end: many labels may come behind one event.
    """

    offset: int
    fact: Fact
    learned: int
    id_end: str = ""


@dataclass(slots=True)
class PlainAlerts:
    """The alerts of one partition.

    Attributes:
        where: pipeline and partition, as ids begin.
        rules: of the policy on alerts; None: all that is found is told.
        monitors: their settings; they are the worker's own, fed by hand with what was accepted.
        publish: is given each alert.
        holds_on: whether what is called so goes on without firing.
        at: the present record.
    """

    where: str
    rules: Rules | None
    monitors: MonitorsSpec | None
    publish: Callable[[Fact, dict[str, Any]], None]
    holds_on: Callable[[str], bool]
    at: Place | None = None
    told: list[dict[str, Any]] = field(default_factory=list)
    policy: PlainPolicy | None = None
    _watched: Monitors | None = None
    _rows: list[LabelRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.rules is not None:
            self.policy = PlainPolicy(
                self.rules, tell=self._tell, holds_on=self.holds_on, ongoing=self._ongoing
            )
            self._watched = None if self.monitors is None else self.monitors.begin()

    def belong_to(
        self, publish: Callable[[Fact, dict[str, Any]], None], holds_on: Callable[[str], bool]
    ) -> None:
        """They are another fold's from now on."""
        self.publish, self.holds_on = publish, holds_on
        if self.policy is not None:
            self.policy.holds_on = holds_on

    def begin(self, place: Place) -> None:
        """A record comes."""
        self.at, self.told = place, []

    def close(self, n: int, *, labelled_n: int, valid_n: int) -> None:
        """The `n`th record is over; so many events had a label, or were valid, before it."""
        if self.policy is not None and self.at is not None:
            at_ms = self.at.fact.timestamp_ms
            self.policy.close(Step(n, self.at.offset, at_ms, labelled_n, valid_n))

    def close_label(self, n: int, *, labelled_n: int, valid_n: int, is_timed: bool) -> None:
        """A label's step is over, which comes before the `n`th record; the counts are of now."""
        if self.policy is not None and self.at is not None:
            at_ms = self.at.fact.timestamp_ms
            step = Step(n, self.at.offset, at_ms, labelled_n, valid_n)
            self.policy.close(step, is_timed=is_timed)

    def find(self, fired: Fired) -> None:
        """Something is found."""
        if self.policy is not None:
            self.policy.fire(fired)
        else:
            self._alert(fired, f"{{}}/{fired.name}", {})

    def release(self, name: str) -> None:
        """What is called so is over."""
        if self.policy is not None:
            self.policy.release(name)

    def watch(self, features: dict[Hashable, Any], label: Any, answer: Mapping[str, Any]) -> bool:
        """Show the monitors an event that was accepted. Returns: whether that ended a block."""
        if self._watched is None:
            return False
        value, chances = answer["prediction"], answer.get("probabilities")
        shown = {str(name): each for name, each in features.items()}
        chance = None if chances is None else float(chances["true"])
        error = None if label is None else float(value != label)
        self._watched.rows.append((shown, label, value, chance, error))
        if len(self._watched.rows) < self._watched.block_n:
            return False
        for each in self._watched.close(BINARY):
            self._found(each)
        return True

    def watch_label(
        self,
        features: Mapping[Hashable, Any],
        label: Any,
        answer: Mapping[str, Any],
        error: float,
        known: Any,
    ) -> None:
        """Show the monitors a label that came later, a block of them at a time."""
        if self._watched is None:
            return
        chances = answer.get("probabilities")
        chance = None if chances is None else float(chances["true"])
        shown = {str(name): each for name, each in features.items()}
        self._rows.append((shown, label, chance, error, known))
        if len(self._rows) >= self._watched.block_n:
            rows, self._rows = self._rows, []
            for each in self._watched.close_labels(rows, BINARY):
                self._found(each)

    def watch_flow(self, n: int, refused_n: int, timestamp_ms: int) -> None:
        """Show the monitors how many records there were before, and how many were refused."""
        if self._watched is not None:
            for each in self._watched.flow(n, refused_n, timestamp_ms):
                self._found(each)

    def _found(self, of: Finding) -> None:
        self.find(_fired(of))

    def _ongoing(self) -> Iterator[Fired]:
        if self._watched is not None:
            yield from map(_fired, self._watched.ongoing())

    def _tell(self, first: Fired, words: dict[str, Any]) -> None:
        """What the policy lets through."""
        began, (since, since_ms) = words.pop("began"), words.pop("since")
        episode = f"{self.where}/{first.kind}/{first.name}/{first.signal}/{began}"
        words |= {
            "direction": first.direction,
            "episode": episode,
            "since": {"offset": since, "event_time": iso(since_ms)},
        }
        self._alert(first, f"{first.kind}/{first.name}/{first.signal}/{began}/{{}}", words)

    def _alert(self, fired: Fired, own_id: str, words: Mapping[str, Any]) -> None:
        assert self.at is not None
        offset, fact, learned, id_end = self.at
        value = {
            "v": 1,
            "id": f"{self.where}/{own_id.format(offset)}{id_end}",
            "kind": fired.kind,
            "detector": fired.detector,
            "name": fired.name,
            "signal": fired.signal,
            "partition": int(self.where.rsplit("/", 1)[1]),
            "offset": offset,
            "event_time": iso(fact.timestamp_ms),
            "learned": learned,
            **words,
        }
        self.told.append(value)
        self.publish(fact, value)


def _fired(of: Finding) -> Fired:
    words = of.kind, of.detector, of.name, of.signal, of.direction, of.severity.word
    return Fired(*words, of.values_n, of.measured is not None)
