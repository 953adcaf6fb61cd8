"""How a pickled state is read back, sealed and stored; runs beside the loop.

A store that is away costs a line a minute, never an event.
"""

import logging
from dataclasses import dataclass

from stream.core.fold.task import Task
from stream.core.snapshots.seal import Header, seal
from stream.errors import BadInput, Misconfigured, Retryable
from stream.ports import Clock, SnapshotStore
from stream.runtime.retention import Policy, superfluous
from stream.runtime.segments import Segments
from stream.runtime.seldom import Seldom
from stream.telemetry import LogEvent, Metric, Telemetry


@dataclass(frozen=True, slots=True)
class How:
    """How a state was pickled: in line or by a child, how long it took, how long the loop stood."""

    name: str
    took_s: float
    stalled_s: float


class Storing:
    """Puts snapshots into the store, and takes out those that they make superfluous."""

    def __init__(
        self,
        store: SnapshotStore,
        *,
        policy: Policy,
        key: bytes,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._segments = Segments(store, key=key, clock=clock)
        self._policy = policy
        self._key = key
        self._clock = clock
        self._telemetry = telemetry
        self._unreachable, self._unreadable = Seldom(clock), Seldom(clock)

    def check_and_save(self, task: Task, header: Header, payload: bytes, how: How) -> None:
        """Read a small one back, and store it."""
        if problem := task.problem_with(payload):
            self.say_unreadable(header, problem)
        else:
            self.save(header, payload, how)

    def save(self, header: Header, payload: bytes, how: How) -> None:
        """Seal and store."""
        partition = header.partition
        try:
            segments_bytes = self._segments.save(header, payload)
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
                size_bytes=len(sealed) + segments_bytes,
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
                pinned=header.pinned,
            ):
                self._store.remove(partition, n)
            self._segments.saved(header, len(sealed))
        except (Retryable, Misconfigured, BadInput) as error:
            # A cache that is away, full or spoilt: the log holds everything: go on and try again.
            self._telemetry.count(Metric.SNAPSHOTS_FAILED)
            self._say_unreachable(error)

    def say_unreadable(self, header: Header, problem: str) -> None:
        """Report a state that would not come back: all are counted, some are told."""
        self._telemetry.count(Metric.SNAPSHOTS_UNREADABLE)
        if self._unreadable.is_due():
            self._telemetry.say(
                LogEvent.SNAPSHOT_UNREADABLE,
                level=logging.ERROR,
                partition=header.partition,
                next_offset=header.next_offset,
                why=problem,
                then="it is not stored, the older ones are kept; let the untrained model hold one "
                "of the kind, or define its class beside the model",
            )

    def _say_unreachable(self, error: Exception) -> None:
        if self._unreachable.is_due():
            self._telemetry.say(
                LogEvent.SNAPSHOTS_UNREACHABLE, level=logging.WARNING, error=error, then="go on"
            )
