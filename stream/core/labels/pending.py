"""The events that wait for their labels, and those that are kept for corrections.

A deterministic fold of its own, pickled with the state. What is kept of an event is one piece of
bytes in a segment, and these are no part of the pickle: see `segments`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from operator import attrgetter
from typing import Any, Final

import msgspec

from stream.core.event import Event
from stream.core.labels.kept import Early, Kept, Label, head_of, kept_of, unpacked
from stream.core.labels.labels_spec import LabelsSpec
from stream.core.labels.segment import GONE, LABELLED, WAITING
from stream.core.labels.segments import Segments
from stream.core.monitoring.fold_time import FoldTime
from stream.core.outcomes import OutcomeKind
from stream.core.result import StepResult

EXPIRED_N_MAX: Final = 50
"""So many events expire in one step at most; the next ones take the rest."""

COUNTED: Final = (
    OutcomeKind.EXPIRED, OutcomeKind.DROPPED, OutcomeKind.UNKNOWN, OutcomeKind.CORRECTED,
)  # fmt: skip
"""What a commit tells of a fold's whole life, beside how many events wait."""

RECENT_N: Final = 1_024
"""So many of the last events are kept unpacked, too, for labels that come soon."""

_NEVER_MS: Final = 1 << 62


_came_at = attrgetter("offset")

_pack = msgspec.msgpack.Encoder().encode
_read_label = msgspec.msgpack.Decoder(tuple[Label, int]).decode
_read_labels = msgspec.msgpack.Decoder(dict[int, bytes]).decode

Place = str | int
"""What a label calls its event: by its id, or by its offset."""


