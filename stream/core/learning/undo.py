"""What a learner goes back to when its model raises half way: a copy, and all events since.

    copy ── since[0] ── since[1] ── ... ── now
                        │
                        copy point: a copy of this moment is being made

That copy is made elsewhere (by a forked child); when it is there, `rebase` puts it in
the place of the older copy.
"""

from typing import NamedTuple

from stream.core.event import Record
from stream.core.learning.lesson import Lesson

BYTES_MAX = 64 << 20
"""At this much a new copy is taken at once, and the fold stands still meanwhile."""

LOOK_EVERY, RECORD_BYTES_MAX = 64, 1 << 20
"""At most so many records are kept between two looks at their bytes, as few as may be too many if
each is as large as Kafka takes by default."""

_RECORD_BYTES = 200
"""What a record takes beside its key, value and headers."""


class CopyPoint(NamedTuple):
    """A moment whose state is being copied."""

    epoch: int
    since_n: int
    bytes_n: int


class Undo:
    """The way back of one learner.

    Attributes:
        payload: the pickled state.
        since: the records it was asked about since, and what late labels taught, in order; none
            that was refused.
    """

    __slots__ = ("_bytes_n", "_epoch", "_look_at_n", "_measured_n", "payload", "since")

    def __init__(self) -> None:
        self._epoch = 0

    def keep(self, payload: bytes) -> None:
        """Take `payload`, the present state, as what to go back to."""
        # Alone: what belongs to it would outlive its use, and undoing needs no event that waits.
        self.payload = bytes(payload)
        self.since: list[Record | Lesson] = []
        self._bytes_n = self._measured_n = 0
        self._look_at_n = LOOK_EVERY
        self._epoch += 1

    def remember(self, record: Record | Lesson) -> bool:
        """Remember one more record or label. Returns: whether it is more than can be kept."""
        since = self.since
        since.append(record)
        return len(since) >= self._look_at_n and self._measured() >= BYTES_MAX

    def _measured(self) -> int:
        """The bytes of all that is kept; to measure each record as it comes would cost more."""
        added = self.since[self._measured_n :]
        bytes_n = self._bytes_n + _RECORD_BYTES * len(added)
        for record in added:
            bytes_n += len(record.value or b"")
            if record.key or record.headers:
                bytes_n += len(record.key or b"")
                bytes_n += sum(len(name) + len(value or b"") for name, value in record.headers)
        self._bytes_n = bytes_n
        self._measured_n = len(self.since)
        ahead_n = min(LOOK_EVERY, (BYTES_MAX - self._bytes_n) // RECORD_BYTES_MAX)
        self._look_at_n = self._measured_n + max(1, ahead_n)
        return self._bytes_n

    @property
    def length(self) -> float:
        """How long the way back is: from 0 to 1, where a new copy is taken at once."""
        return self._measured() / BYTES_MAX

    def copy_point(self) -> CopyPoint:
        """Mark this moment, for `rebase`."""
        return CopyPoint(self._epoch, len(self.since), self._measured())

    def rebase(self, copy_point: CopyPoint, payload: bytes) -> bool:
        """Go back to `payload`, the state at `copy_point`, from now on.

        Returns: False if the copy point is of no use any more: there is a later copy already.
        """
        if copy_point.epoch != self._epoch:
            return False
        later, bytes_n = self.since[copy_point.since_n :], self._measured() - copy_point.bytes_n
        self.keep(payload)
        self.since, self._bytes_n, self._measured_n = later, bytes_n, len(later)
        self._look_at_n = 0
        return True
