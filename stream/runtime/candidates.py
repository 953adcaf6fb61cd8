"""The stored snapshots that a restore may go on from, the newest first, each verified.

Whoever can write to the store may have written any of them. Each that is not what it should be
costs a line, and a bounded time; then the next one is looked at, and in the end the log is there.
"""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from stream.core.snapshots.seal import GONE, Header, SnapshotRejected, opened, unseal
from stream.errors import BadInput, Retryable, StreamError
from stream.ports import StoredSnapshot
from stream.runtime.identity import Identity, Place, is_within
from stream.runtime.segments import SegmentRejected, with_segments
from stream.runtime.watchdog import Deadlined
from stream.telemetry import LogEvent, Metric

if TYPE_CHECKING:
    from stream.runtime.sources import Sources

TAKE_IN_S_MIN, TAKE_IN_BYTES_S = 20.0, 1 << 20
"""To take a stored state in: so long, and at so many bytes a second: the slowest network that a
state of hundreds of MB makes sense on. A store gives up long before."""

IN_VAIN_S_MAX, IN_VAIN_N_MAX = 30.0, 100
"""So much of what is stored is looked at in vain; then the log is replayed: a store that somebody
filled with rubbish must not keep a worker from it."""


class Candidates:
    """Looks through the stored snapshots of one partition."""

    def __init__(self, sources: "Sources", partition: int, deadlined: Deadlined) -> None:
        self._sources = sources
        self._partition = partition
        self._deadlined = deadlined
        self._identity = Identity.of(sources.recipe, sources.topic_id)

    def up_to(self, offset: int, n: int | None) -> Iterator[tuple[Header, bytes]]:
        """Verified snapshots of this very partition at or before a position, newest first.

        Args:
            offset: that of the position.
            n: its step; None where nobody knows.

        Raises: Retryable: the store failed, and none came that the caller could use.
        """
        sources, away = self._sources, None
        deadline_s = sources.clock.monotonic() + IN_VAIN_S_MAX
        for tried_n, stored in enumerate(self._stored(offset, n)):
            if tried_n >= IN_VAIN_N_MAX or sources.clock.monotonic() > deadline_s:
                self.reject(stored, "too much was looked at in vain")
                break
            try:
                found = self._loaded(stored)
            except Retryable as error:
                # One that does not come in time; an older one may.
                self.say_store_away(error, then="try an older one")
                if away is not None:
                    break
                away = error
                continue
            except BadInput as error:
                self.reject(stored, str(error))
                continue
            yield found
        if away is not None:
            raise away

    def _stored(self, offset: int, n: int | None) -> list[StoredSnapshot]:
        """The snapshots that the store lists, those of the present topic first."""
        try:
            every = self._sources.store.stored(self._partition)
        except BadInput as error:
            self.say_store_away(error)
            return []
        topic_ids = "", self._sources.topic_id
        return sorted(
            (stored for stored in every if is_within(stored, offset, n)),
            key=lambda stored: (stored.topic_id not in topic_ids, -stored.n),
        )

    def _loaded(self, stored: StoredSnapshot) -> tuple[Header, bytes]:
        """Load and verify one snapshot. Raises: BadInput: it is none; Retryable, Misconfigured."""
        sources = self._sources

        def measure(start: bytes) -> int:
            found = opened(start, sources.keys)
            problem = self._identity.problem(found.header, self._partition, stored)
            if problem is not None:
                raise SnapshotRejected(problem)
            return found.sealed_bytes

        with self.taking_in("loading a snapshot", stored.size_bytes):
            sealed = sources.store.load(self._partition, stored.n, measure)
        if sealed is None:
            raise SnapshotRejected(GONE)
        header, payload = unseal(sealed, sources.keys)
        try:
            return header, with_segments(
                payload, header, sources.store, sources.keys, self.taking_in
            )
        except SegmentRejected as error:
            # Else the next snapshots would refer to it yet, as to one that is there.
            with self.taking_in("removing a segment", 0):
                sources.store.remove(~self._partition, error.n)
            raise

    def taking_in(
        self, what: str, size_bytes: int, *, more_s: float = 0.0
    ) -> AbstractContextManager[None]:
        """Put a deadline on the block that grows with the size of what is taken in."""
        return self._deadlined(what, TAKE_IN_S_MIN + size_bytes / TAKE_IN_BYTES_S + more_s)

    def reject(self, which: Place, why: str) -> None:
        """Count a snapshot that is passed over, and say why."""
        self._sources.telemetry.count(Metric.SNAPSHOTS_REJECTED)
        self._sources.telemetry.say(
            LogEvent.SNAPSHOT_REJECTED,
            level=logging.WARNING,
            partition=self._partition,
            n=which.n,
            next_offset=which.next_offset,
            why=why,
        )

    def say_store_away(self, error: StreamError, *, then: str = "go on without") -> None:
        """Say that the store, or one snapshot, has to be done without."""
        self._sources.telemetry.say(
            LogEvent.SNAPSHOTS_UNREACHABLE, level=logging.WARNING, error=error, then=then
        )
