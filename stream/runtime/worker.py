"""The loop of a worker: poll, step, commit; restore on assignment.

    poll ─► adopt or release partitions ─► step each record ─► every commit interval: commit it all
                    │                                                    │
                    ▼                                                    ▼
        settle: is the state at the committed offset?             only now: a snapshot may be taken
        yes: keep it   no: restore it, slice by slice

Where a partition is in its life, `life.py` knows. After any doubt about a commit all that live
settle again: what the broker says is committed decides, never a guess.
"""

import logging
import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from stream.core.event import Record
from stream.core.formats.records import Writer
from stream.errors import BadInput, CommitLost, Misconfigured, Retryable
from stream.ports import Committed, Log, Polled
from stream.runtime.backoff import BackOff
from stream.runtime.bases import Base, batches
from stream.runtime.breaker import NEVER, Breaker, Limit
from stream.runtime.commit_policy import RECORDS_MAX, CommitPolicy, CommitSchedule
from stream.runtime.life import LIVING, Life, Lives, Move
from stream.runtime.progress import Progress
from stream.runtime.room import Everywhere, Room
from stream.runtime.settling import Settling
from stream.runtime.snapshotter import SAY_EVERY_S, Snapshotter
from stream.runtime.sources import Sources
from stream.runtime.watchdog import Watchdog
from stream.telemetry import LogEvent, Metric

if TYPE_CHECKING:
    from stream.core.result import StepResult
    from stream.core.task import Task

IDLE_POLL_S = 0.25
"""The longest a worker waits in `poll`: how late it may notice a stop signal."""

GAP_AFTER_S = 1.0
"""Quiet this long, a partition's offset moves past markers, so that lag reaches 0."""

DRAIN_SNAPSHOT_S = 10.0

GO_ON = (
    "nothing more of it is consumed, the other partitions go on; `stream quarantine list` shows "
    "what came, mend the cause and restart the worker; to have the rest refused too, restart it "
    "with STREAM__QUARANTINE__BREAKER_SHARE=1; `stream quarantine redrive` sends them again"
)
"""What a paused partition's owner has to know."""


