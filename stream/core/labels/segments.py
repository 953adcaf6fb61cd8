"""Events in append-only segments: of a hundred thousand a snapshot writes what is new.

    offset ─► segment ─┬─► body   what was packed of the event; written once, it never changes
                       └─► mark   whether it waits, has its label, or is gone

Events come in the order of their offsets, so they are found by bisection: there is no entry for
each of them. The last segment is open. One that is full is known by a digest of its bytes, its
name. A segment that dies is let go; where too much is dead, those of which half is are written
anew, together with neighbours that became small. All of it follows from the fold: a replay makes
the same segments.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import Any, Final, Self

from stream.core.labels.kept import head_of
from stream.core.labels.segment import OFFSET_BITS, WAITING, Body, Segment, when

SEGMENT_BYTES: Final = 512 << 10
"""From so many bytes on a segment is full. A snapshot writes half of that each time, on average."""

SHARE_BITS: Final = 6
"""Where much is kept, a full segment is this part of it (2^-6), so that there are a hundred."""

DEAD_MAX: Final = 1.5
"""What is kept may be so many times what lives: what leaves as it came is never written anew."""

_OFFSETS: Final = (1 << OFFSET_BITS) - 1


class Segments:
    """The events of one partition: see the module."""

    __slots__ = ("_all", "_due", "_firsts", "_full_bytes", "_last_found")

    def __init__(self, full: Iterable[Segment] = (), last: Segment | None = None) -> None:
        self._arrange([*full], Segment() if last is None else last)

    def _arrange(self, full: list[Segment], last: Segment) -> None:
        """Take these, and look up what each event needs of them."""
        self._all = [*full, last]
        self._last_found: tuple[int, Segment, int] | None = None
        self._firsts = [each.offsets[0] for each in self._all if each.offsets]
        self._full_bytes = max(SEGMENT_BYTES, sum(len(s.bodies) for s in full) >> SHARE_BITS)
        firsts = (each.first_due() for each in full)
        # A heap: of a full segment the oldest that waits, of the open one all; some were labelled.
        self._due = [each for each in firsts if each is not None]
        self._due += [
            when(head_of(last.read(i)).time_ms, last.offsets[i])
            for i, mark in enumerate(last.marks)
            if mark == WAITING
        ]
        heapify(self._due)

    def state(self) -> list[Any]:
        """What a state holds of it, beside `full`: names, marks, and the segment that is open."""
        *full, last = self._all
        names, marks = [each.name for each in full], [bytes(each.marks) for each in full]
        return [names, marks, last.written(), bytes(last.marks)]

    @classmethod
    def load(cls, state: list[Any], full: Mapping[str, bytes]) -> Self:
        """Read `state` again; nothing is due yet: see `order`.

        Raises: KeyError: a segment is not there; ValueError: it is none.
        """
        names, marks, last, last_marks = state
        made = cls()
        made._all = [
            *(Segment.of(full[name], own) for name, own in zip(names, marks, strict=True)),
            Segment.of(last, last_marks, is_open=True),
        ]
        return made

    def order(self) -> None:
        """Find out what is due when; of a hundred thousand it takes a tenth of a second."""
        *full, last = self._all
        for each in full:
            each.order()
        self._arrange(full, last)

    def full(self) -> dict[str, bytes]:
        """The full segments, by their names; no byte of them ever changes."""
        return {each.name: each.written() for each in self._all[:-1]}

    def append(self, offset: int, time_ms: int, body: bytes, mark: int) -> None:
        """Add an event, which comes after all others."""
        last = self._all[-1]
        if len(last.bodies) >= self._full_bytes:
            last = self._close()
        if not last.offsets:
            self._firsts.append(offset)
        last.append(offset, body, mark)
        if mark == WAITING:
            heappush(self._due, time_ms << OFFSET_BITS | offset)  # as `when`

    def find(self, offset: int) -> tuple[int, Body] | None:
        """An event's mark and body; None: there is none, or it is gone."""
        segment, i = self._place(offset)
        return (segment.marks[i], segment.read(i)) if segment and segment.marks[i] else None

    def mark(self, offset: int, mark: int) -> int:
        """Note what has become of an event. Returns: what had, before.

        None waits again; one that is gone may come back in the same step, with its label.
        """
        segment, i = self._place(offset)
        assert segment is not None  # noqa: S101  # whoever marks it has found it
        before = segment.marks[i]
        segment.mark(i, mark)
        return before

    def first_due_ms(self) -> int | None:
        """When the oldest that waits was, or one before it; None: none waits."""
        return self._due[0] >> OFFSET_BITS if self._due else None

    def pop_due(self, before_ms: int) -> int | None:
        """Take the offset of the oldest that waits, by its time and offset, if it is old enough."""
        due, end = self._due, before_ms << OFFSET_BITS
        while due and due[0] < end:
            offset = heappop(due) & _OFFSETS
            segment, i = self._place(offset)
            assert segment is not None  # noqa: S101  # none goes while it is due
            mark = segment.marks[i]
            if not segment.is_open:
                segment.due.pop()  # that very one: nothing else takes of it meanwhile
                following = segment.first_due()
                if following is not None:
                    heappush(due, following)
            if mark == WAITING:
                return offset
        return None

    def live(self) -> Iterator[tuple[int, Body]]:
        """All that are not gone: offset and body."""
        for segment in self._all:
            for i in segment.live():
                yield segment.offsets[i], segment.read(i)

    def _place(self, offset: int) -> tuple[Segment | None, int]:
        """Where an event is; whoever has found it marks it soon."""
        found = self._last_found
        if found is not None and found[0] == offset:
            return found[1], found[2]
        at = bisect_right(self._firsts, offset) - 1
        if at >= 0:
            segment = self._all[at]
            i = bisect_left(segment.offsets, offset)
            if i < len(segment.offsets) and segment.offsets[i] == offset:
                self._last_found = offset, segment, i
                return segment, i
        return None, 0

    def _close(self) -> Segment:
        """The open segment is full: begin another one, and tidy up. Returns: the open one."""
        *full, last = self._all
        self._arrange(_tidied([*full, last.close()], self._full_bytes), Segment())
        return self._all[-1]


def _tidied(full: list[Segment], full_bytes: int) -> list[Segment]:
    """Let dead segments go; once too much is dead, or they are many, write thin ones anew."""
    alive = [each for each in full if each.live_bytes]
    live_bytes, all_bytes = sum(s.live_bytes for s in alive), sum(s.ends[-1] for s in alive)
    if all_bytes <= DEAD_MAX * live_bytes and len(alive) <= 2 << SHARE_BITS:
        return alive
    found: list[Segment] = []
    run: list[Segment] = []
    for each in alive:
        if each.live_bytes <= full_bytes // 2 or each.is_thin:
            run.append(each)
            continue
        found += _rewritten(run, full_bytes)
        found.append(each)
        run = []
    return found + _rewritten(run, full_bytes)


def _rewritten(run: list[Segment], full_bytes: int) -> list[Segment]:
    """Neighbours as fewer segments; one alone that is merely small stays as it is."""
    if len(run) < 2 and not any(each.is_thin for each in run):  # noqa: PLR2004  # alone
        return run
    made: list[Segment] = []
    for each in run:
        for i in each.live():
            if not made or len(made[-1].bodies) >= full_bytes:
                made.append(Segment())
            made[-1].append(each.offsets[i], each.read(i), each.marks[i])
    return [each.close() for each in made]
