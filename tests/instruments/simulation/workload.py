"""The upstream: seeded events of every sort, some of them in transactions, over all partitions.

It writes down what it sent (`Fact`), with the reason where it sent something that must be refused,
so that the auditor needs no validator of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

import msgspec

from stream.adapters.memory import MemoryBroker
from stream.adapters.memory.broker import Producer
from stream.adapters.memory.topic import Transaction
from stream.core.event import Headers, Reason
from stream.core.spec import Limits
from tests.instruments.simulation.model import BOMB, WILD

_BOMBS = ("learn", "learn", "predict", "gap", "nan")

LIMITS = Limits(value_bytes_max=400, distinct_features_max=5)
"""So small that a short workload meets them."""

CONCEPT_N = 25
"""After so many events of a partition the label begins to mean the opposite: drift."""

_BURSTS = ((1, 1, 2, 3, 5, 8, 13), (5, 13, 34), (1, 8, 64))
"""How many events come at once; seeds with large bursts have fewer turns, and are done sooner."""

_write = msgspec.json.Encoder().encode

_YS = (0, 1, 0.5, True)
"""What the feature y may be: of each type that a number can have."""

_FLOODS = (8, 13, 21, 34)

FIRST_MS = 1_700_000_000_000
_PRODUCER = "upstream"

_MALFORMED: Sequence[tuple[bytes | None, Reason]] = (
    (None, Reason.NOT_JSON),
    (b"oops", Reason.NOT_JSON),
    (b'{"features": {"x": 1}', Reason.NOT_JSON),
    (b'{"features": {"x": "\xff"}}', Reason.NOT_UTF8),
    (b"[1, 2]", Reason.NOT_AN_OBJECT),
    (b'{"label": true}', Reason.MISSING_FEATURES),
    (b'{"features": {}, "label": true}', Reason.MISSING_FEATURES),
    (b'{"features": {"x": [1]}, "label": true}', Reason.BAD_FEATURE),
    (b'{"features": {"x": NaN}, "label": true}', Reason.NOT_FINITE),
    (b'{"features": {"x": 1e400}, "label": true}', Reason.NOT_FINITE),
    (b'{"features": {"x": 2e15}, "label": true}', Reason.OUT_OF_RANGE),
    (b'{"features": {"x": 1}, "label": "yes"}', Reason.BAD_LABEL),
    (b'{"features": {"x": 1}, "colour": "red"}', Reason.UNKNOWN_FIELD),
    (b'{"features": {"x": 1}, "note": "' + b"." * LIMITS.value_bytes_max, Reason.TOO_LARGE),
)


class Fact(msgspec.Struct, frozen=True):
    """One record that was sent.

    Attributes:
        reason: why it must be refused; None for a valid event (on which the model may yet raise).
        document: what the value of a valid event says.
        said: what it says as a label record; None: it is an event.
    """

    value: bytes | None
    reason: Reason | None = None
    key: bytes | None = None
    timestamp_ms: int = FIRST_MS
    headers: Headers = ()
    document: Mapping[str, Any] = msgspec.field(default_factory=dict)
    said: Any = None


def event(
    label: bool | None = None,
    *,
    key: bytes | None = None,
    bomb: str | None = None,
    **features: float,
) -> Fact:
    """A valid event; `bomb` says where the model raises on it (see `Brittle`)."""
    body: dict[str, object] = dict(features)
    if bomb is not None:
        body[BOMB] = bomb
    document = {"features": body, "label": label}
    return Fact(msgspec.json.encode(document), key=key, document=document)


def events(n: int, *, seed: int = 0) -> list[Fact]:
    """Valid events with labels, all different."""
    rng = Random(seed)
    return [event(x > 0, x=x, y=rng.random()) for x in (rng.uniform(-1, 1) for _ in range(n))]


class Labeller(Protocol):
    """Makes labels that come later; `share` of what comes among the events is its own."""

    share: float

    def fact(self, partition: int) -> Fact:
        """A label among the events."""
        ...

    def again(self, partition: int) -> str | None:
        """The id of an event before, for one more; None: not now."""
        ...


@dataclass(slots=True)
class _Open:
    """An upstream's transaction that has not ended, and what it sent."""

    producer: Producer
    transaction: Transaction
    sent: list[tuple[int, int]] = field(default_factory=list)


