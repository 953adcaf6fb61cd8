"""An upstream that knows labels later: early, late, twice, changed, of nobody, or refused.

It sends them among the events, or to a topic of their own, which is away now and then.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgspec

from stream.core.event import Reason
from tests.instruments.simulation.labels_source import AWAY, Hidden, LabelsSource, Said, SentLabel
from tests.instruments.simulation.workload import FIRST_MS, Fact, Workload

_write = msgspec.json.Encoder().encode

_DELAYS_MS = (0, 0, 500, 3_000, 8_000, 20_000, -4_000)
"""After the event's own time: ties, ages, and labels of before it."""

_REFUSED: Sequence[tuple[bytes | None, Reason]] = (
    (b'{"id": null, "label": true}', Reason.NO_ID),
    (b'{"id": "e-0-1", "label": "yes"}', Reason.BAD_LABEL),
    (b'{"id": "e-0-1", "label": 1}', Reason.BAD_LABEL),
    (b'{"id": "e-0-1", "label": null}', Reason.BAD_LABEL),
    (b'{"id": true, "label": true}', Reason.BAD_ID),
)
"""For their bytes, wherever they come."""

_REFUSED_THERE: Sequence[tuple[bytes | None, Reason]] = (
    *_REFUSED,
    (None, Reason.NOT_JSON),
    (b"oops", Reason.NOT_JSON),
    (b'{"id": "\xff", "label": true}', Reason.NOT_UTF8),
    (b"[1, 2]", Reason.NOT_AN_OBJECT),
    (b'{"label": true}', Reason.NO_ID),
    (b'{"id": "e-0-1"}', Reason.BAD_LABEL),
    (b'{"partition": 0, "offset": -1, "label": true}', Reason.NO_ID),
)

AWAY_S_MAX = 8.0


