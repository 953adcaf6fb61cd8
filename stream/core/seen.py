"""The ids of events that were accepted, for a time: one that comes again is refused.

A table of 64-bit words, open addressing with linear probing: 48 bits of an id's hash and 16 of the
fold's time. Beside a million ids another one is taken for one of them once in 280 million events.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final

import numpy as np
import xxhash

from stream.core.event import Event
from stream.core.monitoring.fold_time import FoldTime
from stream.core.result import StepResult

NAME: Final = "seen"

_TIME_BITS: Final = 16
_TIMES: Final = 1 << _TIME_BITS
_UNITS_MAX: Final = 1 << 14
"""The window in units of time, at most: a quarter of what 16 bits tell apart."""

_SWEEP_UNITS: Final = 1 << 13
"""After so much time words are looked through."""

_SIZE_MIN: Final = 1_024
_FULL: Final = 0.75
_LEFT: Final = 7 / 8
"""What is left of the most there may be, when the oldest make room."""

_hash = xxhash.xxh3_64_intdigest


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenSpec:
    """The settings.

    Attributes:
        window_ms: so long an id is known, by the fold's time.
        ids_max: so many are; the oldest leave first.
    """

    name: ClassVar = NAME
    version: ClassVar = 1
    window_ms: int
    ids_max: int = 1_000_000

    def settings(self) -> Mapping[str, Any]:
        """Those that are not the default."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if getattr(self, each.name) != each.default
        }

    def begin(self) -> "Seen":
        """Before the first event."""
        return Seen(self.window_ms, self.ids_max)


class Seen:
    """The ids of one partition's events; a deterministic fold that can be pickled at any point.

    Attributes:
        time: that of the fold.
    """

    __slots__ = ("_ids_max", "_n", "_swept_units", "_table", "_unit_ms", "_units", "time")

    def __init__(self, window_ms: int, ids_max: int) -> None:
        self.time = FoldTime()
        self._ids_max = ids_max
        self._unit_ms = -(-window_ms // _UNITS_MAX)
        self._units = -(-window_ms // self._unit_ms)
        self._n = self._swept_units = 0
        self._table = array("Q", bytes(8 * _SIZE_MIN))

    def __getstate__(self) -> list[Any]:
        """Eight bytes an id, whatever the table's size is."""
        words = np.frombuffer(self._table, dtype=np.uint64)
        rest = [getattr(self, name) for name in self.__slots__ if name != "_table"]
        return [*rest, len(words), words[words > 0].tobytes()]

    def __setstate__(self, state: list[Any]) -> None:
        *rest, size, words = state
        names = [name for name in self.__slots__ if name != "_table"]
        for name, each in zip(names, rest, strict=True):
            setattr(self, name, each)
        self._table = _filled(np.frombuffer(words, dtype=np.uint64), size)

    def holds(self, event_id: str) -> bool:
        """Whether an event of this id was accepted within the window."""
        self._age_words()
        word = self._table[self._place(_mark(event_id))]
        return bool(word) and self._age(word) <= self._units

    def on_event(self, event: Event, _result: StepResult) -> None:
        """Remember an event that was accepted."""
        if event.id is None:
            return
        self._age_words()
        mark, table, now = _mark(event.id), self._table, self._now()
        place = self._place(mark)
        self._n += not table[place]
        table[place] = mark << _TIME_BITS | now % _TIMES
        if self._n >= _FULL * len(table) or self._n > self._ids_max:
            self._sweep()

    def _age_words(self) -> None:
        """Let go what is too old before it would be taken for new: its time has 16 bits."""
        if abs(self._now() - self._swept_units) >= _SWEEP_UNITS:
            self._sweep()

    def _now(self) -> int:
        return self.time.now_ms // self._unit_ms

    def _age(self, word: Any) -> Any:
        """How long ago words were written; below 0 where the time was set back since.

        None was written long before the last sweep, or long after it: so 16 bits tell when.
        """
        base = self._swept_units - self._units - _SWEEP_UNITS
        return self._now() - base - (word % _TIMES - base) % _TIMES

    def _place(self, mark: int) -> int:
        """Where the word of an id is, or belongs."""
        table, mask = self._table, len(self._table) - 1
        place = mark & mask
        while (word := table[place]) and word >> _TIME_BITS != mark:
            place = (place + 1) & mask
        return place

    def _sweep(self) -> None:
        """Let go what is too old, and make the table as large as what is left needs."""
        words = np.frombuffer(self._table, dtype=np.uint64)
        words = words[words > 0]
        ages = self._age(words.astype(np.int64) & (_TIMES - 1))
        is_left = (ages <= self._units) & (ages >= -_SWEEP_UNITS)
        words, ages = words[is_left], ages[is_left]
        if len(words) > self._ids_max:
            left_n = int(_LEFT * self._ids_max)
            words = words[np.argsort(ages, kind="stable")[:left_n]]
        size = _SIZE_MIN
        while len(words) >= _FULL / 2 * size:
            size *= 2
        self._table, self._n = _filled(words, size), len(words)
        self._swept_units = self._now()


def _mark(event_id: str) -> int:
    """The hash of an id; never 0, for that is no word."""
    return _hash(event_id.encode()) >> _TIME_BITS or 1


def _filled(words: Any, size: int) -> "array[int]":
    """A table of so many places with these words in it.

    A word goes on to the next place only from one that is taken, so that it is found again.
    """
    table = np.zeros(size, dtype=np.uint64)
    places = ((words >> _TIME_BITS) & (size - 1)).astype(np.int64)
    while len(words):
        free = np.flatnonzero(table[places] == 0)
        _, first = np.unique(places[free], return_index=True)
        chosen = free[first]
        table[places[chosen]] = words[chosen]
        is_left = np.ones(len(words), dtype=bool)
        is_left[chosen] = False
        words, places = words[is_left], (places[is_left] + 1) % size
    return array("Q", table.tobytes())
