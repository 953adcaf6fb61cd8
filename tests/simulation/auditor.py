"""The knower of the right answer: a plain river loop over the same records, and what must follow.

It shares no code with the worker: events are parsed by the standard library, predictions are
river's own `predict_one`, and a model that raised is replaced by the copy made before.
"""

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from river import drift

from stream.adapters.memory import MemoryBroker
from stream.adapters.memory.topic import Partition
from stream.core.event import Channel, Record
from stream.ports import Committed
from tests.simulation.model import Brittle
from tests.simulation.workload import LIMITS, Fact, Workload, is_poison

DETECTOR: Mapping[str, Any] = {"min_instances": 8, "delta": 0.005, "threshold": 1.5}

_METADATA = re.compile(r"v1;n=(\d+);h=[0-9a-f]{16};f=[0-9a-f]{8};g=(\d+);l=(\d+)(?:;p=1)?")
_OUTPUTS = (Channel.PREDICTIONS, Channel.ALERTS, Channel.QUARANTINE)


class Violation(AssertionError):  # it names what happened
    """Something that must never be so."""


def require(is_so: bool, what: str) -> None:
    """Raise what is wrong unless `is_so`."""
    if not is_so:
        raise Violation(what)


@dataclass(slots=True)
class PlainLoop:
    """Predict, learn, detect: one partition's events in order, and what must come out."""

    pipeline: str
    topic: str
    partition: int
    facts: Mapping[int, Fact]
    offset: int = 0
    n: int = 0
    learned: int = 0
    outputs: dict[Channel, list[dict[str, Any]]] = field(
        default_factory=lambda: {channel: [] for channel in _OUTPUTS}
    )
    _state: tuple[Brittle, Any, set[str]] = field(
        default_factory=lambda: (Brittle(), drift.PageHinkley(**DETECTOR), set())
    )

    def run_to(self, end: int) -> None:
        """Process everything below an offset."""
        for offset in range(self.offset, end):
            fact = self.facts.get(offset)
            if fact is not None:
                self.n += 1
                self._process(offset, fact)
        self.offset = max(self.offset, end)

    def _process(self, offset: int, fact: Fact) -> None:
        if fact.reason is not None:
            self._refuse(offset, fact, fact.reason.value)
            return
        assert fact.value is not None
        document = json.loads(fact.value)
        features = document["features"]
        spare = copy.deepcopy(self._state) if is_poison(features) else None
        names = self._state[2]
        if len(names | features.keys()) > LIMITS.distinct_features_max:
            self._refuse(offset, fact, "too_many_features")
            return
        names.update(features)
        try:
            self._learn(offset, fact, document)
        except (ArithmeticError, ValueError):
            assert spare is not None
            self._state = spare
            self._refuse(offset, fact, "model_error")

    def _learn(self, offset: int, fact: Fact, document: dict[str, Any]) -> None:
        model, detector, _ = self._state
        features, label = document["features"], document.get("label")
        predicted, chances = model.predict_one(features), model.predict_proba_one(features)
        learned_before = self.learned
        if label is not None:
            model.learn_one(features, label)
            self.learned += 1
            detector.update(int(predicted != label))
        value = {
            "v": 1,
            "id": document.get("id", f"{self.topic}-{self.partition}-{offset}"),
            "partition": self.partition,
            "offset": offset,
            "prediction": predicted,
            "probabilities": {"false": chances[False], "true": chances[True]},
            "learned": learned_before,
        } | ({} if label is None else {"label": label})
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
        headers: Mapping[str, bytes] | None = None,
    ) -> None:
        self.outputs[channel].append(
            {
                "timestamp_ms": fact.timestamp_ms,
                "key": key,
                "value": value,
                "headers": headers or {},
            }
        )


def _told(channel: Channel, record: Record) -> dict[str, Any]:
    """A published record as the loop would tell it; the free texts are only looked at here."""
    headers, value = dict(record.headers), record.value
    told: Any = value
    if channel is Channel.QUARANTINE:
        require(bool(headers.pop("stream.detail", b"")), f"no detail in {record}")
    else:
        told = json.loads(value or b"")
    if channel is Channel.ALERTS:
        require(told.pop("evidence").keys() == {"before", "after"}, f"evidence of {record}")
        require(bool(told.pop("message")), f"no message in {record}")
    return {"timestamp_ms": record.timestamp_ms, "key": record.key, "value": told,
            "headers": headers}  # fmt: skip


