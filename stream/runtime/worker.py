"""The loop of a worker: poll, step, commit; restore on assignment.

    poll ─► adopt or release partitions ─► step each record ─► every commit interval: commit it all
                    │                                                    │
                    ▼                                                    ▼
        settle: is the state at the committed offset?             only now: a snapshot may be taken
        yes: keep it   no: restore it, slice by slice

An assigned partition is *settling* (see `settling.py`) or *live*. After any doubt about a commit
all live ones settle again: what the broker says is committed decides, never a guess.
"""

import logging
import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream.core.event import Channel, Output, Record
from stream.errors import CommitLost, Retryable
from stream.ports import Committed, Log, Polled
from stream.runtime.backoff import BackOff
from stream.runtime.restore import Sources
from stream.runtime.settling import Settling
from stream.runtime.snapshotter import SAY_EVERY_S, Snapshotter
from stream.runtime.watchdog import Watchdog
from stream.telemetry import Event, Metric

if TYPE_CHECKING:
    from stream.core.task import Task

IDLE_POLL_S = 0.25
"""The longest a worker waits in `poll`: how late it may notice a stop signal."""

RECORDS_MAX = 10_000
"""Most records in one poll, and most outputs in hand before a commit is due anyway: about 5 MB."""

GAP_AFTER_S = 1.0
"""Quiet this long, a partition's offset moves past markers, so that lag reaches 0."""

PROGRESS_EVERY_S = 10.0
DRAIN_SNAPSHOT_S = 10.0

