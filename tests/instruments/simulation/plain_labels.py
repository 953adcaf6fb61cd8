"""What of a partition's events waits for its labels: section 6 of the contract, told plainly.

It shares no code with `stream.core.labels` or `stream.core.fold`: everything is looked through each
time, and nothing here is quick.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.instruments.simulation.labels_source import Said
from tests.instruments.simulation.plain_policy import PlainTime
from tests.instruments.simulation.workload import Fact

AT_ONCE_N = 50
"""So many events expire in one step at most; the next ones take the rest."""

_COUNTED = ("expired", "dropped", "unknown", "corrected")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRules:
    """The settings, as the configuration has them."""

    wait_ms: int
    pending_max: int
    early_max: int
    on_expiry: str
    on_correction: str
    unknown: str
    publish: str
    has_features: bool
    has_topic: bool


@dataclass(slots=True)
class Kept:
    """An event that waits, or is kept for corrections.

    Attributes:
        own_id: what it is called in outcomes; given_id: None: it brought none.
        features: as its model saw them; answer: what was published of it.
        known: the last label that had come when it was predicted.
        since_ms: the fold's time when its label came.
    """

    offset: int
    fact: Fact
    own_id: str
    given_id: str | None
    features: dict[Hashable, Any]
    answer: Mapping[str, Any]
    known: Any
    label: bool | None = None
    since_ms: int = 0


class Came(NamedTuple):
    """A label as it came; offset and timestamp are None where none did."""

    label: Any
    offset: int | None
    timestamp_ms: int | None
    key: bytes | None


Place = int | str


@dataclass(slots=True)
class PlainPending:
    """The events that one partition keeps, and the labels that came before theirs.

    Attributes:
        waiting, labelled: by offset; the latter in the order in which their labels came.
        early: by what a label calls its event, in the order in which they came; with the time.
        known: the last label that came.
        totals: of all outcomes, published or not.
    """

    rules: LabelRules
    time: PlainTime = field(default_factory=PlainTime)
    waiting: dict[int, Kept] = field(default_factory=dict)
    labelled: dict[int, Kept] = field(default_factory=dict)
    early: dict[Place, tuple[Came, int]] = field(default_factory=dict)
    known: Any = None
    totals: Counter[str] = field(default_factory=Counter)

    def holds(self, event_id: str) -> bool:
        """Whether an event that brought this id is kept."""
        return any(kept.given_id == event_id for kept in self._all())

    def find(self, place: Place) -> Kept | None:
        """The event that a label is of, if it is kept."""
        if isinstance(place, int):
            return self.waiting.get(place) or self.labelled.get(place)
        return next((kept for kept in self._all() if kept.given_id == place), None)

    def place(self, said: Said, partition: int, prefix: str) -> Place | None:
        """What a label calls its event; None: one of another partition."""
        if said.id is None:
            return said.offset if said.partition == partition else None
        digits = said.id.removeprefix(prefix)
        if digits != said.id and digits.isdecimal() and not self.holds(said.id):
            return int(digits)
        return said.id

    def keep(self, kept: Kept) -> list[Kept]:
        """Keep an event. Returns: what waited, and has no room any more."""
        if kept.label is None:
            self.waiting[kept.offset] = kept
        else:
            self.come(kept, kept.label)
        dropped = []
        over_n = len(self.waiting) + len(self.labelled) - self.rules.pending_max
        for _ in range(min(over_n, AT_ONCE_N)):
            if self.labelled:
                del self.labelled[next(iter(self.labelled))]
            else:
                dropped.append(self.waiting.pop(self._oldest()[0].offset))
        return dropped

    def come(self, kept: Kept, label: bool) -> None:  # it is the label
        """An event has its label now, be it the first or another one."""
        self.waiting.pop(kept.offset, None)
        self.labelled.pop(kept.offset, None)
        kept.label, kept.since_ms, self.known = label, self.time.now, label
        self.labelled[kept.offset] = kept

    def take_early(self, kept: Kept) -> list[Came]:
        """The labels that waited for an event, in the order in which they came."""
        names = (kept.own_id, kept.offset)
        return [self.early.pop(name)[0] for name in list(self.early) if name in names]

    def expired(self) -> list[Kept]:
        """Take out what has waited too long, the oldest first."""
        over = [k for k in self._oldest() if k.fact.timestamp_ms <= self._over_ms][:AT_ONCE_N]
        return [self.waiting.pop(kept.offset) for kept in over]

    def forget(self) -> None:
        """Forget what was labelled long ago."""
        for offset in list(self.labelled)[:AT_ONCE_N]:
            if self.labelled[offset].since_ms > self._over_ms:
                return
            del self.labelled[offset]

    def given_up(self) -> list[tuple[Place, Came]]:
        """Take out labels whose events have not come in time, or for which there is no room."""
        found = []
        for place in list(self.early)[:AT_ONCE_N]:
            came, since_ms = self.early[place]
            if len(self.early) <= self.rules.early_max and since_ms > self._over_ms:
                break
            del self.early[place]
            found.append((place, came))
        return found

    def counts(self) -> tuple[int, ...]:
        """What stands beside a committed offset; () where there was none of it."""
        found = len(self.waiting), *(self.totals[kind] for kind in _COUNTED)
        return found if any(found) else ()

    @property
    def _over_ms(self) -> int:
        return self.time.now - self.rules.wait_ms

    def _oldest(self) -> list[Kept]:
        return sorted(self.waiting.values(), key=lambda k: (k.fact.timestamp_ms, k.offset))

    def _all(self) -> Iterable[Kept]:
        yield from self.waiting.values()
        yield from self.labelled.values()
