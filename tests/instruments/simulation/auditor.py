"""Compares what the worker does with the right answer, which `plain_loop` knows."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from stream.adapters.memory.topic import Partition
from stream.core.event import Channel, Record
from stream.ports import Committed
from tests.instruments.simulation.cache import Cache
from tests.instruments.simulation.cache_audit import CacheAudit
from tests.instruments.simulation.closing_audit import ClosingAudit
from tests.instruments.simulation.command_audit import CommandAudit
from tests.instruments.simulation.control_topic import ControlTopic
from tests.instruments.simulation.doubles import Line, StrictBroker
from tests.instruments.simulation.label_audit import LabelAudit, told_of
from tests.instruments.simulation.labels_source import LabelsSource
from tests.instruments.simulation.plain_fold import OUTPUTS, Plan, Told
from tests.instruments.simulation.plain_loop import PlainLoop
from tests.instruments.simulation.violation import Violation, require
from tests.instruments.simulation.workload import Workload

if TYPE_CHECKING:
    from tests.instruments.simulation.breaker_audit import BreakerAudit

_METADATA = re.compile(
    r"v1;n=(?P<n>\d+);h=[0-9a-f]{16};f=(?P<f>[0-9a-f]{8});g=(?P<g>\d+);l=(?P<l>\d+);m=[0-9a-f]{8};r=(?P<r>\d+)"
    r"(?:;s=(?P<s>\d+)|;b=(?P<b>\d+))?(?:;w=[0-9a-f,]+)?(?:;p=1)?(?:;z=(?P<z>f?p?))?"
    r"(?:;c=(?P<c>\d+))?(?:;j=(?P<j>\d+))?(?:;i=\d+)?(?:;k=(?P<k>\d+))?(?:;t=[0-9a-f]{8})?"
    r"(?:;x=(?P<x>\d+))?(?:;d=(?P<d>[0-9a-f]{8}))?(?:;u=(?P<u>[0-9.]+))?"
)
_OF_POLICY = {
    "detectors", "moved", "measure", "value", "threshold", "before_n", "after_n", "feature",
}  # fmt: skip
"""In evidence, beside both sides; that numbers are right, tests of the monitors say."""

_QUARANTINED = (Channel.QUARANTINE, Channel.LABELS)
"""Both lie in the quarantine: events that were refused, and records of the labels topic."""

_Place = tuple[Channel, int]
_read = msgspec.json.Decoder().decode


def _told(channel: Channel, record: Record) -> Told:
    """A published record as the loop would tell it; the free texts are only looked at here."""
    headers, told = dict(record.headers), record.value
    if channel not in _QUARANTINED:
        told = _read(record.value or b"")
        by_itself = channel is Channel.LEDGER and told["input"] in ("events", "labels")
        if by_itself and not told.pop("why"):
            raise Violation(f"no reason in {record}")
        if channel is Channel.ALERTS:
            is_of_policy = "state" in told
            seen = told.pop("evidence").keys() - (_OF_POLICY if is_of_policy else set())
            if told["kind"] == "storm":
                seen -= {"largest", "withheld"}
            require(seen == {"before", "after"}, f"evidence of {record}")
            require(bool(told.pop("message")), f"no message in {record}")
            require(bool(told.pop("suggestion", "")) == is_of_policy, f"no advice in {record}")
        elif "fault" in told:
            told["fault"] = isinstance(told["fault"], str) and told["fault"] != ""
    elif not headers.pop("stream.detail", b""):
        raise Violation(f"no detail in {record}")
    return record.timestamp_ms, record.key, told, headers


def _is_of_worker(channel: Channel, record: Record) -> bool:
    """Whether the ledger says there that a recipe changed, which the loop is not told.

    Raises: Violation: the worker says that it did something else.
    """
    if channel is not Channel.LEDGER:
        return False
    told = _read(record.value or b"")
    is_of_worker = bool(told["input"] == "worker")
    is_known = told["what"] in ("keep", "rebuild", "fresh") and told["by"] == "worker"
    require(is_known or not is_of_worker, f"ledger: {record}")
    return is_of_worker


def _is_paused(metadata: str) -> bool:
    return ";p=1" in metadata


class Auditor:
    """Compares what any `read_committed` consumer sees with the plain loop's answer, at any moment.

    I1 one outcome for each committed offset and none beyond, I2 equal outputs, I3 in order, I4 with
    their offset or not at all, I5 nothing aborted, I6 the committed offset never goes back, I10
    snapshots of committed states only, never half, I12 nothing left over in Redis.

    Args:
        commands, labels: the topics beside the events.
        told: gives what workers said of labels that are lost, and of recipes that changed.
        genesis: the offset at which each fold began.
        plan: what folds are configured with; None: as in `world.RECIPE`.

    Attributes:
        is_cache_spoiled: somebody else has meddled with the snapshots.
        breaker: knows when partitions may be paused; None = nobody cares.
        closing: knows when states may be closed to new names.
        commands: leads the loops through commands, and labels.
        labels: accounts for the labels topic.
    """

    def __init__(
        self,
        broker: StrictBroker,
        cache: Cache,
        workload: Workload,
        *,
        names: Mapping[Channel, str],
        group: str,
        commands: ControlTopic,
        labels: LabelsSource,
        told: Callable[[], Iterable[Line]],
        genesis: int = 0,
        plan: Plan | None = None,
    ) -> None:
        self._broker = broker
        self._plan = plan or Plan()
        self._cache = cache
        self._workload = workload
        self._names = names
        self._pipeline = group
        self._group = broker.group(group)
        self._genesis = genesis
        self._loops: list[PlainLoop] = []
        self._committed: dict[int, Committed] = {}
        self._last_n: Counter[int] = Counter()
        self._generations: Counter[int] = Counter()
        self._seen_n: dict[_Place, int] = {}
        self._positions: dict[_Place, int] = {}
        self._seen: dict[_Place, tuple[int, int, int]] = {}
        self._histories: dict[int, dict[int, set[tuple[int, int]]]] = {}
        self._cache_audit = CacheAudit(cache)
        self._checked = -1
        self._cache_checked = -1
        self.is_cache_spoiled = False
        self.breaker: BreakerAudit | None = None
        self.closing = ClosingAudit()
        self.labels = LabelAudit(broker, labels, names, told)
        self.commands = CommandAudit(broker, commands, names, self.labels)
        self.grow()

    def grow(self) -> None:
        """Take in partitions that the topics have now."""
        for partition in range(len(self._loops), len(self._workload.facts)):
            facts = self._workload.facts[partition]
            topic = self._names[Channel.EVENTS]
            loop = PlainLoop(self._pipeline, topic, partition, facts, self._plan)
            loop.begin_again(self._genesis)
            self._loops.append(loop)
            self._histories[partition] = loop.history
            self._committed[partition] = Committed(self._genesis, "")
            for channel in OUTPUTS:
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

    def alerts_told(self) -> set[str]:
        """Of which kinds there are alerts of a policy, and in which states."""
        told = (value for loop in self._loops for _, _, value, _ in loop.outputs[Channel.ALERTS])
        return {f"{each['kind']} {each['state']}" for each in told if "state" in each}

    def labels_told(self) -> set[str]:
        """What became of labels, and of events that waited for them."""
        return {
            kind for loop in self._loops if loop.pending is not None for kind in loop.pending.totals
        }

    def closed(self) -> list[tuple[int, int, int | None]]:
        """Partitions closed to new names: from which record on, and the first that lost one."""
        return [
            (loop.partition, loop.closed_n, loop.left_out_n)
            for loop in self._loops
            if loop.closed_n is not None
        ]

    def outcomes_n(self, partition: int) -> int:
        """How many events of a partition have an outcome."""
        loop = self._loops[partition]
        return len(loop.outputs[Channel.PREDICTIONS]) + len(loop.outputs[Channel.QUARANTINE])

    def learned(self, partition: int) -> int:
        """How many events the model of a partition has learned."""
        return self._loops[partition].learned

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
        loop.note_stop(committed.offset)
        self.operator_moved(partition, committed)
        if self.breaker is not None:
            self.breaker.forget(partition)

    def operator_moved(self, partition: int, committed: Committed) -> None:
        """Somebody set an offset; the outcomes must go on as if nobody had."""
        self._committed[partition] = committed
        self.closing.expect_another(partition)
        self.commands.expect_moved(partition)

    def begin_again(self) -> None:
        """All folds begin untrained where they stand."""
        for loop in self._loops:
            loop.begin_again(loop.offset)
            self.labels.begin_again(loop.partition)
            if self.breaker is not None:
                self.breaker.forget(loop.partition)

    def paused(self) -> dict[int, int]:
        """The partitions that are committed as paused, and the offsets where they are."""
        return {p: at.offset for p, at in self._committed.items() if _is_paused(at.metadata)}

    def stopped(self) -> set[int]:
        """The partitions that a command has paused."""
        return {loop.partition for loop in self._loops if loop.commanded.is_stopped}

    def unread(self) -> list[int]:
        """The partitions for which commands wait."""
        return [loop.partition for loop in self._loops if self.commands.unread(loop.partition)]

    def unread_labels(self) -> set[int]:
        """The partitions for which labels wait, if they come in a topic."""
        if self._plan.labels is None or not self._plan.labels.has_topic:
            return set()
        return {loop.partition for loop in self._loops if self.labels.unread(loop.partition)}

    def check_tried(self, before: Mapping[int, int]) -> None:
        """What was paused before a restart, and is so yet, was tried. Raises: Violation."""
        for partition, _ in before.items() & self.paused().items():
            loop, end = self._loops[partition], self._events(partition).stable_end
            if self.breaker is not None and not self.breaker.may_stay(
                loop.ahead(end), loop.records_n
            ):
                raise Violation(f"partition {partition} stays paused, though no more is refused")

    def _events(self, partition: int) -> Partition:
        return self._broker.partition(self._names[Channel.EVENTS], partition)

    def _check_offset(self, partition: int, committed: Committed) -> None:
        loop, where = self._loops[partition], f"partition {partition}"
        was_committed = self._committed[partition]
        before, offset = was_committed.offset, committed.offset
        end = self._events(partition).stable_end
        if offset < before:
            raise Violation(f"{where}: the committed offset went back, {before} to {offset}")
        if offset > end:
            raise Violation(f"{where}: offset {offset} is committed, the stable end is {end}")
        self._committed[partition] = committed
        before_n = loop.records_n
        found = _METADATA.fullmatch(committed.metadata)
        if found is None:
            raise Violation(f"{where}: no metadata of ours: {committed.metadata}")
        told: dict[str, Any] = {
            name: int(value or 0)
            for name, value in found.groupdict().items()
            if name in "nglrsbcjk"
        }
        told |= {"x": None if found["x"] is None else int(found["x"]), "d": found["d"]}
        last_n, self._last_n[partition] = self._last_n[partition], told["n"]
        require(told["n"] >= last_n, f"{where}: n went back to {told['n']}")
        require(told["r"] >= self._generations[partition], f"{where}: an older recipe took over")
        self._generations[partition] = told["r"]
        # The loop counts from the last untrained model on, and the program from the first one.
        loop.before_all_n = before_all_n = told["s"]
        if found["b"] is not None:
            before_all_n = told["b"] - self._began(loop, told["g"], told["b"], last_n)
            loop.before_all_n = before_all_n
        closed_n = None if found["c"] is None else told["c"] - before_all_n
        was, loop.closed_n = loop.closed_n, closed_n
        resumed_n = len(loop.commanded.places)
        is_kept = found["b"] is not None
        if not is_kept or self.labels.is_first(partition):
            self.labels.change(loop, found["f"], is_kept=is_kept)
        self.commands.follow(loop, offset, told)
        self.labels.change(loop, found["f"], is_kept=is_kept)
        if self.breaker is not None and len(loop.commanded.places) > resumed_n:
            self.breaker.hear(loop.partition, loop.commanded.places[resumed_n:])
        problem = self.closing.find_problem(loop, before=was)
        require(problem is None, f"{where} at {offset}: {problem}")
        said = told["n"] - before_all_n, told["g"], told["l"]
        right = loop.n, loop.genesis, loop.learned
        require(said == right, f"{where} at {offset}: n, genesis, learned: {said}, not {right}")
        right_u = told_of(loop)
        require(found["u"] == right_u, f"{where} at {offset}: labels: {found['u']}, not {right_u}")
        stands = "f" * loop.commanded.is_frozen + "p" * loop.commanded.is_stopped
        require((found["z"] or "") == stands, f"{where} at {offset}: {found['z']}, not {stands!r}")
        # Where it stands still, a commit only tells of commands.
        is_still = _is_paused(was_committed.metadata) and _is_paused(committed.metadata)
        if self.breaker is not None and not (is_still and offset == before):
            problem = self.breaker.find_problem(
                loop,
                before_n=before_n,
                is_paused=_is_paused(committed.metadata),
                has_more=any(at in loop.facts for at in range(offset, end)),
                ahead=lambda: loop.ahead(end),
            )
            require(problem is None, f"{where} at {offset}: {problem}")

    def _began(self, loop: PlainLoop, genesis: int, base_n: int, last_n: int) -> int:
        """How many records there were when a fold went on under other settings: no change to it."""
        began, at = self._cache_audit.began, (loop.partition, base_n)
        if at not in began or loop.genesis != genesis:
            where = f"partition {loop.partition}, base of step {base_n} at {genesis}"
            require((genesis, base_n) == (loop.offset, last_n), f"{where}: not where the last was")
            began[at] = loop.n
            loop.genesis = genesis
        return began[at]

    def _check_logs(self) -> None:
        for loop in self._loops:
            self.commands.check(loop.partition)
            for channel in OUTPUTS:
                at = channel, loop.partition
                log = self._log_of(channel, loop.partition)
                seen = log.end, len(log.opened), loop.offset
                if seen != self._seen[at]:
                    self._check_outputs(channel, loop, log)
                    self._seen[at] = seen

    def _log_of(self, channel: Channel, partition: int) -> Partition:
        """Where that is published; labels that are refused lie in the quarantine."""
        where = Channel.QUARANTINE if channel is Channel.LABELS else channel
        return self._broker.topics[self._names[where]].partitions[partition]

    def _is_expected_here(self, channel: Channel, record: Record) -> bool:
        """Whether a record of a topic is one of those that are expected of a channel."""
        if channel not in _QUARANTINED:
            return not _is_of_worker(channel, record)
        topic = dict(record.headers).get("stream.topic")
        is_label = topic == self._names[Channel.LABELS].encode()
        return is_label is (channel is Channel.LABELS)

    def _check_outputs(self, channel: Channel, loop: PlainLoop, log: Partition) -> None:
        at = channel, loop.partition
        expected, where = loop.outputs[channel], f"{channel} partition {loop.partition}"
        records, self._positions[at] = log.fetch(
            self._positions[at], stop=log.stable_end, records_max=log.end + 1
        )
        records = [record for record in records if self._is_expected_here(channel, record)]
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
