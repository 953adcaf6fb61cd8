"""The loop of a supervisor: start N workers, watch them, start again what ended, drain.

    turn ─► hear reports ─► who ended? ─► decide (restarts.py) ─► start what is due
                               │
                               └► who gets nowhere (stagnation.py), who overstays? ─► end it

Every wait is a time in a worker's record, so that no turn waits for anything: neither for a worker
nor for Kafka (lag_watch.py). What a worker is and does is its own business (running.py).
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stream.errors import ExitCode
from stream.ports import Clock
from stream.runtime.supervision import restarts
from stream.runtime.supervision.lag_watch import Blind, Lookout
from stream.runtime.supervision.restarts import FENCED_WITHIN_S, GiveUp, Restart
from stream.runtime.supervision.stagnation import Stagnation
from stream.runtime.supervision.until_end import Goals
from stream.runtime.supervision.worker_link import DRAIN_S, Report
from stream.runtime.supervision.worker_process import Hired
from stream.telemetry import LogEvent, Telemetry

TICK_S = 0.1
START_WITHIN_S = 300.0
"""From a worker's start to its first poll: imports, topics, joining; minutes on a busy machine."""

STACKS_S = 1.0
"""What a stuck worker gets to write down where it is."""

BLIND_SAID_EVERY_S = 60.0


@dataclass(slots=True)
class _Post:
    """One worker's place: the process in it, or when there will be one again.

    Attributes:
        start_s: when to start a process; None: not before somebody says so.
        has_begun: whether the process said that it polls.
        kill_s: when the process is ended unless it has ended by itself; None: never.
        ends_n: how many times in a row it ended soon after its start.
        fenced_s: the times at which it ended with 75.
    """

    name: str
    start_s: float | None = 0.0
    process: Hired | None = None
    started_s: float = 0.0
    has_begun: bool = False
    kill_s: float | None = None
    ends_n: int = 0
    fenced_s: list[float] = field(default_factory=list)


