"""A segment: some thousand events one behind the other, and what has become of each."""

import struct
from array import array
from collections.abc import Iterator
from itertools import chain, compress
from operator import sub
from typing import Final, Self

from stream.core.labels.kept import head_of
from stream.core.snapshots.payload import name_of

GONE, WAITING, LABELLED = range(3)

OFFSET_BITS: Final = 63
_COUNT: Final = struct.Struct("=I")

Body = bytes | bytearray


class Segment:
    """Some thousand events.

    Attributes:
        offsets: of each event; ends: where its body ends; marks: what has become of it.
        bodies: one behind the other. Once it is full `offsets` and `ends` follow, so that the
            bytes are all there is to write; until then they grow.
        live_bytes: of the bodies, how much is not gone.
        due: of a full one the places of those that may wait yet, the oldest last.
    """

    __slots__ = ("_name", "bodies", "due", "ends", "live_bytes", "marks", "offsets")

    def __init__(self) -> None:
        self.offsets, self.ends, self.due = array("q"), array("I"), array("I")
        self.marks = bytearray()
        self.bodies: Body = bytearray()
        self.live_bytes = 0
        self._name = ""

    @classmethod
    def of(cls, written: bytes, marks: bytes, *, is_open: bool = False) -> Self:
        """Read one. Raises: ValueError: it is none."""
        segment = cls()
        try:
            (n,) = _COUNT.unpack_from(written, len(written) - _COUNT.size)
        except struct.error as error:
            raise ValueError(f"{len(written)} bytes are no segment") from error
        offsets, ends = segment.offsets, segment.ends
        ends_at = len(written) - _COUNT.size - n * ends.itemsize
        offsets_at = ends_at - n * offsets.itemsize
        if offsets_at < 0 or n != len(marks):
            raise ValueError(f"{len(written)} bytes are no segment of {len(marks)} events")
        offsets.frombytes(written[offsets_at:ends_at])
        ends.frombytes(written[ends_at : -_COUNT.size])
        segment.marks = bytearray(marks)
        segment.bodies = bytearray(written[:offsets_at]) if is_open else written
        sizes = map(sub, ends, chain((0,), ends))
        segment.live_bytes = sum(compress(sizes, marks))
        return segment

    @property
    def is_open(self) -> bool:
        """Whether events are added to it."""
        return isinstance(self.bodies, bytearray)

    @property
    def name(self) -> str:
        """Of a full one: says what is in it."""
        if not self._name:
            self._name = name_of(self.bodies)
        return self._name

    def written(self) -> bytes:
        """All of it but the marks, as bytes."""
        if isinstance(self.bodies, bytes):
            return self.bodies
        index = self.offsets.tobytes(), self.ends.tobytes(), _COUNT.pack(len(self.offsets))
        return b"".join((self.bodies, *index))

    def append(self, offset: int, body: Body, mark: int) -> None:
        """Add an event; it is open."""
        self.bodies += body
        self.offsets.append(offset)
        self.ends.append(len(self.bodies))
        self.marks.append(mark)
        self.live_bytes += len(body)

    def read(self, i: int) -> Body:
        """An event's body."""
        return self.bodies[self.ends[i - 1] if i else 0 : self.ends[i]]

    def mark(self, i: int, mark: int) -> None:
        """Note what has become of an event."""
        before, self.marks[i] = self.marks[i], mark
        if not (before and mark):  # one of them is GONE
            size = self.ends[i] - (self.ends[i - 1] if i else 0)
            self.live_bytes += (bool(mark) - bool(before)) * size

    def close(self) -> Self:
        """Let nothing be added any more."""
        self.bodies = self.written()
        self.order()
        return self

    @property
    def is_thin(self) -> bool:
        """Whether half of it is gone, at least."""
        return 2 * self.live_bytes <= self.ends[-1]

    def live(self) -> Iterator[int]:
        """The places of all that are not gone."""
        return compress(range(len(self.marks)), self.marks)

    def order(self) -> None:
        """Find out in which order those that wait are due."""
        waiting = [
            (head_of(self.read(i)).time_ms, i) for i, m in enumerate(self.marks) if m == WAITING
        ]
        self.due = array("I", [i for _, i in sorted(waiting, reverse=True)])

    def first_due(self) -> int | None:
        """When the oldest that waits was, and its offset, as one number; None: none waits."""
        due, marks = self.due, self.marks
        while due and marks[due[-1]] != WAITING:
            due.pop()
        return when(head_of(self.read(due[-1])).time_ms, self.offsets[due[-1]]) if due else None


def when(time_ms: int, offset: int) -> int:
    """A time and an offset as one number, by which events are due.

    >>> when(7, 0) < when(7, 1) < when(8, 0)
    True
    """
    return time_ms << OFFSET_BITS | offset
