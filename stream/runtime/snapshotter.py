"""When and how a snapshot is taken.

Only committed states are snapshotted, so each is the fold of a committed prefix: a late writer, a
zombie too, does no harm, and no lock is needed. Sealing and storing happen beside the loop; a store
that is away costs a line a minute, never an event.
"""

import logging
from collections.abc import Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from stream.core.snapshot import Header, seal
from stream.core.task import Task
from stream.errors import Misconfigured, Retryable
from stream.ports import Clock, SnapshotStore, StoredSnapshot
from stream.telemetry import Event, Metric, Telemetry

AGE_S_MAX = 600.0
"""A quiet partition gets a snapshot this long after its last one, if it learned at all."""

SAY_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How often, and how many.

    Attributes:
        replay_budget_s: of all partitions of a worker together; beyond it a recovery would be late.
        keep: newest ones kept a partition.
        retention_s: of the events topic; None = for ever.
    """

    replay_budget_s: float
    keep: int
    retention_s: float | None = None


def superfluous(
    stored: Iterable[StoredSnapshot], *, keep: int, now_ms: int, retention_s: float | None
) -> list[int]:
    """Next offsets of those to remove: all but the newest `keep`, and one of half the retention.

    The old one is what a rollback or a verification can begin from while the log reaches back.
    """
    ranked = sorted(stored, key=lambda s: -s.next_offset)
    newest, older = ranked[:keep], ranked[keep:]
    if retention_s is not None:
        half_ms = retention_s * 500
        aged = [s for s in older if now_ms - s.saved_at_ms >= half_ms]
        if aged and not any(now_ms - s.saved_at_ms >= half_ms for s in newest):
            older = [s for s in older if s is not aged[0]]
    return [s.next_offset for s in older]


class Snapshotter:
    """Takes snapshots of a worker's tasks.

    Args:
        executor: runs one job at a time, in order; storing must not stall the loop.
        key: signs.
        topic_id: of the events topic.
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
    ) -> None:
        self._store = store
        self._executor = executor
        self._policy = policy
        self._key = key
        self._topic_id = topic_id
        self._clock = clock
        self._telemetry = telemetry
        self._debt_s: dict[int, float] = {}
        self._taken: dict[int, tuple[int, float]] = {}
        self._saving: Future[None] | None = None
        self._said_at = -SAY_EVERY_S

    def adopt(self, partition: int, *, stored_offset: int, debt_s: float = 0.0) -> None:
        """Begin to watch a partition.

        Args:
            partition: of the events topic.
            stored_offset: of its newest snapshot, or where its fold began.
            debt_s: what replaying from there took, and would take again.
        """
        self._debt_s[partition] = debt_s
        self._taken[partition] = (stored_offset, self._clock.monotonic())

    def release(self, partition: int) -> None:
        """Stop watching a partition."""
        self._debt_s.pop(partition, None)
        self._taken.pop(partition, None)

    def spent(self, partition: int, seconds: float) -> None:
        """Folding took this long: a recovery would have to spend it again."""
        self._debt_s[partition] += seconds

    def consider(self, tasks: Iterable[Task]) -> None:
        """Take at most one snapshot that is due, of tasks that are all committed.

        One at a time, so that partitions don't pickle in a row; and none while the last is stored.
        """
        if self._saving is not None:
            if not self._saving.done():
                return
            self._saving.result()  # a bug in saving is no failure of the store: let it be seen
            self._saving = None
        now = self._clock.monotonic()
        allowed_s = self._policy.replay_budget_s / max(1, len(self._debt_s))
        for task in tasks:
            offset, at = self._taken[task.partition]
            due = self._debt_s[task.partition] >= allowed_s or now - at >= AGE_S_MAX
            if due and task.next_offset > offset:
                self._take(task)
                return

    def finish(self, tasks: Iterable[Task], *, timeout_s: float) -> None:
        """The last snapshots, of tasks that are all committed; then wait for the store."""
        for task in tasks:
            if task.next_offset > self._taken[task.partition][0]:
                self._take(task)
        if self._saving is not None:
            _wait(self._saving, timeout_s)

    def _take(self, task: Task) -> None:
        header = task.header(topic_id=self._topic_id, taken_at_ms=self._clock.now_ms())
        started = self._clock.monotonic()
        payload = task.freeze()
        took_s = self._clock.monotonic() - started
        self._taken[task.partition] = (task.next_offset, self._clock.monotonic())
        self._debt_s[task.partition] = 0.0
        self._saving = self._executor.submit(self._save, header, payload, took_s)

    def _save(self, header: Header, payload: bytes, took_s: float) -> None:
        """Seal and store; runs on the executor."""
        partition = header.partition
        sealed = seal(header, payload, self._key)
        try:
            self._store.save(partition, header.next_offset, sealed)
            self._telemetry.count(Metric.SNAPSHOTS)
            self._telemetry.say(
                Event.SNAPSHOT_SAVED,
                partition=partition,
                next_offset=header.next_offset,
                size_bytes=len(sealed),
                took_ms=took_s * 1000,
            )
            for offset in superfluous(
                self._store.stored(partition),
                keep=self._policy.keep,
                now_ms=self._clock.now_ms(),
                retention_s=self._policy.retention_s,
            ):
                self._store.remove(partition, offset)
        except (Retryable, Misconfigured) as error:
            # A cache that is away or full: the log holds everything, so go on and try again.
            self._telemetry.count(Metric.SNAPSHOTS_FAILED)
            self._say_unreachable(error)

    def _say_unreachable(self, error: Exception) -> None:
        now = self._clock.monotonic()
        if now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            self._telemetry.say(
                Event.SNAPSHOTS_UNREACHABLE, level=logging.WARNING, error=error, then="go on"
            )


def _wait(saving: Future[None], timeout_s: float) -> None:
    try:
        saving.result(timeout=timeout_s)
    except TimeoutError:
        # The store hangs; the process is about to end and the snapshot is only a cache.
        saving.cancel()
