"""The events that wait for their labels, and those that are kept for corrections.

A deterministic fold of its own, pickled with the state. What is kept of an event is one piece of
bytes, so that a hundred thousand fit into a few dozen megabytes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from itertools import islice
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from stream.core.event import Event
from stream.core.labels.labels_spec import LabelsSpec
from stream.core.monitoring.fold_time import FoldTime
from stream.core.outcomes import OutcomeKind
from stream.core.result import StepResult

EXPIRED_N_MAX: Final = 50
"""So many events expire in one step at most; the next ones take the rest."""

COUNTED: Final = (
    OutcomeKind.EXPIRED, OutcomeKind.DROPPED, OutcomeKind.UNKNOWN, OutcomeKind.CORRECTED,
)  # fmt: skip
"""What a commit tells of a fold's whole life, beside how many events wait."""

_OFFSET_BITS: Final = 63
_OFFSETS: Final = (1 << _OFFSET_BITS) - 1

_NEVER_MS: Final = 1 << 62

Label = bool | int | float | str


class Kept(msgspec.Struct, array_like=True, gc=False):
    """What is kept of an event.

    Attributes:
        time_ms: its timestamp.
        key, value: its bytes; its features are read from them again.
        id: None: it brought none.
        prediction, probabilities: of what was published, as JSON.
        known: the last label that had come when it was predicted: the baseline of no change.
        label: its own, once that has come; since_ms: the fold's time then.
        is_labelled: whether it has one.
    """

    time_ms: int
    key: bytes | None
    value: bytes
    id: str | None
    prediction: bytes
    probabilities: bytes | None
    known: Label | None
    label: Label | None = None
    since_ms: int = 0

    @property
    def is_labelled(self) -> bool:
        """Whether its label has come, or was made up when it expired."""
        return self.label is not None


class Early(NamedTuple):
    """A label whose event has not come yet."""

    label: Label
    offset: int
    timestamp_ms: int
    key: bytes | None
    since_ms: int


class _Answer(msgspec.Struct, gc=False):
    """What a prediction's record says that an outcome repeats."""

    prediction: msgspec.Raw = msgspec.Raw(b"null")
    probabilities: msgspec.Raw = msgspec.Raw()


_came_at = attrgetter("offset")

