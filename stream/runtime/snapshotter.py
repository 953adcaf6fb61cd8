"""When and how a snapshot is taken.

Only committed states are snapshotted, so each is the fold of a committed prefix: a late writer, a
zombie too, does no harm, and no lock is needed. Sealing and storing happen beside the loop; a store
that is away costs a line a minute, never an event.

    cheap to pickle (predicted from the last time)   here, in line
    else                                             a forked child pickles, the loop goes on
    it would not come back (each is read back once)  told and counted, not stored
    the child failed                                 told and counted; the next time in line
"""

import logging
import struct
from collections.abc import Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

from stream.core.snapshot import Header, seal
from stream.core.task import Task
from stream.core.undo import CopyPoint
from stream.errors import BadInput, Misconfigured, Retryable
from stream.ports import Clock, SnapshotStore
from stream.runtime.ceiling import Ceiling
from stream.runtime.copies import CopyPace
from stream.runtime.forking import Copy, Fork
from stream.runtime.retention import Policy, superfluous
from stream.telemetry import LogEvent, Metric, Telemetry

AGE_S_MAX = 600.0
"""A quiet partition gets a snapshot this long after its last one, if it learned at all."""

SAY_EVERY_S = 60.0

IN_LINE_S_MAX = 0.02
"""Pickling that is predicted to take longer is left to a child."""

UNDO_TOO_LONG = 0.2
"""From here on a copy for undoing is taken whatever it costs (before that: `CopyPace`).

The rest is for what is folded while a child makes the copy: 100,000 small events."""


@dataclass(frozen=True, slots=True)
class _How:
    """How a state was pickled: in line or by a child, how long it took, how long the loop stood."""

    name: str
    took_s: float
    stalled_s: float


@dataclass(frozen=True, slots=True)
class _Copying:
    """A copy that a child is making."""

    task: Task
    copy_point: CopyPoint
    learned: int
    copy: Copy