class Pending:
    """The events of one partition that are kept, each under its offset.

    Attributes:
        time: that of the fold.
        dropped: what the last event pushed out; whoever tells of it takes it.
        totals: how often each kind of outcome came.
        known: the last label that came.
        rows: of labels, until the monitors take a block of them.
        waiting_n: how many events wait.
        due_ms: before this time of the fold nothing that is kept is over.
    """

    __slots__ = (
        "_by_id", "_early", "_events", "_is_indexed", "_labelled", "_less_recent", "_pickled",
        "_recent", "_spec", "dropped", "due_ms", "known", "rows", "time", "totals", "waiting_n",
    )  # fmt: skip

    def __init__(self, spec: LabelsSpec) -> None:
        self._spec = spec
        self.time = FoldTime()
        self.dropped: list[tuple[int, Kept]] = []
        self.totals: Counter[str] = Counter()
        self.known: Label | None = None
        self.rows: list[tuple[Any, ...]] = []
        self.due_ms = _NEVER_MS
        self._events = Segments()
        self.waiting_n = 0
        self._labelled: dict[int, bytes] = {}  # in the order in which their labels came
        self._by_id: dict[str, int] = {}
        self._early: dict[Place, tuple[Any, ...]] = {}  # a state may name no class that it grows
        self._recent: dict[int, Kept] = {}  # the last that came, as they are unpacked
        self._less_recent: dict[int, Kept] = {}
        self._is_indexed = True
        self._pickled: list[Any] = []  # of the events, until their segments are there

    def __getstate__(self) -> list[Any]:
        """All but what `index` finds out again, and the segments."""
        plain = [getattr(self, name) for name in _PICKLED]
        return [*plain, _pack(self._labelled), self._events.state()]

    def __setstate__(self, state: list[Any]) -> None:
        *plain, labelled, self._pickled = state
        for name, each in zip(_PICKLED, plain, strict=True):
            setattr(self, name, each)
        self._labelled = _read_labels(labelled)
        self._by_id, self._recent, self._less_recent = {}, {}, {}
        self._is_indexed = False

    def segments(self) -> dict[str, bytes]:
        """What belongs to the pickled state, and is no part of it, by name."""
        return self._events.full()

    def attach(self, segments: Mapping[str, bytes]) -> None:
        """Add to what was unpickled the segments that belonged to it.

        Raises: KeyError: one is not there; ValueError: it is none.
        """
        self._events = Segments.load(self._pickled, segments)
        self._pickled = []

    def index(self) -> None:
        """Find out which id is where, and what is due when: once, before the first event."""
        if self._is_indexed:
            return
        self._events.order()
        heads = ((offset, head_of(body).id) for offset, body in self._events.live())
        self._by_id = {name: offset for offset, name in heads if name is not None}
        self._is_indexed = True

    def obey(self, spec: LabelsSpec) -> None:
        """Go on under these settings: a stored state may be one of others."""
        if spec != self._spec:
            self._spec, self.due_ms = spec, 0

    def going_on_from(self, old: "Pending") -> "Pending":
        """Take over all that another one keeps."""
        for name in self.__slots__:
            if name != "_spec":
                setattr(self, name, getattr(old, name))
        self.due_ms = 0  # another time to wait, or another room
        return self

    def counts(self) -> tuple[int, ...]:
        """How many wait, and how often each of `COUNTED` came; () if there was none of it."""
        found = self.waiting_n, *(self.totals[kind.value] for kind in COUNTED)
        return found if any(found) else ()

    def holds(self, event_id: str) -> bool:
        """Whether an event of this id is kept."""
        return event_id in self._by_id

    def on_event(self, event: Event, result: StepResult) -> None:
        """Keep an event that was predicted; what there is no room for is `dropped`."""
        record = result.record
        kept, offset = kept_of(result, event.id, self.known), record.offset
        body, mark = kept.packed(), WAITING
        kept.features = event.features
        if len(self._recent) == RECENT_N // 2:  # all at once: to find the oldest takes longer
            self._recent, self._less_recent = {}, self._recent
        self._recent[offset] = kept
        if event.id is not None:
            self._by_id[event.id] = offset
        if event.label is not None:
            self._come(offset, kept, event.label)
            mark = LABELLED
        else:
            self.waiting_n += 1
            self._look_at(record.timestamp_ms)
        self._events.append(offset, record.timestamp_ms, body, mark)
        over_n = self.waiting_n + len(self._labelled) - self._spec.pending_max
        if over_n > 0:
            for _ in range(min(over_n, EXPIRED_N_MAX)):  # many, once the limit is another one
                self._make_room()

    def offset_of(self, place: Place) -> int | None:
        """The offset of the event that a label is of; None: no event of this id is kept."""
        return self._by_id.get(place) if isinstance(place, str) else place

    def find(self, offset: int) -> Kept | None:
        """The event that is kept under an offset, if one is."""
        if (recent := self._recent.get(offset) or self._less_recent.get(offset)) is not None:
            return recent
        found = self._events.find(offset)
        if found is None:
            return None
        mark, body = found
        kept = unpacked(body)
        if mark == LABELLED:
            kept.label, kept.since_ms = _read_label(self._labelled[offset])
        return kept

    def label(self, offset: int, kept: Kept, label: Label) -> None:
        """Note the label of an event, be it the first or another one."""
        self.waiting_n -= self._events.mark(offset, LABELLED) == WAITING
        self._come(offset, kept, label)

    def expired(self) -> Iterator[tuple[int, Kept]]:
        """Take out what has waited too long, the oldest first: not more than one step takes."""
        before_ms = self.time.now_ms - self._spec.wait_ms + 1
        for _ in range(EXPIRED_N_MAX):
            offset = self._events.pop_due(before_ms)
            if offset is None:
                return
            yield offset, self._take(offset)

    def keep_expired(self, offset: int, kept: Kept, label: Label) -> None:
        """Keep an event that expired and was given a label: another may come."""
        if kept.id is not None:
            self._by_id[kept.id] = offset
        self.label(offset, kept, label)

    def forget(self) -> None:
        """Forget events whose labels came long ago: nobody corrects them any more."""
        for _ in range(EXPIRED_N_MAX):
            oldest = next(iter(self._labelled), None)
            if oldest is None:
                return
            _, since_ms = _read_label(self._labelled[oldest])
            if since_ms + self._spec.wait_ms > self.time.now_ms:
                return
            self._take(oldest)

    def early(self, place: Place) -> Early | None:
        """A label that came before its event."""
        early = self._early.get(place)
        return None if early is None else Early(*early)

    def take_early(self, event_id: str, offset: int) -> Iterable[Early]:
        """Take out the labels that wait for an event: one by its id, one by its offset.

        Returns: them in the order in which they came.
        """
        early = self._early
        if not early:
            return ()
        by_id, by_offset = early.pop(event_id, None), early.pop(offset, None)
        found = [Early(*each) for each in (by_id, by_offset) if each is not None]
        return sorted(found, key=_came_at)

    def wait_for(self, place: Place, early: Early) -> None:
        """Keep a label until its event comes."""
        self._early.pop(place, None)
        self._early[place] = tuple(early)
        self._look_at(early.since_ms if len(self._early) <= self._spec.early_max else -_NEVER_MS)

    def given_up(self) -> Iterator[tuple[Place, Early]]:
        """Take out labels whose events have not come in time, or for which there is no room."""
        for _ in range(EXPIRED_N_MAX):
            place = next(iter(self._early), None)
            if place is None:
                return
            over_n = len(self._early) - self._spec.early_max
            early = Early(*self._early[place])
            if over_n <= 0 and early.since_ms + self._spec.wait_ms > self.time.now_ms:
                return
            del self._early[place]
            yield place, early

    def looked(self) -> None:
        """Find out when something is over next, after all that is now was taken out."""
        first_ms = self._events.first_due_ms()
        times = [] if first_ms is None else [first_ms]
        times += [_read_label(each)[1] for each in islice(self._labelled.values(), 1)]
        times += [Early(*each).since_ms for each in islice(self._early.values(), 1)]
        is_over = len(self._early) > self._spec.early_max
        self.due_ms = _NEVER_MS
        self._look_at(-_NEVER_MS if is_over else min(times, default=_NEVER_MS))

    def _look_at(self, since_ms: int) -> None:
        due_ms = since_ms + self._spec.wait_ms
        if due_ms < self.due_ms:  # noqa: PLR1730  # `min` takes three times as long
            self.due_ms = due_ms

    def _come(self, offset: int, kept: Kept, label: Label) -> None:
        """Note that the label of an event has come, after those of all others."""
        now_ms = self.time.now_ms
        kept.label, kept.since_ms, self.known = label, now_ms, label
        self._labelled.pop(offset, None)
        self._labelled[offset] = _pack((label, now_ms))
        self._look_at(now_ms)

    def _make_room(self) -> None:
        """Push one out: the one whose label came first, else the oldest that waits."""
        oldest = next(iter(self._labelled), None)
        if oldest is not None:
            self._take(oldest)
            return
        offset = self._events.pop_due(_NEVER_MS)
        if offset is not None:
            self.dropped.append((offset, self._take(offset)))

    def _take(self, offset: int) -> Kept:
        """Take an event out, with its id."""
        kept = self.find(offset)
        assert kept is not None  # noqa: S101  # whoever takes it has found it
        self.waiting_n -= not kept.is_labelled
        self._events.mark(offset, GONE)
        self._labelled.pop(offset, None)
        for recent in (self._recent, self._less_recent):
            recent.pop(offset, None)
        if kept.id is not None and self._by_id.get(kept.id) == offset:
            del self._by_id[kept.id]
        return kept


_PICKLED: Final = (
    "_early", "_spec", "dropped", "due_ms", "known", "rows", "time", "totals", "waiting_n",
)  # fmt: skip
