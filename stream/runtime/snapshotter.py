"""When and how a snapshot is taken.

Only committed states are snapshotted, so each is the fold of a committed prefix: a late writer, a
zombie too, does no harm, and no lock is needed. Sealing and storing happen beside the loop
(storing.py).

    cheap to pickle (predicted from the last time)   here, in line
    else                                             a forked child pickles, the loop goes on
    it would not come back (each is read back once)  told and counted, not stored
    the child failed                                 told and counted; the next time in line
"""

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

from stream.core.fold.task import Task
from stream.core.learning.undo import CopyPoint
from stream.core.snapshots.payload import joined
from stream.core.snapshots.seal import Header
from stream.errors import Retryable
from stream.ports import Clock, SnapshotStore
from stream.runtime.ceiling import Ceiling
from stream.runtime.copies import CopyPace, Costs
from stream.runtime.forking import Copy, Fork
from stream.runtime.packing import packed, unpacked
from stream.runtime.retention import Policy
from stream.runtime.storing import How, Storing
from stream.telemetry import LogEvent, Metric, Telemetry

AGE_S_MAX = 600.0
KEEP_S_MAX = 5.0
"""A quiet partition gets a snapshot this long after its last one, if it learned at all."""

IN_LINE_S_MAX = 0.02
"""Pickling that is predicted to take longer is left to a child."""

UNDO_TOO_LONG = 0.2
"""From here on a copy for undoing is taken whatever it costs (before that: `CopyPace`).

The rest is for what is folded while a child makes the copy: 100,000 small events."""


@dataclass(frozen=True, slots=True)
class _Copying:
    """A copy that a child is making; `taken` is what was noted of the partition before it."""

    task: Task
    taken: tuple[int, float]
    copy_point: CopyPoint
    learned: int
    copy: Copy