class Costs:
    """What pickling a partition's state will take, predicted from the last time.

    A model's state grows with what it learned, in the worst case as fast. Nothing is known of one
    that was never pickled since it came to life.
    """

    def __init__(self) -> None:
        self._last: dict[int, tuple[float, int]] = {}

    def note(self, partition: int, *, took_s: float, learned: int) -> None:
        """Remember how long pickling took, and after how many learned events."""
        self._last[partition] = took_s, learned

    def forget(self, partition: int) -> None:
        """Forget a partition's cost: it has another state now, or none."""
        self._last.pop(partition, None)

    def predicted_s(self, task: Task) -> float:
        """How many seconds pickling will take; infinite while nothing is known."""
        took_s, learned = self._last.get(task.partition, (inf, 1))
        return took_s * max(1.0, task.state.learned / max(1, learned))


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
        self._store = store
        self._executor = executor
        self._policy = policy
        self._key = key
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
        self._said_at = self._unreadable_said_at = -SAY_EVERY_S

    def adopt(self, partition: int, *, stored_offset: int, debt_s: float = 0.0) -> None:
        """Begin to watch a partition.

        Args:
            partition: its number in the events topic.
            stored_offset: that of its newest snapshot, or where its fold began.
            debt_s: how long replaying from there took, and would take again.
        """
        self._debt_s[partition] = debt_s
        self._taken[partition] = (stored_offset, self._clock.monotonic())

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
            offset, at = self._taken[task.partition]
            due = self._debt_s[task.partition] >= allowed_s or now - at >= AGE_S_MAX
            if due and task.next_offset > offset:
                self._take(task, is_stored=True)
                return
            if self._copies.is_due(task) or task.undo_length >= UNDO_TOO_LONG:
                self._take(task, is_stored=False)
                return

    def finish(self, tasks: Iterable[Task], *, timeout_s: float) -> None:
        """Take the last snapshots, of tasks that are all committed; then wait for the store."""
        given_up = None
        if self._copying is not None:
            given_up = self._copying.task
            self._copying.copy.cancel()  # it may take longer than a drain does
        for task in tasks:
            if task is given_up or task.next_offset > self._taken[task.partition][0]:
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
            how = _How("in line", took_s=took_s, stalled_s=took_s)
            self._saving = self._executor.submit(self._check_and_save, task, header, payload, how)

    def _take_forked(self, task: Task, *, is_stored: bool) -> None:
        """Let a forked child pickle the state, and the executor wait for it."""
        assert self._fork is not None  # noqa: S101  # `_take` looked
        header, copy_point = self._header(task), task.copy_point()
        started = self._clock.monotonic()
        try:
            copy = self._fork(partial(_packed, task, self._clock, is_checked=is_stored))
        except Retryable as error:
            self._say_copy_failed(error)
            return
        stalled_s = self._clock.monotonic() - started
        if is_stored:
            self._note_taken(task)
        self._copying = _Copying(task, copy_point, header.learned, copy)
        self._saving = self._executor.submit(
            self._receive, header, copy, stalled_s, is_stored=is_stored
        )

    def _receive(
        self, header: Header, copy: Copy, stalled_s: float, *, is_stored: bool
    ) -> tuple[bytes, float] | Retryable:
        """Get a child's copy, and store it; runs on the executor. Returns: what came of it."""
        try:
            packed, took_s = copy.payload()
        except Retryable as error:
            return error
        payload, checking_s, problem = _unpacked(packed)
        took_s -= checking_s
        if problem:
            self._say_unreadable(header, problem)
        elif is_stored:
            self._save(header, payload, _How("forked", took_s=took_s, stalled_s=stalled_s))
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
                self._debt_s[partition] = inf  # what it was for is still to be done
            return
        payload, took_s = received
        copying.task.rebase(copying.copy_point, payload)
        self._ceiling.weigh(copying.task, len(payload))
        self._note_cost(partition, took_s=took_s, learned=copying.learned)

    def _header(self, task: Task) -> Header:
        return task.header(topic_id=self._topic_id, taken_at_ms=self._clock.now_ms())

    def _note_taken(self, task: Task) -> None:
        self._taken[task.partition] = (task.next_offset, self._clock.monotonic())
        self._debt_s[task.partition] = 0.0

    def _note_cost(self, partition: int, *, took_s: float, learned: int) -> None:
        self._costs.note(partition, took_s=took_s, learned=learned)
        self._copies.took(took_s)

    def _check_and_save(self, task: Task, header: Header, payload: bytes, how: "_How") -> None:
        """Read a small one back, and store it; runs on the executor."""
        if problem := task.problem_with(payload):
            self._say_unreadable(header, problem)
        else:
            self._save(header, payload, how)

    def _save(self, header: Header, payload: bytes, how: "_How") -> None:
        """Seal and store; runs on the executor."""
        partition = header.partition
        try:
            sealed = seal(header, payload, self._key)
            self._store.save(
                partition,
                header.n,
                sealed,
                next_offset=header.next_offset,
                topic_id=header.topic_id,
            )
            self._telemetry.count(Metric.SNAPSHOTS)
            self._telemetry.say(
                LogEvent.SNAPSHOT_SAVED,
                partition=partition,
                n=header.n,
                next_offset=header.next_offset,
                size_bytes=len(sealed),
                how=how.name,
                took_ms=how.took_s * 1000,
                stalled_ms=how.stalled_s * 1000,
            )
            for n in superfluous(
                self._store.stored(partition),
                saved_n=header.n,
                topic_id=header.topic_id,
                keep=self._policy.keep,
                now_ms=self._clock.now_ms(),
                retention_s=self._policy.retention_s,
            ):
                self._store.remove(partition, n)
        except (Retryable, Misconfigured, BadInput) as error:
            # A cache that is away, full or spoilt: the log holds everything: go on and try again.
            self._telemetry.count(Metric.SNAPSHOTS_FAILED)
            self._say_unreachable(error)

    def _say_unreadable(self, header: Header, problem: str) -> None:
        """Report a state that would not come back: all are counted, some are told."""
        self._telemetry.count(Metric.SNAPSHOTS_UNREADABLE)
        now = self._clock.monotonic()
        if now - self._unreadable_said_at >= SAY_EVERY_S:
            self._unreadable_said_at = now
            self._telemetry.say(
                LogEvent.SNAPSHOT_UNREADABLE,
                level=logging.ERROR,
                partition=header.partition,
                next_offset=header.next_offset,
                why=problem,
                then="it is not stored, the older ones are kept; let the untrained model hold one "
                "of the kind, or define its class beside the model",
            )

    def _say_copy_failed(self, error: Exception) -> None:
        self._must_be_in_line = True
        self._telemetry.count(Metric.COPIES_FAILED)
        self._telemetry.say(
            LogEvent.COPY_FAILED, level=logging.WARNING, error=error, then="the next one in line"
        )

    def _say_unreachable(self, error: Exception) -> None:
        now = self._clock.monotonic()
        if now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            self._telemetry.say(
                LogEvent.SNAPSHOTS_UNREACHABLE, level=logging.WARNING, error=error, then="go on"
            )


def _packed(task: Task, clock: Clock, *, is_checked: bool) -> bytes:
    """A state's pickle, and why it would not come back; runs in a child.

    Before both: how long it took to find that out, which is no part of what pickling costs.
    """
    payload, began_s = task.pickled(), clock.monotonic()
    problem = task.problem_with(payload).encode() if is_checked else b""
    return b"".join((_PACKED.pack(clock.monotonic() - began_s, len(problem)), problem, payload))


def _unpacked(packed: bytes) -> tuple[bytes, float, str]:
    checking_s, length = _PACKED.unpack_from(packed)
    at = _PACKED.size + length
    return packed[at:], checking_s, packed[_PACKED.size : at].decode()


_PACKED = struct.Struct(">dI")


def _wait(saving: Future[Any], timeout_s: float) -> None:
    try:
        saving.result(timeout=timeout_s)
    except TimeoutError:
        # The store hangs; the process is about to end and the snapshot is only a cache.
        saving.cancel()