class Auditor:
    """Compares what any `read_committed` consumer sees with the plain loop's answer, at any moment.

    I1 one outcome for each committed offset and none beyond, I2 equal outputs, I3 in order, I4 with
    their offset or not at all, I6 the committed offset never goes back.

    Args:
        genesis: the offset at which each fold began.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        workload: Workload,
        *,
        names: Mapping[Channel, str],
        group: str,
        genesis: int = 0,
    ) -> None:
        self._broker = broker
        self._names = names
        self._group = broker.group(group)
        self._loops = [
            PlainLoop(group, names[Channel.EVENTS], partition, facts, genesis)
            for partition, facts in enumerate(workload.facts)
        ]
        self._genesis = genesis
        self._committed = dict.fromkeys(range(len(self._loops)), Committed(genesis, ""))
        self._logs = {
            (channel, partition): log
            for channel in _OUTPUTS
            for partition, log in enumerate(broker.topic(names[channel]).partitions)
        }
        self._positions = dict.fromkeys(self._logs, 0)
        self._seen_n = dict.fromkeys(self._logs, 0)
        self._seen = dict.fromkeys(self._logs, (0, 0, 0))

    def check(self) -> None:
        """Raises: Violation."""
        for partition, committed in self._group.offsets.items():
            if committed is not self._committed[partition]:
                self._check_offset(partition, committed)
        for (channel, partition), log in self._logs.items():
            seen = log.end, len(log.opened), self._loops[partition].offset
            if seen != self._seen[channel, partition]:
                self._check_outputs(channel, self._loops[partition], log)
                self._seen[channel, partition] = seen
        self._check_snapshots()

    def lag(self) -> dict[int, int]:
        """Partition -> offsets between the committed one and the end, where there are any."""
        lags = {
            loop.partition: self._events(loop.partition).end - loop.offset for loop in self._loops
        }
        return {partition: lag for partition, lag in lags.items() if lag}

    def alerts_n(self) -> int:
        """How many alerts there must be so far; a workload without any would prove little."""
        return sum(len(loop.outputs[Channel.ALERTS]) for loop in self._loops)

    def _events(self, partition: int) -> Partition:
        return self._broker.partition(self._names[Channel.EVENTS], partition)

    def _check_offset(self, partition: int, committed: Committed) -> None:
        where, loop = f"partition {partition}", self._loops[partition]
        before, offset = self._committed[partition].offset, committed.offset
        require(offset >= before, f"{where}: the committed offset went back, {before} to {offset}")
        end = self._events(partition).stable_end
        require(offset <= end, f"{where}: offset {offset} is committed, the stable end is {end}")
        self._committed[partition] = committed
        loop.run_to(offset)
        found = _METADATA.fullmatch(committed.metadata)
        said = tuple(map(int, found.groups())) if found else committed.metadata
        right = loop.n, self._genesis, loop.learned
        require(said == right, f"{where} at {offset}: n, genesis, learned are {said}, not {right}")

    def _check_outputs(self, channel: Channel, loop: PlainLoop, log: Partition) -> None:
        at = channel, loop.partition
        expected, where = loop.outputs[channel], f"{channel} partition {loop.partition}"
        records, self._positions[at] = log.fetch(
            self._positions[at], stop=log.stable_end, records_max=log.end + 1
        )
        for record in records:
            n = self._seen_n[at]
            require(
                n < len(expected),
                f"{where}: a record beyond the committed offset {loop.offset}: {record}",
            )
            told = _told(channel, record)
            require(told == expected[n], f"{where}, record {n}: {told}, not {expected[n]}")
            self._seen_n[at] += 1
        if not log.opened:  # an open transaction hides what was committed after it began
            missing = expected[self._seen_n[at] :]
            require(not missing, f"{where}: committed to {loop.offset}, but missing: {missing[:1]}")

    def _check_snapshots(self) -> None:
        for (_, partition), held in self._broker.snapshots.items():
            newest = max(held, default=0)
            require(
                newest <= self._committed[partition].offset,
                f"partition {partition}: a snapshot at {newest}, a state that is not committed",
            )