_COUNTED = {Channel.ALERTS: Metric.ALERTS, Channel.QUARANTINE: Metric.REJECTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The worker's timings.

    Attributes:
        commit_interval_s: outputs become visible this often.
        fold_s_max: longest time between two polls that folding may take.
        call_deadline_s: a client's call that takes longer hangs.
        until_end: stop once all assigned partitions are committed up to where they ended at start.
    """

    commit_interval_s: float
    fold_s_max: float
    call_deadline_s: float
    until_end: bool = False


class Worker:
    """Runs the tasks of the partitions that the group gives it; see the module's picture.

    Args:
        stopping: set by a stop signal.
        jitter: see `BackOff`.
    """

    def __init__(
        self,
        log: Log,
        *,
        sources: Sources,
        snapshotter: Snapshotter,
        pace: Pace,
        watchdog: Watchdog,
        stopping: threading.Event,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._log = log
        self._snapshotter = snapshotter
        self._pace = pace
        self._stopping = stopping
        self._clock = sources.clock
        self._telemetry = sources.telemetry
        self._live: dict[int, Task] = {}
        self._settling = Settling(
            log,
            sources=sources,
            deadlined=watchdog.watch,
            call_deadline_s=pace.call_deadline_s,
        )
        self._outputs: list[Output] = []
        self._dirty: set[int] = set()
        self._goals: dict[int, int] = {}
        self._commit_due = 0.0
        self._quiet_since = self._clock.monotonic()
        self._record_s = 0.0
        self._back_off = BackOff(self._clock, jitter)
        self._said_at = -SAY_EVERY_S
        self._progress_at = self._clock.monotonic()
        self._deadlined = watchdog.watch

    def run(self) -> None:
        """Work until `stopping` is set (or until the end), then drain: commit and snapshot.

        The log stays open: its owner closes it.

        Raises: Fenced, Misconfigured, LogLost, Internal: the process must end with its exit code.
        """
        while not self._stopping.is_set() and not self._reached_end():
            self.turn()
        self._drain()

    def turn(self) -> None:
        """One round of the loop."""
        try:
            polled = self._poll()
            self._release(polled.revoked)
            self._adopt(polled.assigned)
            self._fold(polled.records)
            self._pass_gaps(polled)
            if self._dirty and self._clock.monotonic() >= self._commit_due:
                self._commit()
            self._settle()
        except CommitLost as error:
            self._telemetry.count(Metric.COMMITS_LOST)
            self._telemetry.say(Event.COMMIT_LOST, level=logging.WARNING, error=error)
            self._doubt()
            self._back_off.failed()
        except Retryable as error:
            self._say_unreachable(error)
            self._back_off.failed()
        if not self._dirty:
            self._snapshotter.consider(self._live.values())
        self._say_progress()

    def _poll(self) -> Polled:
        pace, now = self._pace, self._clock.monotonic()
        timeout_s = IDLE_POLL_S
        if self._settling:
            timeout_s = min(timeout_s, self._back_off.left_s())
        if self._dirty:
            timeout_s = min(timeout_s, max(0.0, self._commit_due - now))
        records_max = RECORDS_MAX - min(len(self._outputs), RECORDS_MAX - 1)
        if self._record_s:
            # Poll what can be folded in time, so that a batch is rarely cut.
            records_max = max(1, min(records_max, int(pace.fold_s_max / self._record_s)))
        with self._deadlined("polling Kafka", timeout_s + pace.call_deadline_s):
            return self._log.poll(timeout_s=timeout_s, records_max=records_max)

    def _release(self, revoked: Iterable[int]) -> None:
        gone = set(revoked)
        if not gone:
            return
        self._telemetry.say(Event.PARTITIONS_REVOKED, partitions=gone)
        self._outputs = [o for o in self._outputs if o.partition not in gone]
        for partition in gone:
            task = self._live.pop(partition, None)
            if task is not None and partition not in self._dirty:
                self._settling.hold([task])  # it may come back with the committed offset unmoved
            self._snapshotter.release(partition)
        self._dirty -= gone
        self._settling.drop(gone)

    def _adopt(self, assigned: Iterable[int]) -> None:
        new = set(assigned)
        if not new:
            return
        self._telemetry.say(Event.PARTITIONS_ASSIGNED, partitions=new)
        self._settling.add(new)

    def _doubt(self) -> None:
        """Nobody knows what of the last commit took effect: let the committed offsets decide."""
        self._outputs.clear()
        self._dirty.clear()
        for partition in self._live:
            self._snapshotter.release(partition)
        self._settling.hold(self._live.values())
        self._settling.add(self._live.keys())
        self._live.clear()

    def _settle(self) -> None:
        """Bring assigned partitions to life."""
        if self._back_off.left_s():
            return
        for settled in self._settling.advance():
            task = settled.task
            self._live[task.partition] = task
            self._snapshotter.adopt(
                task.partition, stored_offset=settled.stored_offset, debt_s=settled.debt_s
            )
            if settled.end is not None:
                self._goals.setdefault(task.partition, settled.end)
            if not settled.is_committed:
                # Where a fold begins must be durable before it goes on: it must not depend on a
                # second look, at a log that has grown or lost its start meanwhile.
                self._dirty.add(task.partition)
                self._commit()

    def _fold(self, batches: Mapping[int, Sequence[Record]]) -> None:
        """Step through a poll's records; past the time, the rest is left to the next poll."""
        if not batches:
            return
        clock = self._clock
        started = now = clock.monotonic()
        if not self._dirty:
            self._commit_due = started + self._pace.commit_interval_s
        deadline = started + self._pace.fold_s_max
        folded = 0
        for partition, records in batches.items():
            task, began, before = self._live.get(partition), now, folded
            if task is None:
                continue  # in doubt since a lost commit: `seek` delivers them again
            self._dirty.add(partition)
            for record in records:
                self._outputs.extend(task.step(record))
                folded += 1
                if clock.monotonic() > deadline:
                    break
            now = clock.monotonic()
            self._snapshotter.spent(partition, now - began)
            if folded - before < len(records):
                self._log.seek(partition, task.next_offset)
        if not folded:
            return
        if len(self._outputs) >= RECORDS_MAX:
            self._commit_due = now
        self._quiet_since = now
        # A running mean that follows a change of the model's cost within a few batches.
        cost = (now - started) / folded
        self._record_s = cost if not self._record_s else 0.7 * self._record_s + 0.3 * cost
        self._telemetry.count(Metric.RECORDS, folded)

    def _pass_gaps(self, polled: Polled) -> None:
        """Move quiet partitions past offsets that hold no record."""
        if polled.records or self._clock.monotonic() - self._quiet_since < GAP_AFTER_S:
            return
        for partition, position in polled.positions.items():
            task = self._live.get(partition)
            if task is not None and position > task.next_offset:
                task.advance(position)
                self._dirty.add(partition)

    def _commit(self) -> None:
        offsets = {
            p: Committed(self._live[p].next_offset, self._live[p].metadata().encode())
            for p in sorted(self._dirty)
        }
        with self._deadlined("committing", self._pace.call_deadline_s):
            self._log.commit(self._outputs, offsets)
        self._telemetry.count(Metric.COMMITS)
        for output in self._outputs:
            if (metric := _COUNTED.get(output.channel)) is not None:
                self._telemetry.count(metric)
        self._outputs.clear()
        self._dirty.clear()
        self._back_off.succeeded()

    def _say_unreachable(self, error: Retryable) -> None:
        now = self._clock.monotonic()
        if now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            self._telemetry.say(Event.LOG_UNREACHABLE, level=logging.WARNING, error=error)

    def _reached_end(self) -> bool:
        """Whether `until_end` is asked for and everything assigned is committed up to its goal."""
        if not self._pace.until_end or not self._live or self._dirty or self._settling:
            return False
        return all(t.next_offset >= self._goals[p] for p, t in self._live.items())

    def _drain(self) -> None:
        """Commit what is folded, snapshot what is committed."""
        if self._dirty:
            try:
                self._commit()
            except Retryable as error:
                # As after a crash: the next owner folds it again from the committed offset.
                self._telemetry.say(Event.COMMIT_LOST, level=logging.WARNING, error=error)
                self._doubt()
        self._snapshotter.finish(self._live.values(), timeout_s=DRAIN_SNAPSHOT_S)

    def _say_progress(self) -> None:
        now = self._clock.monotonic()
        if now - self._progress_at < PROGRESS_EVERY_S:
            return
        self._progress_at = now
        scores = [(p, s) for p, t in sorted(self._live.items()) if (s := t.score()) is not None]
        self._telemetry.say(
            Event.PROGRESS,
            records=self._telemetry.counters[Metric.RECORDS],
            replayed=self._telemetry.counters[Metric.REPLAYED],
            alerts=self._telemetry.counters[Metric.ALERTS],
            scores=[f"{p}:{s.metric}={s.value:.4f}/{s.baseline:.4f}" for p, s in scores],
        )