_answer = msgspec.json.Decoder(_Answer).decode
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Kept).decode

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
        due_ms: before this time of the fold nothing that is kept is over.
    """

    __slots__ = (
        "_by_id", "_due", "_early", "_labelled", "_spec", "_waiting", "dropped", "due_ms", "known",
        "rows", "time", "totals",
    )  # fmt: skip

    def __init__(self, spec: LabelsSpec) -> None:
        self._spec = spec
        self.time = FoldTime()
        self.dropped: list[tuple[int, Kept]] = []
        self.totals: Counter[str] = Counter()
        self.known: Label | None = None
        self.rows: list[tuple[Any, ...]] = []
        self.due_ms = _NEVER_MS
        self._waiting: dict[int, bytes] = {}
        self._labelled: dict[int, bytes] = {}  # in the order in which their labels came
        self._by_id: dict[str, int] = {}
        self._early: dict[Place, tuple[Any, ...]] = {}  # a state may name no class that it grows
        self._due: list[int] = []  # a heap of time and offset; some have their label by now

    def __getstate__(self) -> list[Any]:
        return [getattr(self, name) for name in self.__slots__]

    def __setstate__(self, state: list[Any]) -> None:
        for name, each in zip(self.__slots__, state, strict=True):
            setattr(self, name, each)

    def going_on_from(self, old: "Pending") -> "Pending":
        """Take over all that another one keeps."""
        for name in self.__slots__:
            if name != "_spec":
                setattr(self, name, getattr(old, name))
        self.due_ms = 0  # another time to wait, or another room
        return self

    @property
    def waiting_n(self) -> int:
        """How many events wait."""
        return len(self._waiting)

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
        if event.id is not None:
            self._by_id[event.id] = offset
        if event.label is not None:
            self._come(kept, event.label)
            self._labelled[offset] = _pack(kept)
        else:
            self._waiting[offset] = _pack(kept)
            heappush(self._due, record.timestamp_ms << _OFFSET_BITS | offset)
            self._look_at(record.timestamp_ms)
        over_n = len(self._waiting) + len(self._labelled) - self._spec.pending_max
        for _ in range(min(over_n, EXPIRED_N_MAX)):  # many, once the limit is another one
            self._make_room()

    def offset_of(self, place: Place) -> int | None:
        """The offset of the event that a label is of; None: no event of this id is kept."""
        return self._by_id.get(place) if isinstance(place, str) else place

    def find(self, offset: int) -> Kept | None:
        """The event that is kept under an offset, if one is."""
        packed = self._waiting.get(offset) or self._labelled.get(offset)
        return None if packed is None else _unpack(packed)

    def label(self, offset: int, kept: Kept, label: Label) -> None:
        """Note the label of an event, be it the first or another one."""
        self._waiting.pop(offset, None)
        self._labelled.pop(offset, None)
        self._come(kept, label)
        self._labelled[offset] = _pack(kept)
        if len(self._due) > 2 * len(self._waiting) + EXPIRED_N_MAX:
            self._tidy()

    def expired(self) -> Iterator[tuple[int, Kept]]:
        """Take out what has waited too long, the oldest first: not more than one step takes."""
        end = (self.time.now_ms - self._spec.wait_ms + 1) << _OFFSET_BITS
        n = 0
        while self._due and self._due[0] < end and n < EXPIRED_N_MAX:
            offset = heappop(self._due) & _OFFSETS
            if offset in self._waiting:
                n += 1
                yield offset, self._take(self._waiting, offset)

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
            kept = _unpack(self._labelled[oldest])
            if kept.since_ms + self._spec.wait_ms > self.time.now_ms:
                return
            self._take(self._labelled, oldest)

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
        first = self._due[:1]
        times = [each >> _OFFSET_BITS for each in first]
        times += [_unpack(self._labelled[each]).since_ms for each in islice(self._labelled, 1)]
        times += [Early(*each).since_ms for each in islice(self._early.values(), 1)]
        is_over = len(self._early) > self._spec.early_max
        self.due_ms = _NEVER_MS
        self._look_at(-_NEVER_MS if is_over else min(times, default=_NEVER_MS))

    def _look_at(self, since_ms: int) -> None:
        self.due_ms = min(self.due_ms, since_ms + self._spec.wait_ms)

    def _come(self, kept: Kept, label: Label) -> None:
        kept.label, kept.since_ms, self.known = label, self.time.now_ms, label
        self._look_at(self.time.now_ms)

    def _make_room(self) -> None:
        """Push one out: the one whose label came first, else the oldest that waits."""
        if self._labelled:
            self._take(self._labelled, next(iter(self._labelled)))
            return
        while self._due:
            offset = heappop(self._due) & _OFFSETS
            if offset in self._waiting:
                self.dropped.append((offset, self._take(self._waiting, offset)))
                return

    def _take(self, among: dict[int, bytes], offset: int) -> Kept:
        """Take an event out, with its id."""
        kept = _unpack(among.pop(offset))
        if kept.id is not None and self._by_id.get(kept.id) == offset:
            del self._by_id[kept.id]
        return kept

    def _tidy(self) -> None:
        """Take out of the heap what does not wait any more."""
        self._due = [each for each in self._due if each & _OFFSETS in self._waiting]
        heapify(self._due)


def kept_of(result: StepResult, event_id: str | None, known: Label | None = None) -> Kept:
    """What is kept of an event that was predicted; `event_id` is None where it brought none."""
    record, answer = result.record, _answer(result.canonical)
    return Kept(
        record.timestamp_ms, record.key, record.value or b"", event_id,
        bytes(answer.prediction), bytes(answer.probabilities) or None, known,
    )  # fmt: skip