class Worker:
    """Runs the tasks of the partitions that the group gives it; see the module's picture.

    Args:
        stopping: set by a stop signal.
        room: which partitions have a place in the outputs; None: all have one.
        limit: how much of a partition may be refused before it is paused.
        jitter: see `BackOff`.
    """

    def __init__(
        self,
        log: Log,
        *,
        sources: Sources,
        writer: Writer,
        snapshotter: Snapshotter,
        commit_policy: CommitPolicy,
        room: Room | None = None,
        watchdog: Watchdog,
        stopping: threading.Event,
        limit: Limit = NEVER,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._log = log
        self._writer = writer
        self._snapshotter = snapshotter
        self._policy = commit_policy
        self._room = room or Everywhere()
        self._stopping = stopping
        self._clock = sources.clock
        self._keys = sources.keys
        self._telemetry = sources.telemetry
        self._lives = Lives()
        self._settling = Settling(
            log,
            self._lives,
            sources=sources,
            deadlined=watchdog.watch,
            call_deadline_s=commit_policy.call_deadline_s,
        )
        self._breaker = Breaker(limit, sources)
        self._results: list[StepResult] = []
        self._goals: dict[int, int] = {}
        self._schedule = CommitSchedule(commit_policy, self._clock)
        self._quiet_since = self._clock.monotonic()
        self._back_off = BackOff(self._clock, jitter)
        self._said_at = -SAY_EVERY_S
        self._progress = Progress(self._clock, self._telemetry)
        self._deadlined = watchdog.watch

    def run(self) -> None:
        """Work until `stopping` is set (or until the end), then drain: commit and snapshot.

        The log stays open: its owner closes it.

        Raises: Fenced, Misconfigured, LogLost, Internal: the process must end with its exit code
            (`until_end` cannot be, where a partition waits for a place in the outputs);
            BadInput: nor where one is paused.
        """
        while not self._stopping.is_set() and (self._lives.dirty or not self._is_at_goals()):
            self.turn()
        if self._stopping.is_set():
            self._telemetry.say(LogEvent.WORKER_DRAINING, uncommitted=self._lives.dirty)
        self._drain()
        if self._policy.until_end and not self._stopping.is_set():
            self._complain_of_paused()

    def turn(self) -> None:
        """One round of the loop."""
        is_delivered = False
        try:
            polled = self._poll()
            self._release(polled.revoked)
            self._adopt(self._room.admitted(polled.assigned))
            is_delivered = True
            self._fold(polled.records)
            self._pass_gaps(polled)
            if self._lives.dirty and (self._schedule.is_commit_due() or self._is_at_goals()):
                self._commit()
            elif self._results and self._policy.is_ahead:
                self._send({})
            self._rehearse()
            is_delivered = False
            self._settle()
        except CommitLost as error:
            self._telemetry.count(Metric.COMMITS_LOST)
            self._telemetry.say(LogEvent.COMMIT_LOST, level=logging.WARNING, error=error)
            self._doubt()
            self._back_off.failed()
        except Retryable as error:
            self._say_unreachable(error)
            if is_delivered:
                # Of a batch that was cut the rest would never come: the log stands behind it.
                self._doubt()
            self._back_off.failed()
        live = self._lives.tasks(LIVING)
        if not self._lives.dirty:
            self._snapshotter.consider(live.values())
        self._progress.say_if_due(live)

    def _poll(self) -> Polled:
        """Poll Kafka; first rest if outputs wait for a commit, and return before it is due."""
        schedule, timeout_s = self._schedule, IDLE_POLL_S
        if self._settling:
            timeout_s = min(timeout_s, self._back_off.left_s())
        if self._lives.dirty:
            rest_s = min(schedule.rest_s(), schedule.left_s())
            if rest_s:
                self._clock.sleep(rest_s)
            timeout_s = min(timeout_s, schedule.left_s())
        records_max = schedule.records_max(outputs_n=len(self._results))
        with self._deadlined("polling Kafka", timeout_s + self._policy.call_deadline_s):
            polled = self._log.poll(timeout_s=timeout_s, records_max=records_max)
        schedule.polled(sum(map(len, polled.records.values())))
        return polled

    def _release(self, revoked: Iterable[int]) -> None:
        """Forget partitions that the group took away; their committed states are held."""
        gone = set(revoked)
        if not gone:
            return
        self._room.drop(gone)
        self._telemetry.say(LogEvent.PARTITIONS_REVOKED, partitions=gone)
        self._results = [r for r in self._results if r.record.partition not in gone]
        for partition in gone:
            self._lives.move(partition, Move.REVOKE)
            self._snapshotter.release(partition)
        self._settling.drop(gone)

    def _adopt(self, assigned: Iterable[int]) -> None:
        new = set(assigned)
        if not new:
            return
        self._telemetry.say(LogEvent.PARTITIONS_ASSIGNED, partitions=new)
        for partition in new:
            self._lives.move(partition, Move.ASSIGN)
        self._lives.forget_away()

    def _doubt(self) -> None:
        """Let the committed offsets decide, for nobody knows what the last commit did."""
        self._results.clear()
        for partition in self._lives.within(LIVING):
            self._lives.move(partition, Move.DOUBT)
            self._snapshotter.release(partition)
        self._lives.forget_away()

    def _settle(self) -> None:
        """Bring assigned partitions to life."""
        if self._back_off.left_s():
            return
        for settled in self._settling.advance():
            task = settled.task
            self._breaker.adopt(task)
            if self._lives.life(task.partition) is not Life.FOLDING:
                self._pause(task.partition)
            self._snapshotter.adopt(
                task.partition, stored_offset=settled.stored_offset, debt_s=settled.debt_s
            )
            if settled.end is not None:
                self._goals.setdefault(task.partition, settled.end)
            if settled.base is not None:
                self._publish(settled.base)
            if not settled.is_committed:
                # Where a fold begins must be durable before it goes on: it must not depend on a
                # second look, at a log that has grown or lost its start meanwhile.
                self._lives.move(task.partition, Move.OWE)
                self._commit()

    def _publish(self, base: Base) -> None:
        """Publish what a fold begins anew with: one that no offset names is no harm."""
        for outputs in batches(base, self._keys):
            with self._deadlined("publishing a base", self._policy.call_deadline_s):
                self._log.commit(outputs, {})

    def _rehearse(self) -> None:
        """Go on with a paused partition if its next records would do better than its last."""
        policy, undecided = self._policy, self._lives.tasks({Life.UNDECIDED})
        # A restore reads with the same reader, slice by slice.
        if not undecided or self._settling or self._back_off.left_s():
            return
        with self._deadlined("rehearsing", policy.fold_s_max + policy.call_deadline_s):
            verdict = self._breaker.rehearse(undecided[min(undecided)], budget_s=policy.fold_s_max)
        if verdict is None:
            return
        task, seen = verdict.task, f"{verdict.refused_n} of the next {verdict.seen_n} records"
        if verdict.is_over:
            self._lives.move(task.partition, Move.WORSE)
            self._say_paused(task, f"{seen} would be refused again")
            return
        self._breaker.begin_anew(task)
        self._lives.move(task.partition, Move.RESUME)
        self._seek(task)
        self._telemetry.say(
            LogEvent.PARTITION_RESUMED,
            partition=task.partition,
            next_offset=task.next_offset,
            why=f"{seen} would be refused",
        )

    def _say_paused(self, task: "Task", why: str) -> None:
        """Report that a partition stands still until somebody has looked at its refusals."""
        self._telemetry.say(
            LogEvent.PARTITION_PAUSED,
            level=logging.ERROR,
            partition=task.partition,
            next_offset=task.next_offset,
            why=why,
            then=GO_ON,
        )

    def _fold(self, batches: Mapping[int, Sequence[Record]]) -> None:
        """Step through a poll's records; past the time, the rest is left to the next poll."""
        if not batches:
            return
        clock = self._clock
        started = now = clock.monotonic()
        deadline = started + self._policy.fold_s_max
        folded, folding = 0, self._lives.tasks({Life.FOLDING})
        for partition, records in batches.items():
            task, began = folding.get(partition), now
            if task is None:
                continue  # in doubt since a lost commit: `seek` delivers them again
            self._lives.move(partition, Move.FOLD)
            n = self._fold_some(task, records, deadline)
            folded += n
            now = clock.monotonic()
            self._snapshotter.spent(partition, now - began)
            if self._lives.life(partition) is Life.TRIPPED:
                self._pause(partition)
            elif n < len(records):
                self._seek(task)
        if not folded:
            return
        if len(self._results) >= RECORDS_MAX or self._lives.within({Life.TRIPPED}):
            self._schedule.commit_now()
        self._quiet_since = now
        self._schedule.folded(folded, took_s=now - started)
        self._telemetry.count(Metric.RECORDS, folded)

    def _seek(self, task: "Task") -> None:
        with self._deadlined("seeking", self._policy.call_deadline_s):
            self._log.seek(task.partition, task.next_offset)

    def _pause(self, partition: int) -> None:
        with self._deadlined("pausing", self._policy.call_deadline_s):
            self._log.pause(partition)

    def _fold_some(self, task: "Task", records: Sequence[Record], deadline: float) -> int:
        """Step until the deadline, or until the breaker trips. Returns: how many were folded."""
        keep, monotonic = self._results.append, self._clock.monotonic
        for n, record in enumerate(records, 1):
            result = task.step(record)
            keep(result)
            if result.refusal is not None and self._breaker.trips(task, result.refusal):
                self._lives.move(task.partition, Move.TRIP)
                return n
            if monotonic() > deadline:
                return n
        return len(records)

    def _pass_gaps(self, polled: Polled) -> None:
        """Move quiet partitions past offsets that hold no record."""
        if polled.records or self._clock.monotonic() - self._quiet_since < GAP_AFTER_S:
            return
        folding = self._lives.tasks({Life.FOLDING})
        for partition, position in polled.positions.items():
            task = folding.get(partition)
            if task is not None and position > task.next_offset:
                task.advance(position)
                self._lives.move(partition, Move.FOLD)

    def _commit(self) -> None:
        """Commit all that was folded; report pauses only then, for nothing uncommitted counts."""
        began = self._clock.monotonic()
        live = self._lives.tasks(LIVING)
        dirty = {partition: live[partition] for partition in self._lives.dirty}
        for task in dirty.values():
            task.close_if_heavy()
        self._send({p: Committed(t.next_offset, t.metadata().encode()) for p, t in dirty.items()})
        self._telemetry.count(Metric.COMMITS)
        self._schedule.committed(began=began)
        for partition in self._lives.within({Life.TRIPPED}):
            self._telemetry.count(Metric.PAUSED)
            self._say_paused(live[partition], self._breaker.found(partition))
        for partition in dirty:
            self._lives.move(partition, Move.COMMIT)
        self._back_off.succeeded()

    def _send(self, offsets: Mapping[int, Committed]) -> None:
        """Publish the results in hand, and commit offsets with them."""
        outputs = self._writer.outputs(self._results)
        with self._deadlined("committing", self._policy.call_deadline_s):
            self._log.commit(outputs, offsets)
        for result in self._results:
            if result.refusal is not None:
                self._telemetry.count(Metric.REJECTED)
                self._telemetry.reasons[result.refusal.reason.value] += 1
            if result.alerts:
                self._telemetry.count(Metric.ALERTS, len(result.alerts))
        self._results.clear()

    def _say_unreachable(self, error: Retryable) -> None:
        now = self._clock.monotonic()
        if now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            self._telemetry.say(LogEvent.LOG_UNREACHABLE, level=logging.WARNING, error=error)

    def _is_at_goals(self) -> bool:
        """Whether `until_end` is asked for and all that is not paused is folded up to its goal."""
        lives = self._lives
        if not self._policy.until_end or self._settling or lives.within({Life.UNDECIDED}):
            return False
        if not (lives.within(LIVING) or self._room.waiting):
            return False
        folding = lives.tasks({Life.FOLDING})
        return all(task.next_offset >= self._goals[p] for p, task in folding.items())

    def _complain_of_paused(self) -> None:
        if self._room.waiting:
            raise Misconfigured(self._room.why())
        live = self._lives.tasks(LIVING)
        paused = [p for p, task in sorted(live.items()) if task.next_offset < self._goals[p]]
        if paused:
            at = ", ".join(f"{p} at offset {live[p].next_offset}" for p in paused)
            raise BadInput(f"too much was refused, so this is paused: partition {at}; {GO_ON}")

    def _drain(self) -> None:
        """Commit what is folded, snapshot what is committed."""
        if self._lives.dirty:
            try:
                self._commit()
            except Retryable as error:
                # As after a crash: the next owner folds it again from the committed offset.
                self._telemetry.count(Metric.COMMITS_LOST)
                self._telemetry.say(LogEvent.COMMIT_LOST, level=logging.WARNING, error=error)
                self._doubt()
        live = self._lives.tasks(LIVING)
        self._snapshotter.finish(live.values(), timeout_s=DRAIN_SNAPSHOT_S)