class Snapshotter:
    """Takes snapshots of a worker's tasks.

    Args:
        executor: runs one job at a time, in order; storing must not stall the loop.
        key: signs the snapshots.
        topic_id: the id of the events topic.
        fork: begins the copy of a state that is not cheap to pickle; None = that is not possible.
    """

    def __init__(
        self,
        store: SnapshotStore,
        *,
        executor: Executor,
        policy: Policy,
        key: bytes,
        topic_id: str,
        clock: Clock,
        telemetry: Telemetry,
        fork: Fork | None = None,
    ) -> None:
        self._fork = fork
        self._storing = Storing(store, policy=policy, key=key, clock=clock, telemetry=telemetry)
        self._executor = executor
        self._policy = policy
        self._topic_id = topic_id
        self._clock = clock
        self._telemetry = telemetry
        self._debt_s: dict[int, float] = {}
        self._taken: dict[int, tuple[int, float]] = {}
        self._saving: Future[Any] | None = None
        self._copying: _Copying | None = None
        self._costs = Costs()
        self._ceiling = Ceiling(telemetry)
        self._copies = CopyPace(clock)
        self._must_be_in_line = False

    def adopt(self, partition: int, *, stored_n: int, debt_s: float = 0.0) -> None:
        """Begin to watch a partition.

        Args:
            partition: its number in the events topic.
            stored_n: the steps of its newest snapshot, or those before its fold began.
            debt_s: how long replaying from there took, and would take again.
        """
        self._debt_s[partition] = debt_s
        self._taken[partition] = (stored_n, self._clock.monotonic())

    def release(self, partition: int) -> None:
        """Stop watching a partition."""
        self._debt_s.pop(partition, None)
        self._taken.pop(partition, None)
        self._costs.forget(partition)
        self._ceiling.release(partition)

    def spent(self, partition: int, seconds: float) -> None:
        """Add the time that folding took: a recovery would have to spend it again."""
        self._debt_s[partition] += seconds

    def consider(self, tasks: Iterable[Task]) -> None:
        """Take at most one snapshot that is due, of tasks that are all committed.

        One at a time, so that partitions don't pickle in a row; and none while the last is stored.
        """
        if self._saving is not None:
            if not self._saving.done():
                return
            self._end_saving()
        now = self._clock.monotonic()
        allowed_s = self._policy.replay_budget_s / max(1, len(self._debt_s))
        for task in tasks:
            n, at = self._taken[task.partition]
            due = self._debt_s[task.partition] >= allowed_s or now - at >= AGE_S_MAX
            if due and task.state.n > n:
                self._take(task, is_stored=True)
                return
            if self._copies.is_due(task) or task.undo_length >= UNDO_TOO_LONG:
                self._take(task, is_stored=False)
                return

    def keep_now(self, task: Task) -> None:
        """Take a snapshot of a committed task at once, in line; the store gets it when it can."""
        if self._copying is not None:
            self._copying.copy.cancel()
        if self._saving is not None:
            _wait(self._saving, KEEP_S_MAX)
            if self._saving.done() and not self._saving.cancelled():
                self._end_saving()
            self._saving = self._copying = None
        self._take_in_line(task, is_stored=True)

    def finish(self, tasks: Iterable[Task], *, timeout_s: float) -> None:
        """Take the last snapshots, of tasks that are all committed; then wait for the store."""
        given_up = None
        if self._copying is not None:
            given_up = self._copying.task
            self._copying.copy.cancel()  # it may take longer than a drain does
        for task in tasks:
            if task is given_up or task.state.n > self._taken[task.partition][0]:
                self._take_in_line(task, is_stored=True)
        if self._saving is not None:
            _wait(self._saving, timeout_s)

    def _take(self, task: Task, *, is_stored: bool) -> None:
        in_line = self._fork is None or self._must_be_in_line
        if in_line or self._costs.predicted_s(task) <= IN_LINE_S_MAX:
            self._take_in_line(task, is_stored=is_stored)
        else:
            self._take_forked(task, is_stored=is_stored)

    def _take_in_line(self, task: Task, *, is_stored: bool) -> None:
        """Pickle the state while the loop waits; storing it happens on the executor."""
        header = self._header(task)
        started = self._clock.monotonic()
        payload = task.keep_copy()
        self._ceiling.weigh(task, len(payload))
        took_s = self._clock.monotonic() - started
        self._must_be_in_line = False
        self._note_cost(task.partition, took_s=took_s, learned=header.learned)
        if is_stored:
            self._note_taken(task)
            how = How("in line", took_s=took_s, stalled_s=took_s)
            self._saving = self._executor.submit(
                self._storing.check_and_save, task, header, payload, how
            )

    def _take_forked(self, task: Task, *, is_stored: bool) -> None:
        """Let a forked child pickle the state, and the executor wait for it."""
        assert self._fork is not None  # noqa: S101  # `_take` looked
        header, copy_point, segments = self._header(task), task.copy_point(), task.segments()
        started = self._clock.monotonic()
        try:
            copy = self._fork(partial(packed, task, self._clock, is_checked=is_stored))
        except Retryable as error:
            self._say_copy_failed(error)
            return
        stalled_s = self._clock.monotonic() - started
        taken = self._taken[task.partition]
        if is_stored:
            self._note_taken(task)
        self._copying = _Copying(task, taken, copy_point, header.learned, copy)
        self._saving = self._executor.submit(
            self._receive, header, copy, stalled_s, segments, is_stored=is_stored
        )

    def _receive(
        self, header: Header, copy: Copy, stalled_s: float, segments: Mapping[str, bytes],
        *, is_stored: bool,
    ) -> tuple[bytes, float] | Retryable:  # fmt: skip
        """Get a child's copy, and store it; runs on the executor. Returns: what came of it."""
        try:
            handed, took_s = copy.payload()
        except Retryable as error:
            return error
        payload, checking_s, problem = unpacked(handed)
        took_s -= checking_s
        if problem:
            self._storing.say_unreadable(header, problem)
        elif is_stored:
            how = How("forked", took_s=took_s, stalled_s=stalled_s)
            self._storing.save(header, joined(payload, segments), how)
        return payload, took_s

    def _end_saving(self) -> None:
        """Take in the result of the executor's last job."""
        assert self._saving is not None  # noqa: S101  # the caller looked
        received = self._saving.result()  # a bug is no failure of the store: let it be seen
        copying, self._saving, self._copying = self._copying, None, None
        if copying is None:
            return
        partition = copying.task.partition
        if isinstance(received, Retryable):
            self._say_copy_failed(received)
            if partition in self._debt_s:
                # What it was for is still to be done, also if nothing comes any more.
                self._debt_s[partition], self._taken[partition] = inf, copying.taken
            return
        payload, took_s = received
        copying.task.rebase(copying.copy_point, payload)
        self._ceiling.weigh(copying.task, len(payload))
        self._note_cost(partition, took_s=took_s, learned=copying.learned)

    def _header(self, task: Task) -> Header:
        return task.header(topic_id=self._topic_id, taken_at_ms=self._clock.now_ms())

    def _note_taken(self, task: Task) -> None:
        self._taken[task.partition] = (task.state.n, self._clock.monotonic())
        self._debt_s[task.partition] = 0.0

    def _note_cost(self, partition: int, *, took_s: float, learned: int) -> None:
        self._costs.note(partition, took_s=took_s, learned=learned)
        self._copies.took(took_s)

    def _say_copy_failed(self, error: Exception) -> None:
        self._must_be_in_line = True
        self._telemetry.count(Metric.COPIES_FAILED)
        self._telemetry.say(
            LogEvent.COPY_FAILED, level=logging.WARNING, error=error, then="the next one in line"
        )


def _wait(saving: Future[Any], timeout_s: float) -> None:
    try:
        saving.result(timeout=timeout_s)
    except TimeoutError:
        # The store hangs; the process is about to end and the snapshot is only a cache.
        saving.cancel()
