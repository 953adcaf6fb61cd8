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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from stream.core.event import Channel, Output
from stream.core.formats.records import Writer
from stream.errors import CommitLost, Retryable
from stream.ports import Committed, Log, Polled
from stream.runtime.backoff import BackOff
from stream.runtime.bases import batches
from stream.runtime.beside import Beside
from stream.runtime.breaker import NEVER, Breaker, Limit
from stream.runtime.commanding import nothing
from stream.runtime.commit_policy import CommitPolicy, CommitSchedule
from stream.runtime.control import Control
from stream.runtime.flow_watch import FlowWatch
from stream.runtime.folding import Folding
from stream.runtime.goals import Goals
from stream.runtime.labelling import Labels
from stream.runtime.life import LIVING, Life, Lives, Move
from stream.runtime.progress import Progress, count_sent
from stream.runtime.rehearsing import Rehearsing
from stream.runtime.room import Everywhere, Room
from stream.runtime.seldom import Seldom
from stream.runtime.settling import Settling
from stream.runtime.snapshotter import Snapshotter
from stream.runtime.sources import Sources
from stream.runtime.watchdog import Watchdog
from stream.runtime.watched_log import WatchedLog
from stream.telemetry import LogEvent, Metric

if TYPE_CHECKING:
    from stream.core.result import StepResult

IDLE_POLL_S = 0.25
"""The longest a worker waits in `poll`: how late it may notice a stop signal."""

DRAIN_SNAPSHOT_S = 10.0


