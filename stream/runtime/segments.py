"""Segments in the store: those of partition P are snapshots of ~P, each under a number of its own.

So a store needs to know nothing of them; they are sealed as snapshots are, written whole or not at
all, and looked at with the same distrust. The number is made of a segment's name and the key that
signs: what an earlier key has signed is written once more under the new one, and nobody who lacks
the key can put other bytes into a place that is still to be taken.

A segment is written before the first snapshot that refers to it, and removed after the last one. A
worker that dies in between leaves some that nobody refers to; so does one that is just writing. The
next worker takes those that stay so for `ORPHAN_S`.
"""

import hmac
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from stream.core.snapshots.payload import Payload, name_of, segments_of
from stream.core.snapshots.seal import Header, Keys, SnapshotRejected, key_id, opened, seal, unseal
from stream.errors import BadInput
from stream.ports import Clock, SnapshotStore, StoredSnapshot

ORPHAN_S: Final = 60.0
"""Between a segment and its snapshot less time passes, unless their writer has died."""

TakingIn = Callable[[str, int], AbstractContextManager[None]]
"""Bounds what takes so many bytes in."""


class SegmentRejected(SnapshotRejected):
    """What stands where a segment should is none, or nothing does: its snapshot is damaged.

    Attributes:
        n: where it should be.
    """

    def __init__(self, n: int, name: str, why: str) -> None:
        super().__init__(f"its segment {name}: {why}")
        self.n = n


class Segments:
    """Writes the segments of a worker's snapshots, and removes what nobody refers to any more."""

    def __init__(self, store: SnapshotStore, *, key: bytes, clock: Clock) -> None:
        self._store = store
        self._key = key
        self._clock = clock
        self._referred: dict[int, dict[tuple[int, int], set[int] | None]] = {}
        self._ours: dict[int, set[int]] = {}
        self._orphaned: dict[int, dict[int, float]] = {}

    def save(self, header: Header, payload: bytes) -> int:
        """Write those of a payload that the store has not yet. Returns: how many bytes.

        Raises: Retryable, Misconfigured, BadInput.
        """
        segments, written_n = segments_of(payload), 0
        if not segments:
            return 0
        there = {each.n for each in _stored(self._store, ~header.partition)}
        for name, written in segments.items():
            n = _number(name, self._key)
            if n not in there:
                own = _header(header, n, name)
                sealed = seal(own, written, self._key)
                self._store.save(own.partition, n, sealed, next_offset=0, topic_id=own.topic_id)
                written_n += len(sealed)
        return written_n

    def saved(self, header: Header, size_bytes: int) -> None:
        """Take note of a snapshot that was stored; then remove what nobody refers to.

        Raises: Retryable, Misconfigured, BadInput.
        """
        partition = header.partition
        if header.segments is UNSET and partition not in self._referred:
            return
        referred = self._referred.setdefault(partition, {})
        referred[header.n, size_bytes] = self._numbers(header)
        for n in self._over(partition):
            self._store.remove(~partition, n)

    def _over(self, partition: int) -> list[int]:
        """Which segments no stored snapshot has referred to for a while."""
        known, referred = self._referred[partition], dict[tuple[int, int], set[int] | None]()
        for each in self._store.stored(partition):
            place = each.n, each.size_bytes
            referred[place] = known[place] if place in known else self._look(partition, each)
        self._referred[partition] = referred
        needed = {n for numbers in referred.values() for n in numbers or ()}
        there = {each.n for each in _stored(self._store, ~partition)}
        ours = self._ours[partition] = (self._ours.get(partition, set()) | needed) & there
        over = there - needed
        if None in referred.values():
            over &= ours  # somebody with another key has stored one that may need the others
        now_s, since_s = self._clock.monotonic(), self._orphaned.get(partition, {})
        orphaned = self._orphaned[partition] = {n: since_s.get(n, now_s) for n in over}
        return sorted(n for n, at_s in orphaned.items() if now_s - at_s >= ORPHAN_S)

    def _look(self, partition: int, stored: StoredSnapshot) -> set[int] | None:
        """To what a snapshot refers that somebody else has stored; None: it has another key."""
        found = set[int]()

        def measure(start: bytes) -> int:
            found.update(self._numbers(opened(start, Keys(self._key)).header))
            return 0  # no more of it is of interest

        try:
            self._store.load(partition, stored.n, measure)
        except SnapshotRejected:
            return None
        return found

    def _numbers(self, header: Header) -> set[int]:
        return {_number(name, self._key) for name in header.segments or ()}


def with_segments(
    payload: bytes,
    header: Header,
    store: SnapshotStore,
    keys: Keys,
    taking_in: TakingIn = lambda _what, _bytes_n: nullcontext(),
) -> bytes:
    """A snapshot's payload with the segments that it refers to, each verified.

    Raises: SegmentRejected: one is not what it should be; Retryable, Misconfigured.
    """
    if header.segments is UNSET:
        return payload
    partition, key = ~header.partition, next(k for k in keys if key_id(k) == header.key_id)
    sizes = {each.n: each.size_bytes for each in _stored(store, partition)}
    numbers = {name: _number(name, key) for name in header.segments}
    with taking_in("loading segments", sum(sizes.get(n, 0) for n in numbers.values())):
        found = {name: _loaded(store, partition, n, name, key) for name, n in numbers.items()}
    return Payload(payload, found)


def _loaded(store: SnapshotStore, partition: int, n: int, name: str, key: bytes) -> bytes:
    """A segment's bytes. Raises: as `with_segments`."""
    keys = Keys(key)

    def measure(start: bytes) -> int:
        found = opened(start, keys)
        if (found.header.partition, found.header.n, found.header.digest) != (partition, n, name):
            raise SnapshotRejected("it is something else")
        return found.sealed_bytes

    try:
        sealed = store.load(partition, n, measure)
        if sealed is None:
            raise SnapshotRejected("it is gone")
        _, written = unseal(sealed, keys)
        if name_of(written) != name:
            raise SnapshotRejected("it is something else")
    except BadInput as error:
        raise SegmentRejected(n, name, str(error)) from error
    return written


def _stored(store: SnapshotStore, partition: int) -> list[StoredSnapshot]:
    try:
        return store.stored(partition)
    except BadInput:
        return []  # no list of ours: the next one that is saved begins a new one


def _number(name: str, key: bytes) -> int:
    """Where a segment stands, of 2^63 places."""
    made = hmac.digest(key, b"streamfold segment " + name.encode(), "sha256")
    return int.from_bytes(made[:8], "big") >> 1


def _header(header: Header, n: int, name: str) -> Header:
    """A segment's header, of that of its first snapshot: the same whatever snapshot that is."""
    return replace(
        header, partition=~header.partition, next_offset=0, n=n, learned=0, digest=name,
        genesis=0, genesis_n=0, has_base=False, fingerprint="", recipe={}, pinned=(),
        segments=UNSET,
    )  # fmt: skip