class Workload:
    """Sends events, and knows all that can be read of them.

    Attributes:
        facts: partition -> offset -> what lies there; aborted records are taken out again.
        left_n: how many records are still to come.
        flood: the chance that a burst is a flood of records to refuse: a bad deploy.
        wild: the chance that an event has a number that no model's should learn, or makes one
            answer with none.
        labeller: makes labels that come later; None: nobody does.
        labelled: the chance that an event brings its own label.
    """

    def __init__(
        self, broker: MemoryBroker, *, topic: str, rng: Random, partitions_n: int, records_n: int
    ) -> None:
        self.flood = self.wild = 0.0
        self.labelled = 0.85
        self.labeller: Labeller | None = None
        self._broker = broker
        self._topic = topic
        self._rng = rng
        self._open: list[_Open] = []
        self._made_n = [0] * partitions_n
        self._bursts = rng.choice(_BURSTS)
        self.facts: list[dict[int, Fact]] = [{} for _ in range(partitions_n)]
        self.left_n = records_n

    def send(
        self, facts: Sequence[Fact], *, partition: int = 0, is_committed: bool | None = None
    ) -> None:
        """Append records: alone, or in a transaction that commits (True) or aborts (False)."""
        if is_committed is None:
            self._append(facts, partition, None)
            return
        begun = self._begin()
        self._append(facts, partition, begun)
        self._end(begun, is_committed=is_committed)

    def feed(self) -> None:
        """One burst to some partition, alone or in a transaction; or the end of a transaction."""
        rng = self._rng
        if self._open and rng.random() < 0.5:
            self._end(self._open[0], is_committed=rng.random() < 0.6)
            return
        is_flood = rng.random() < self.flood
        burst_n = min(self.left_n, rng.choice(_FLOODS if is_flood else self._bursts))
        self.left_n -= burst_n
        partition = rng.randrange(len(self.facts))
        facts = [self._bad() if is_flood else self._any(partition) for _ in range(burst_n)]
        if rng.random() < 0.6:
            self._append(facts, partition, None)
            return
        begun = self._open[0] if self._open and rng.random() < 0.5 else self._begin()
        self._append(facts, partition, begun)

    def finish(self) -> None:
        """All that is to come, and the end of every transaction."""
        while self.left_n:
            self.feed()
        self.settle()

    def settle(self) -> None:
        """The end of every transaction."""
        for begun in tuple(self._open):
            self._end(begun, is_committed=self._rng.random() < 0.6)

    def grow(self) -> None:
        """One more partition, which the topic has already."""
        self.facts.append({})
        self._made_n.append(0)

    def ahead(self, partition: int) -> tuple[Callable[[int], str], int]:
        """The ids that the next events of a partition may have, and where the next one lies."""
        made_n = self._made_n[partition]
        end = self._broker.partition(self._topic, partition).end
        return lambda n: f"e-{partition}-{made_n + n}", end

    def cut(self, partition: int, end: int) -> None:
        """Forget what lay at `end` and beyond: the log lost it."""
        facts = self.facts[partition]
        for offset in [offset for offset in facts if offset >= end]:
            del facts[offset]
        for begun in self._open:
            begun.sent = [place for place in begun.sent if place[0] != partition or place[1] < end]

    def refill(self, partition: int, records_n: int) -> None:
        """Append records that nobody has counted on, the first with an outcome like no other's.

        Records with the outcomes of those that were there are as good as these.
        """
        if records_n:
            self._made_n[partition] += 1
            document = {"features": {"x": 1.0}, "id": f"new-{partition}-{self._made_n[partition]}"}
            first = Fact(_write(document), document=document)
            others = [self._any(partition) for _ in range(records_n - 1)]
            self._append([first, *others], partition, None)

    def _begin(self) -> _Open:
        producer = self._broker.producer(f"{_PRODUCER}-{self._broker.serial()}")
        begun = _Open(producer, self._broker.begin(producer))
        self._open.append(begun)
        return begun

    def _append(self, facts: Sequence[Fact], partition: int, begun: _Open | None) -> None:
        log, known = self._broker.partition(self._topic, partition), self.facts[partition]
        for offset, fact in enumerate(facts, log.end):
            known[offset] = fact
            log.append(
                timestamp_ms=fact.timestamp_ms,
                key=fact.key,
                value=fact.value,
                headers=fact.headers,
                transaction=None if begun is None else begun.transaction,
            )
        if begun is not None:
            begun.sent += [(partition, offset) for offset in range(log.end - len(facts), log.end)]

    def _end(self, begun: _Open, *, is_committed: bool) -> None:
        self._open.remove(begun)
        if is_committed:
            self._broker.commit(begun.producer, begun.transaction)
            return
        self._broker.abort(begun.producer)
        for partition, offset in begun.sent:
            del self.facts[partition][offset]

    def _bad(self) -> Fact:
        """Junk, or what the model raises on."""
        if self._rng.random() < 0.8:
            return Fact(b"oops", Reason.NOT_JSON)
        return event(label=True, bomb="learn", x=self._rng.random())

    def _any(self, partition: int) -> Fact:
        if self.labeller is not None and self._rng.random() < self.labeller.share:
            return self.labeller.fact(partition)
        n = self._made_n[partition]
        self._made_n[partition] += 1
        chance = self._rng.random  # `randrange` and `choice` take five times as long
        at_ms = FIRST_MS + 1000 * n + int(6000 * chance()) - 3000  # event time is in no order
        key = None if chance() < 0.3 else b"key-%d" % int(9 * chance())
        headers = (("trace", b"%d" % n),) if chance() < 0.1 else ()
        if chance() < 0.1:
            value, reason = self._rng.choice(_MALFORMED)
            return Fact(value, reason, key, at_ms, headers)
        x = 2 * chance() - 1
        features: dict[str, object] = {"x": x, "y": _YS[int(4 * chance())]}
        if chance() < 0.2:
            features[f"rare-{int(6 * chance())}"] = chance()
        if chance() < 0.03:
            features[BOMB] = self._rng.choice(_BOMBS)
        if self.wild and chance() < self.wild:
            features |= self._wild()
        document: dict[str, object] = {"features": features}
        if chance() < self.labelled:
            document["label"] = (x > 0) != (n // CONCEPT_N % 2 == 1)
        if chance() < 0.5:
            document["id"] = f"e-{partition}-{n}"
        if self.labeller is not None and (known := self.labeller.again(partition)) is not None:
            document["id"] = known
        return Fact(_write(document), None, key, at_ms, headers, document)

    def _wild(self) -> dict[str, object]:
        """A number that bursts a linear model, of a feature that all have or few; or no answer."""
        name = self._rng.choice(("x", "rare-0", "rare-1", "rare-2", BOMB))
        return {name: "nan" if name == BOMB else self._rng.choice((-WILD, WILD))}