class Labeller:
    """Makes labels of what a workload sent, as its own seed has it.

    Args:
        events: the name of the events topic.
        source: the labels topic; None: they come among the events.
        note: told of what befalls the topic.

    Attributes:
        share: of what comes among the events.
    """

    def __init__(
        self,
        workload: Workload,
        source: LabelsSource | None,
        *,
        events: str,
        seed: str,
        note: Callable[[str], None],
    ) -> None:
        rng = self._rng = Random(seed)
        self._workload, self._source, self._events = workload, source, events
        self._note = note
        self._said: dict[int, list[tuple[Said, int]]] = {}
        self._made_n = 0
        self.share = rng.choice((0.2, 0.4, 0.5)) if source is None else 0.0
        self._chance = rng.choice((0.2, 0.4, 0.6))
        self._trouble = rng.choice((0.0, 0.0, 0.03, 0.1))
        self._slow = rng.choice((0.0, 0.2, 0.7))
        self._away_until_s = 0.0
        self.left_n = 2 * workload.left_n

    def is_reading(self) -> bool:
        """Whether a process reads labels before this turn of its."""
        return self._rng.random() >= self._slow

    def fact(self, partition: int) -> Fact:
        """A record among the events."""
        said, value, reason, at_ms = self._any(partition, _REFUSED)
        return Fact(value, reason, self._key(), at_ms, said=said)

    def again(self, partition: int) -> str | None:
        """Now and then an id that an event before had; None: not now."""
        if self._rng.random() >= 0.06:
            return None
        ids = [each.document["id"] for each in self._recent(partition) if "id" in each.document]
        return str(self._rng.choice(ids)) if ids else None

    def act(self) -> None:
        """Perhaps something comes into the labels topic, or befalls it."""
        source, rng = self._source, self._rng
        if source is None:
            return
        if source.away is not None and self._now_s(source) > self._away_until_s:
            source.away = None
            self._note("labels topic: answers")
        if rng.random() < self._trouble:
            self._befall(source)
        if rng.random() < self._chance and self.left_n > 0:
            self.send(rng.choice((1, 1, 2, 3, 5, 8)))

    def send(self, labels_n: int) -> None:
        """Send some to one partition, alone or in a transaction."""
        source, rng = self._source, self._rng
        assert source is not None
        self.left_n -= labels_n
        partition = rng.randrange(len(self._workload.facts))
        among: Hidden | None = None
        if source.hidden and rng.random() < 0.5:
            source.show(source.hidden[0], is_committed=rng.random() < 0.7)
        elif rng.random() < 0.15:
            among = source.hide()
        for _ in range(labels_n):
            self._send(source, partition, among)

    def end(self) -> None:
        """All that is to come has come, and the topic is there."""
        source = self._source
        if source is not None:
            source.settle()
            while self.left_n > 0:
                self.send(8)
            source.settle()

    def _send(self, source: LabelsSource, partition: int, among: Hidden | None) -> SentLabel:
        said, value, reason, at_ms = self._any(partition, _REFUSED_THERE)
        return source.send(
            said, value, timestamp_ms=at_ms, partition=partition, key=self._key(), reason=reason,
            among=among,
        )  # fmt: skip

    def _befall(self, source: LabelsSource) -> None:
        """Away, denied, deleted, made again, or the first records are taken."""
        rng = self._rng
        partition = rng.randrange(len(self._workload.facts))
        roll = rng.random()
        if roll < 0.4:
            log = source.log(partition)
            source.truncate(partition, rng.randint(log.start, log.end))
            self._note(f"labels topic, partition {partition}: begins at {log.start}")
            return
        self._away_until_s = self._now_s(source) + rng.choice((0.05, 0.5, AWAY_S_MAX))
        source.away = rng.choice(AWAY)
        if roll > 0.85:
            source.make_again()
            self._note("labels topic: made again")
        self._note(f"labels topic: {source.away.__name__}")

    def _any(
        self, partition: int, refused: Sequence[tuple[bytes | None, Reason]]
    ) -> tuple[Said | None, bytes | None, Reason | None, int]:
        """What a label record says, its value, why it is refused, and when it is of."""
        rng = self._rng
        self._made_n += 1
        roll, said_before = rng.random(), self._said.setdefault(partition, [])
        if roll < 0.08:
            value, reason = rng.choice(refused)
            return None, value, reason, self._now_ms(partition) + rng.randint(-3_000, 3_000)
        if roll < 0.13:
            said = Said(rng.random() < 0.5, f"nobody-{self._made_n}")
            at_ms = self._now_ms(partition)
        elif roll < 0.3 and said_before:
            said, at_ms = rng.choice(said_before[-12:])
            if rng.random() < 0.6:
                said = said._replace(label=not said.label)
            at_ms += rng.choice(_DELAYS_MS)
        elif roll < 0.42:
            said, at_ms = self._early(partition)
        else:
            said, at_ms = self._late(partition)
        said_before.append((said, at_ms))
        return said, self._written(said), None, at_ms

    def _late(self, partition: int) -> tuple[Said, int]:
        """A label of an event that was sent, called in one of its ways."""
        rng = self._rng
        facts = self._workload.facts[partition]
        offsets = [at for at in list(facts)[-25:] if facts[at].document]
        if not offsets:
            return self._early(partition)
        offset = rng.choice(offsets)
        fact = facts[offset]
        label = (fact.document["features"]["x"] > 0) != (rng.random() < 0.15)
        at_ms = fact.timestamp_ms + rng.choice(_DELAYS_MS)
        return self._called(label, partition, offset, fact.document.get("id")), at_ms

    def _early(self, partition: int) -> tuple[Said, int]:
        """A label of an event that is to come, if it ever does."""
        rng, ahead = self._rng, self._workload.ahead(partition)
        event_id, offset = ahead
        n = rng.randrange(6)
        label = rng.random() < 0.5
        at_ms = self._now_ms(partition) + 1_000 * n
        if rng.random() < 0.5:
            return Said(label, event_id(n)), at_ms
        return self._called(label, partition, offset + n, None), at_ms

    def _called(self, label: bool, partition: int, offset: int, event_id: Any) -> Said:
        roll = self._rng.random()
        if event_id is not None and roll < 0.7:
            return Said(label, event_id)
        if roll < 0.8:
            return Said(label, f"{self._events}-{partition}-{offset}")
        other = partition + (roll > 0.97)
        return Said(label, None, other, offset)

    def _written(self, said: Said) -> bytes:
        document: dict[str, Any] = {"label": said.label}
        if said.id is not None:
            document["id"] = said.id
        else:
            document |= {"partition": said.partition, "offset": said.offset}
        if self._source is not None and self._rng.random() < 0.5:
            document["note"] = self._made_n  # other fields mean nothing there
        return _write(document)

    def _recent(self, partition: int) -> list[Fact]:
        facts = self._workload.facts[partition]
        return [facts[at] for at in list(facts)[-25:]]

    def _now_ms(self, partition: int) -> int:
        recent = self._recent(partition)
        return recent[-1].timestamp_ms if recent else FIRST_MS

    def _key(self) -> bytes | None:
        return None if self._rng.random() < 0.3 else b"key-%d" % self._rng.randrange(9)

    @staticmethod
    def _now_s(source: LabelsSource) -> float:
        return source.broker.clock.elapsed_s  # type: ignore[attr-defined, no-any-return]