class Worker:
    """Runs the tasks of the partitions that the group gives it; see the module's picture.

    Args:
        stopping: set by a stop signal.
        room: which partitions have a place in the outputs; None: all have one.
        limit: how much of a partition may be refused before it is paused.
        control, labels, ready_commands: see `Beside`.
        jitter: see `BackOff`.
    """

    def __init__(
        self,
        log: Log,
        *,
        sources: Sources,
        writer: Writer,
        flow_watch: FlowWatch,
        snapshotter: Snapshotter,
        commit_policy: CommitPolicy,
        room: Room | None = None,
        watchdog: Watchdog,
        stopping: threading.Event,
        limit: Limit = NEVER,
        control: Control | None = None,
        labels: Labels | None = None,
        ready_commands: Callable[[Collection[Channel]], None] = nothing,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        deadlined, call_deadline_s = watchdog.watch, commit_policy.call_deadline_s
        self._log = WatchedLog(log, deadlined=deadlined, call_deadline_s=call_deadline_s)
        self._writer, self._flow_watch, self._snapshotter = writer, flow_watch, snapshotter
        self._policy = commit_policy
        self._room = room or Everywhere()
        self._stopping = stopping
        self._clock, self._keys, self._telemetry = sources.clock, sources.keys, sources.telemetry
        self._lives = Lives()
        self._settling = Settling(
            self._log, self._lives, sources=sources, deadlined=deadlined,
            call_deadline_s=call_deadline_s,
        )  # fmt: skip
        self._breaker = breaker = Breaker(limit, sources)
        self._rehearsing = Rehearsing(
            self._lives, breaker, log=self._log, commit_policy=commit_policy, deadlined=deadlined
        )
        self._results: list[StepResult] = []
        self._beside = Beside(
            control, labels, lives=self._lives, results=self._results, log=self._log,
            breaker=breaker, snapshotter=snapshotter, sources=sources, ready=ready_commands,
            deadlined=deadlined,
        )  # fmt: skip
        labelling, until_end = self._beside.labelling, commit_policy.until_end
        self._goals = Goals(self._lives, self._room, is_asked=until_end, labelling=labelling)
        self._schedule = CommitSchedule(commit_policy, self._clock)
        self._folding = Folding(
            self._lives, self._results, log=self._log, breaker=breaker, snapshotter=snapshotter,
            schedule=self._schedule, sources=sources, fold_s_max=commit_policy.fold_s_max,
            labelling=labelling,
        )  # fmt: skip
        self._back_off, self._unreachable = BackOff(self._clock, jitter), Seldom(self._clock)
        self._progress = Progress(self._clock, self._telemetry)
        self._deadlined = deadlined

    def run(self) -> None:
        """Work until `stopping` is set (or until the end), then drain: commit and snapshot.

        Raises: Fenced, Misconfigured, LogLost, Internal: the process must end with its exit code
            (`until_end` cannot be, where a partition waits for a place in the outputs);
            BadInput: nor where one is paused.
        """
        while not self._stopping.is_set() and (self._lives.dirty or not self._goals.are_reached()):
            self.turn()
        if self._stopping.is_set():
            self._telemetry.say(LogEvent.WORKER_DRAINING, uncommitted=self._lives.dirty)
        self._drain()
        if self._policy.until_end and not self._stopping.is_set():
            self._goals.complain()

    def turn(self) -> None:
        """One round of the loop."""
        is_delivered = False
        try:
            polled = self._poll()
            self._release(polled.revoked)
            self._adopt(self._room.admitted(polled.assigned))
            is_delivered = True
            self._beside.commanding.do(self._commit)
            self._folding.take(polled)
            if self._lives.dirty and (self._schedule.is_commit_due() or self._goals.are_reached()):
                self._commit()
            elif self._results and self._policy.is_ahead:
                self._send({})
            self._rehearse()
            self._flow_watch.heard(polled.records)
            if self._flow_watch.is_on and not self._lives.dirty:
                self._watch_flow()
            is_delivered = False
            self._settle()
        except CommitLost as error:
            self._lost(error)
            self._back_off.failed()
        except Retryable as error:
            if self._unreachable.is_due():
                self._telemetry.say(LogEvent.LOG_UNREACHABLE, level=logging.WARNING, error=error)
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
        if self._folding.is_behind:
            timeout_s = 0.0
        elif self._lives.dirty:
            rest_s = min(schedule.rest_s(), schedule.left_s())
            if rest_s:
                self._clock.sleep(rest_s)
            timeout_s = min(timeout_s, schedule.left_s())
        records_max = schedule.records_max(outputs_n=len(self._results))
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
        self._results[:] = [r for r in self._results if r.record.partition not in gone]
        for partition in gone:
            self._lives.move(partition, Move.REVOKE)
            self._snapshotter.release(partition)
        self._beside.drop(gone)
        self._settling.drop(gone)

    def _adopt(self, assigned: Iterable[int]) -> None:
        new = set(assigned)
        if not new:
            return
        self._telemetry.say(LogEvent.PARTITIONS_ASSIGNED, partitions=new)
        for partition in new:
            self._lives.move(partition, Move.ASSIGN)
        self._lives.forget_away()

    def _lost(self, error: Retryable) -> None:
        self._telemetry.count(Metric.COMMITS_LOST)
        self._telemetry.say(LogEvent.COMMIT_LOST, level=logging.WARNING, error=error)
        self._doubt()

    def _doubt(self) -> None:
        """Let the committed offsets decide, for nobody knows what the last commit did."""
        self._results.clear()
        living = self._lives.within(LIVING)
        self._beside.drop(living)
        for partition in living:
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
            self._beside.adopt(task)
            if self._lives.life(task.partition) is not Life.FOLDING:
                self._log.pause(task.partition)
            self._snapshotter.adopt(
                task.partition, stored_n=settled.stored_n, debt_s=settled.debt_s
            )
            if settled.end is not None:
                self._goals.add(task.partition, settled.end)
            if settled.base is not None:
                for outputs in batches(settled.base, self._keys):
                    self._log.commit(outputs, {})  # one that no offset names is no harm
            if not settled.is_committed:
                # Where a fold begins is durable before it goes on: a second look may find another.
                self._beside.commanding.tell(settled.told)
                self._lives.move(task.partition, Move.OWE)
                self._commit()

    def _rehearse(self) -> None:
        if not self._settling and not self._back_off.left_s():
            self._rehearsing.go_on()

    def _commit(self) -> None:
        """Commit all that was folded; report pauses only then, for nothing uncommitted counts."""
        began = self._clock.monotonic()
        live = self._lives.tasks(LIVING)
        dirty = {partition: live[partition] for partition in self._lives.dirty}
        for task in dirty.values():
            task.admission.close_if_heavy()
        offsets, told = self._beside.to_commit(dirty)
        with self._beside.committing(offsets):
            self._send(offsets, told)
        self._beside.committed()
        self._telemetry.count(Metric.COMMITS)
        self._schedule.committed(began=began)
        for partition in self._lives.within({Life.TRIPPED}):
            self._telemetry.count(Metric.PAUSED)
            self._breaker.say_paused(live[partition], self._breaker.found(partition))
        for partition in dirty:
            self._lives.move(partition, Move.COMMIT)
        self._progress.committed(dirty.values())
        self._back_off.succeeded()

    def _watch_flow(self) -> None:
        """Tell what is wrong with the flow, by the wall clock; no offset goes with it."""
        with self._deadlined("watching the flow", self._policy.call_deadline_s):
            told_n = self._flow_watch.look(
                self._lives.tasks({Life.FOLDING}), lambda outputs: self._log.commit(outputs, {})
            )
        if told_n:
            self._telemetry.count(Metric.ALERTS, told_n)

    def _send(self, offsets: Mapping[int, Committed], told: Sequence[Output] = ()) -> None:
        """Publish the results in hand, and what else is told; commit offsets with them."""
        outputs = self._beside.commanding.written(self._results, self._writer.outputs)
        outputs += told
        self._log.commit(outputs, offsets)
        count_sent(self._telemetry, self._results)
        self._results.clear()

    def _drain(self) -> None:
        """Commit what is folded, snapshot what is committed."""
        if self._lives.dirty:
            try:
                self._commit()
            except Retryable as error:
                # As after a crash: the next owner folds it again from the committed offset.
                self._lost(error)
        live = self._lives.tasks(LIVING)
        self._snapshotter.finish(live.values(), timeout_s=DRAIN_SNAPSHOT_S)