class Supervisor:
    """Runs one worker for each name.

    Args:
        hire: starts the process of the worker with this name, or raises OSError.
        lookout: looks at the committed offsets.
        stagnation: knows which of our workers get nowhere; a new one.
        goals: where the work ends by itself, if anywhere.
        jitter: a number in [0, 1); see `restarts.decide`.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        hire: Callable[[str], Hired],
        lookout: Lookout,
        stagnation: Stagnation,
        clock: Clock,
        telemetry: Telemetry,
        stopping: threading.Event,
        goals: Goals,
        jitter: Callable[[], float],
    ) -> None:
        self._posts = [_Post(name) for name in names]
        self._hire = hire
        self._lookout = lookout
        self._stagnation = stagnation
        self._clock = clock
        self._telemetry = telemetry
        self._stopping = stopping
        self._goals = goals
        self._jitter = jitter
        self._is_draining = False
        self._gave_up: ExitCode | None = None
        self._codes: list[int] = []
        self._blind_said_s: float | None = None

    def run(self) -> int:
        """Run until all workers have ended for good. Returns: a `stream.errors.ExitCode`."""
        try:
            while not self.is_over:
                self.turn()
                self._clock.sleep(TICK_S)
        finally:
            # Only after a failure of our own is anybody left, and nobody may be.
            self.kill()
        return self._gave_up or restarts.final_code(self._codes)

    @property
    def is_over(self) -> bool:
        """Whether nothing runs and nothing will."""
        return all(post.process is None and post.start_s is None for post in self._posts)

    def turn(self) -> None:
        """One round of the loop; waits for nothing."""
        now_s = self._clock.monotonic()
        if self._stopping.is_set():
            self._drain("a stop signal came", now_s)
        for post in self._posts:
            self._hear(post, now_s)
            self._reap(post, now_s)
            self._start(post, now_s)
        self._watch(now_s)
        for post in self._posts:
            if post.process is not None and post.kill_s is not None and now_s >= post.kill_s:
                post.process.kill()

    def kill(self) -> None:
        """End every worker at once."""
        for post in self._posts:
            process = post.process  # asked once: this is called while the loop goes on
            if process is not None:
                process.kill()

    # -- one worker -------------------------------------------------------------------------------

    def _start(self, post: _Post, now_s: float) -> None:
        """Start a worker whose time has come; one that cannot be started counts as ended."""
        if post.start_s is None or now_s < post.start_s:
            return
        try:
            post.process = self._hire(post.name)
        except OSError as error:
            self._ended(post, ExitCode.INTERNAL, f"it could not be started: {error}", now_s)
            return
        post.start_s, post.started_s = None, now_s
        post.has_begun, post.kill_s = False, None

    def _hear(self, post: _Post, now_s: float) -> None:
        if post.process is None:
            return
        for report in post.process.reports():
            self._note(post, report, now_s)

    def _note(self, post: _Post, report: Report, now_s: float) -> None:
        """Pass a worker's report on to those who judge its progress and the goals."""
        match report.event:
            case LogEvent.WORKER_STARTED:
                post.has_begun = True
            case LogEvent.PARTITIONS_ASSIGNED:
                self._stagnation.took(post.name, report.partitions, now_s)
                self._goals.took(report.partitions)
            case LogEvent.PARTITIONS_REVOKED:
                self._stagnation.gave(post.name, report.partitions)
            case LogEvent.PARTITIONS_WAITING:
                self._goals.said_waiting(report.partitions)
            case LogEvent.PARTITION_PAUSED:
                self._goals.said_paused(report.partitions)
            case LogEvent.PROGRESS:
                self._stagnation.replayed(post.name, report.replayed, now_s)
            case _:
                for partition in report.partitions:
                    self._stagnation.settled(post.name, partition, now_s)

    def _reap(self, post: _Post, now_s: float) -> None:
        if post.process is None or (code := post.process.code()) is None:
            return
        post.process = None
        self._stagnation.ended(post.name)
        self._ended(post, code, restarts.exit_text(code), now_s)

    def _ended(self, post: _Post, code: int, how: str, now_s: float) -> None:
        """Decide what comes after the end of a worker."""
        post.start_s = None
        if self._is_draining:
            code = code if post.has_begun else ExitCode.OK
            self._codes.append(code)
            self._say_ended(post, how, "nothing", is_fine=restarts.final_code([code]) == 0)
            return
        if code == ExitCode.FENCED:
            post.fenced_s.append(now_s)
        post.fenced_s = [at_s for at_s in post.fenced_s if now_s - at_s <= FENCED_WITHIN_S]
        decision = restarts.decide(
            code,
            ran_s=now_s - post.started_s,
            ends_n=post.ends_n,
            fenced_n=len(post.fenced_s),
            jitter=self._jitter(),
        )
        match decision:
            case Restart(after_s=after_s, ends_n=ends_n):
                post.start_s, post.ends_n = now_s + after_s, ends_n
                self._say_ended(post, how, f"start it again in {after_s:.1f} s")
            case GiveUp(code=final):
                self._gave_up = final
                self._say_ended(post, how, "stop all")
                self._drain(f"{post.name} ended with {how}, and no restart can help", now_s)

    def _say_ended(self, post: _Post, how: str, then: str, *, is_fine: bool = False) -> None:
        level = logging.INFO if is_fine else logging.ERROR
        self._telemetry.say(
            LogEvent.WORKER_ENDED, level=level, worker=post.name, how=how, then=then
        )  # fmt: skip

    # -- all of them ------------------------------------------------------------------------------

    def _drain(self, why: str, now_s: float) -> None:
        """Ask all workers to stop, once; those that hold nothing yet are killed at once."""
        if self._is_draining:
            return
        self._is_draining = True
        self._telemetry.say(LogEvent.WORKERS_DRAINING, why=why, within_s=DRAIN_S)
        for post in self._posts:
            self._hear(post, now_s)
            post.start_s = None
            if post.process is None:
                continue
            if post.has_begun:
                post.process.drain()
                post.kill_s = now_s + DRAIN_S
            else:
                # It holds nothing yet, and would first load all that it needs to work.
                post.process.kill()

    def _watch(self, now_s: float) -> None:
        """End the workers that are alive and get nowhere."""
        look = self._lookout.look()
        if isinstance(look, Blind):
            self._stagnation.blind(now_s)
            self._say_blind(look, now_s)
        elif look is not None:
            self._stagnation.saw(look.standings, now_s)
            self._goals.saw(look.standings, now_s)
            if self._goals.are_reached:
                self._drain("every partition is where it ended at start", now_s)
        if self._is_draining:
            return
        stuck = {each.worker: each for each in self._stagnation.stuck(now_s)}
        for post in self._posts:
            if post.process is None or post.kill_s is not None:
                continue
            found = stuck.get(post.name)
            if found is not None:
                self._end_stuck(
                    post, post.process, now_s,
                    why=f"the committed offset of partition {found.partition} stands still",
                    offset=found.offset, lag=found.lag, for_s=found.for_s,
                )  # fmt: skip
            elif not post.has_begun and now_s - post.started_s >= START_WITHIN_S:
                self._end_stuck(
                    post, post.process, now_s,
                    why="it has not begun to poll", for_s=now_s - post.started_s,
                )  # fmt: skip

    def _end_stuck(self, post: _Post, process: Hired, now_s: float, **found: object) -> None:
        self._telemetry.say(
            LogEvent.WORKER_STUCK, level=logging.ERROR, worker=post.name, pid=process.pid, **found,
            then="it says where it is, is killed and started again",
        )  # fmt: skip
        process.show_stacks()
        post.kill_s = now_s + STACKS_S

    def _say_blind(self, blind: Blind, now_s: float) -> None:
        """Report now and then that the committed offsets cannot be seen."""
        if self._blind_said_s is None or now_s - self._blind_said_s >= BLIND_SAID_EVERY_S:
            self._blind_said_s = now_s
            self._telemetry.say(
                LogEvent.SUPERVISOR_BLIND,
                level=logging.WARNING,
                error=blind.why,
                then="no worker is blamed for standing still meanwhile",
            )
