"""The knower of the right answer: a plain river loop over the same records, and what must follow.

It shares no code with the worker: what an event says it knows from whoever sent it, and a model
that raised is replaced by the copy made before.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
from river import drift

from stream.adapters.memory.topic import Partition
from stream.core.event import Channel, Record
from stream.ports import Committed
from tests.simulation.cache import Cache
from tests.simulation.cache_audit import CacheAudit
from tests.simulation.doubles import StrictBroker
from tests.simulation.model import BOMB, Brittle
from tests.simulation.violation import Violation, require
from tests.simulation.workload import LIMITS, Fact, Workload

if TYPE_CHECKING:
    from tests.simulation.breaker_audit import BreakerAudit

DETECTOR: Mapping[str, Any] = {"min_instances": 8, "delta": 0.005, "threshold": 1.5}

_METADATA = re.compile(r"v1;n=(\d+);h=[0-9a-f]{16};f=[0-9a-f]{8};g=(\d+);l=(\d+)(?:;p=1)?")
_Place = tuple[Channel, int]
_OUTPUTS = (Channel.PREDICTIONS, Channel.ALERTS, Channel.QUARANTINE)
_Told = tuple[int, bytes | None, Any, Mapping[str, bytes | None]]
"""Of a published record: its timestamp, its key, what its value says, its headers."""

_read = msgspec.json.Decoder().decode

_State = tuple[Brittle, Any, set[str]]


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
        history: every offset that it stopped at -> records, events learned by then.
        refused: the refused records, each by its number, from 1 on.
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
    history: dict[int, tuple[int, int]] = field(default_factory=dict)
    outputs: dict[Channel, list[_Told]] = field(
        default_factory=lambda: {channel: [] for channel in _OUTPUTS}
    )
    _state: _State = field(default_factory=_untrained)

    def run_to(self, end: int) -> None:
        """Process everything below an offset."""
        facts = self.facts
        for offset in range(self.offset, end):
            fact = facts.get(offset)
            if fact is not None:
                self.n += 1
                self._process(offset, fact)
        self.offset = max(self.offset, end)
        self.history[end] = self.n, self.learned

    def begin_again(self, genesis: int) -> None:
        """From here on with an untrained model."""
        self.genesis = genesis
        self.offset = max(self.offset, genesis)
        self.n = self.learned = 0
        self.refused.clear()
        self._state = _untrained()
        self.history[genesis] = 0, 0

    def ahead(self, end: int) -> "PlainLoop":
        """Another that has gone on to an offset; this one stays where it is."""
        other = PlainLoop(self.pipeline, self.topic, self.partition, self.facts)
        other.offset, other.n, other.learned = self.offset, self.n, self.learned
        other.refused = list(self.refused)
        other._state = copy.deepcopy(self._state)
        other.run_to(end)
        return other

    def _process(self, offset: int, fact: Fact) -> None:
        if fact.reason is not None:
            self._refuse(offset, fact, fact.reason.value)
            return
        features = fact.document["features"]
        model, detector, names = self._state
        # The model raises before the detector is told.
        spare = (_copied(model), detector, set(names)) if BOMB in features else None
        if not names.issuperset(features):
            if len(names | features.keys()) > LIMITS.distinct_features_max:
                self._refuse(offset, fact, "too_many_features")
                return
            names.update(features)
        try:
            self._learn(offset, fact)
        except (ArithmeticError, ValueError):
            assert spare is not None
            self._state = spare
            self._refuse(offset, fact, "model_error")

    def _learn(self, offset: int, fact: Fact) -> None:
        model, detector, _ = self._state
        document = fact.document
        features, label = document["features"], document.get("label")
        chances = model.predict_proba_one(features)
        predicted = chances[True] > chances[False]  # of a tie the first one wins, as in river
        learned_before = self.learned
        value = {
            "v": 1,
            "id": document.get("id") or f"{self.topic}-{self.partition}-{offset}",
            "partition": self.partition,
            "offset": offset,
            "prediction": predicted,
            "probabilities": {"false": chances[False], "true": chances[True]},
            "learned": learned_before,
        }
        if label is not None:
            value["label"] = label
            model.learn_one(features, label)
            self.learned += 1
            detector.update(int(predicted != label))
        self._expect(Channel.PREDICTIONS, fact, fact.key, value)
        if label is not None and detector.drift_detected:
            self._alert(offset, fact, learned_before)

    def _alert(self, offset: int, fact: Fact, learned: int) -> None:
        where = f"{self.pipeline}/{self.partition}"
        at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=fact.timestamp_ms)
        value = {
            "v": 1,
            "id": f"{where}/{offset}/ph",
            "kind": "drift",
            "detector": "PageHinkley",
            "name": "ph",
            "signal": "error",
            "partition": self.partition,
            "offset": offset,
            "event_time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "learned": learned,
        }
        self._expect(Channel.ALERTS, fact, where.encode(), value)

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


def _told(channel: Channel, record: Record) -> _Told:
    """A published record as the loop would tell it; the free texts are only looked at here."""
    headers, told = dict(record.headers), record.value
    if channel is not Channel.QUARANTINE:
        told = _read(record.value or b"")
        if channel is Channel.ALERTS:
            require(told.pop("evidence").keys() == {"before", "after"}, f"evidence of {record}")
            require(bool(told.pop("message")), f"no message in {record}")
    elif not headers.pop("stream.detail", b""):
        raise Violation(f"no detail in {record}")
    return record.timestamp_ms, record.key, told, headers


def _is_paused(metadata: str) -> bool:
    return metadata.endswith(";p=1")


class Auditor:
    """Compares what any `read_committed` consumer sees with the plain loop's answer, at any moment.

    I1 one outcome for each committed offset and none beyond, I2 equal outputs, I3 in order, I4 with
    their offset or not at all, I5 nothing aborted, I6 the committed offset never goes back, I10
    snapshots of committed states only, never half, I12 nothing left over in Redis.

    Args:
        genesis: the offset at which each fold began.

    Attributes:
        is_cache_spoiled: somebody else has meddled with the snapshots.
        breaker: knows when partitions may be paused; None = nobody cares.
    """

    def __init__(
        self,
        broker: StrictBroker,
        cache: Cache,
        workload: Workload,
        *,
        names: Mapping[Channel, str],
        group: str,
        genesis: int = 0,
    ) -> None:
        self._broker = broker
        self._cache = cache
        self._workload = workload
        self._names = names
        self._pipeline = group
        self._group = broker.group(group)
        self._genesis = genesis
        self._loops: list[PlainLoop] = []
        self._committed: dict[int, Committed] = {}
        self._seen_n: dict[_Place, int] = {}
        self._positions: dict[_Place, int] = {}
        self._seen: dict[_Place, tuple[int, int, int]] = {}
        self._histories: dict[int, dict[int, tuple[int, int]]] = {}
        self._cache_audit = CacheAudit(cache)
        self._checked = -1
        self._cache_checked = -1
        self.is_cache_spoiled = False
        self.breaker: BreakerAudit | None = None
        self.grow()

    def grow(self) -> None:
        """Take in partitions that the topics have now."""
        for partition in range(len(self._loops), len(self._workload.facts)):
            facts = self._workload.facts[partition]
            loop = PlainLoop(self._pipeline, self._names[Channel.EVENTS], partition, facts)
            loop.begin_again(self._genesis)
            self._loops.append(loop)
            self._histories[partition] = loop.history
            self._committed[partition] = Committed(self._genesis, "")
            for channel in _OUTPUTS:
                at = channel, partition
                self._seen_n[at] = self._positions[at] = 0
                self._seen[at] = 0, 0, self._genesis

    def forget(self) -> None:
        """Let go of all that was expected."""
        self._loops.clear()
        self._histories.clear()

    def check(self) -> None:
        """Raises: Violation."""
        for partition, committed in self._group.offsets.items():
            if committed is not self._committed[partition]:
                self._check_offset(partition, committed)
                self._checked = -1
        if self._checked != self._broker.changes_n:
            self._checked = self._broker.changes_n
            self._check_logs()
        if self._cache_checked != self._cache.changes_n and not self.is_cache_spoiled:
            self._cache_checked = self._cache.changes_n
            problem = self._cache_audit.find_problem(self._histories)
            require(problem is None, str(problem))

    def lag(self) -> dict[int, int]:
        """Partition -> offsets between the committed one and the end, where there are any."""
        lags = {
            loop.partition: self._events(loop.partition).end - loop.offset for loop in self._loops
        }
        return {partition: lag for partition, lag in lags.items() if lag}

    def alerts_n(self) -> int:
        """How many alerts there must be so far; a workload without any would prove little."""
        return sum(len(loop.outputs[Channel.ALERTS]) for loop in self._loops)

    def outcomes_n(self, partition: int) -> int:
        """How many events of a partition have an outcome."""
        loop = self._loops[partition]
        return len(loop.outputs[Channel.PREDICTIONS]) + len(loop.outputs[Channel.QUARANTINE])

    def genesis(self, partition: int) -> int:
        """Where a partition's fold began."""
        return self._loops[partition].genesis

    def reached(self, partition: int) -> int:
        """The newest committed offset of a partition that was ever seen."""
        return self._loops[partition].offset

    def operator_set(self, partition: int, committed: Committed) -> None:
        """Somebody with the right to do so moved an offset; no outcome may lie between."""
        loop = self._loops[partition]
        passed = [o for o in range(committed.offset, loop.offset) if o in loop.facts]
        require(not passed, f"partition {partition}: {committed.offset} is before {passed}")
        loop.history[committed.offset] = loop.n, loop.learned
        self.operator_moved(partition, committed)
        if self.breaker is not None:
            self.breaker.forget(partition)

    def operator_moved(self, partition: int, committed: Committed) -> None:
        """Somebody set an offset; the outcomes must go on as if nobody had."""
        self._committed[partition] = committed

    def begin_again(self) -> None:
        """All folds begin untrained where they stand."""
        for loop in self._loops:
            loop.begin_again(loop.offset)
            if self.breaker is not None:
                self.breaker.forget(loop.partition)

    def paused(self) -> dict[int, int]:
        """The partitions that are committed as paused, and the offsets where they are."""
        return {p: at.offset for p, at in self._committed.items() if _is_paused(at.metadata)}

    def check_tried(self, before: Mapping[int, int]) -> None:
        """What was paused before a restart, and is so yet, was tried. Raises: Violation."""
        for partition, _ in before.items() & self.paused().items():
            loop, end = self._loops[partition], self._events(partition).stable_end
            if self.breaker is not None and not self.breaker.may_stay(loop.ahead(end), loop.n):
                raise Violation(f"partition {partition} stays paused, though no more is refused")

    def _events(self, partition: int) -> Partition:
        return self._broker.partition(self._names[Channel.EVENTS], partition)

    def _check_offset(self, partition: int, committed: Committed) -> None:
        loop, where = self._loops[partition], f"partition {partition}"
        before, offset = self._committed[partition].offset, committed.offset
        end = self._events(partition).stable_end
        if offset < before:
            raise Violation(f"{where}: the committed offset went back, {before} to {offset}")
        if offset > end:
            raise Violation(f"{where}: offset {offset} is committed, the stable end is {end}")
        self._committed[partition] = committed
        before_n = loop.n
        loop.run_to(offset)
        found = _METADATA.fullmatch(committed.metadata)
        said = tuple(map(int, found.groups())) if found else committed.metadata
        right = loop.n, loop.genesis, loop.learned
        require(said == right, f"{where} at {offset}: n, genesis, learned: {said}, not {right}")
        if self.breaker is not None:
            problem = self.breaker.find_problem(
                loop,
                before_n=before_n,
                is_paused=_is_paused(committed.metadata),
                has_more=any(at in loop.facts for at in range(offset, end)),
                ahead=lambda: loop.ahead(end),
            )
            require(problem is None, f"{where} at {offset}: {problem}")

    def _check_logs(self) -> None:
        for loop in self._loops:
            for channel in _OUTPUTS:
                at = channel, loop.partition
                log = self._broker.topics[self._names[channel]].partitions[loop.partition]
                seen = log.end, len(log.opened), loop.offset
                if seen != self._seen[at]:
                    self._check_outputs(channel, loop, log)
                    self._seen[at] = seen

    def _check_outputs(self, channel: Channel, loop: PlainLoop, log: Partition) -> None:
        at = channel, loop.partition
        expected, where = loop.outputs[channel], f"{channel} partition {loop.partition}"
        records, self._positions[at] = log.fetch(
            self._positions[at], stop=log.stable_end, records_max=log.end + 1
        )
        seen_n = self._seen_n[at]
        for n, record in enumerate(records, seen_n):
            if n >= len(expected):
                raise Violation(
                    f"{where}: a record beyond the committed offset {loop.offset}: {record}"
                )
            told = _told(channel, record)
            if told != expected[n]:
                raise Violation(f"{where}, record {n}: {told}, not {expected[n]}")
        self._seen_n[at] = seen_n = seen_n + len(records)
        # An open transaction hides what was committed after it began.
        if seen_n < len(expected) and not log.opened:
            raise Violation(f"{where}: committed to {loop.offset}, but missing: {expected[seen_n]}")
