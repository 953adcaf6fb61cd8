"""The port `SnapshotStore`, held on every adapter."""

import time

import pytest

from stream.core.snapshots.seal import START_BYTES_MAX, SnapshotRejected
from tests.contract.worlds import StoreWorld, loaded

SEALED = bytes(range(256)) * 4


def test_an_empty_store_has_nothing(store_world: StoreWorld) -> None:
    """A cache may know nothing; that is no error."""
    store = store_world.store("p")

    assert store.stored(0) == []
    assert loaded(store, 0, 41) is None
    store.remove(0, 41)


def test_a_saved_snapshot_comes_back(store_world: StoreWorld) -> None:
    """The bytes are the same, and the index tells their step, offset and size."""
    store = store_world.store("p")

    store.save(0, 41, SEALED, next_offset=2**40)

    (entry,) = store.stored(0)
    assert (entry.n, entry.next_offset, entry.size_bytes) == (41, 2**40, len(SEALED))
    assert loaded(store, 0, 41) == SEALED


def test_an_age_is_in_milliseconds_of_this_century(store_world: StoreWorld) -> None:
    """`saved_at_ms` counts milliseconds since 1970."""
    store = store_world.store("p")

    store.save(0, 1, SEALED, next_offset=1)

    (entry,) = store.stored(0)
    year_ms = 366 * 86_400_000
    assert abs(entry.saved_at_ms - time.time_ns() // 1_000_000) < 5 * year_ms


def test_the_highest_step_comes_first(store_world: StoreWorld) -> None:
    """The order goes by step, as a number, whatever the offset and whenever each was saved."""
    store = store_world.store("p")

    for n in (100, 9, 2**40, 0, 1000):
        store.save(0, n, b"%d" % n, next_offset=2**40 - n)

    told = [(entry.n, entry.next_offset) for entry in store.stored(0)]
    assert told == [(n, 2**40 - n) for n in (2**40, 1000, 100, 9, 0)]
    assert loaded(store, 0, 2**40) == b"%d" % 2**40


def test_other_clients_see_it_too(store_world: StoreWorld) -> None:
    """A snapshot outlives the client that saved it."""
    first = store_world.store("p")
    first.save(0, 41, SEALED, next_offset=41)
    first.close()

    assert loaded(store_world.store("p"), 0, 41) == SEALED


def test_pipelines_and_partitions_are_apart(store_world: StoreWorld) -> None:
    """Nobody sees another one's snapshots, also where one name begins with the other."""
    store, other = store_world.store("p"), store_world.store("p-1")

    store.save(1, 41, b"ours", next_offset=41)
    store.save(11, 41, b"eleven", next_offset=41)
    other.save(1, 41, b"theirs", next_offset=41)

    assert loaded(store, 1, 41) == b"ours"
    assert loaded(other, 1, 41) == b"theirs"
    assert store.stored(0) == []
    assert [entry.size_bytes for entry in store.stored(1)] == [4]
    assert [entry.size_bytes for entry in store.stored(11)] == [6]


def test_what_snapshots_share_is_apart_from_them(store_world: StoreWorld) -> None:
    """The partition ~P is one of its own, and takes any step: there segments are."""
    store, most = store_world.store("p"), 2**63 - 1

    store.save(1, 41, b"a snapshot", next_offset=41)
    store.save(~1, most, b"a segment", next_offset=0)
    store.save(~1, 41, b"another one", next_offset=0)
    store.save(~0, 41, b"of partition 0", next_offset=0)

    assert [entry.n for entry in store.stored(1)] == [41]
    assert [(e.n, e.next_offset) for e in store.stored(~1)] == [(most, 0), (41, 0)]
    assert loaded(store, ~1, most) == b"a segment"
    store.remove(~1, 41)
    assert loaded(store, ~1, 41) is None
    assert loaded(store, 1, 41) == b"a snapshot"
    assert loaded(store, ~0, 41) == b"of partition 0"


def test_saving_again_replaces(store_world: StoreWorld) -> None:
    """One step has one snapshot: the last one saved, at whatever offset."""
    store = store_world.store("p")

    store.save(0, 41, b"first, and longer", next_offset=41)
    store.save(0, 41, b"second", next_offset=43)

    (entry,) = store.stored(0)
    assert (entry.next_offset, entry.size_bytes) == (43, len(b"second"))
    assert loaded(store, 0, 41) == b"second"


def test_two_steps_at_one_offset_are_two_snapshots(store_world: StoreWorld) -> None:
    """Of the topic before and the one after: neither takes the other's place."""
    store = store_world.store("p")

    store.save(0, 1041, b"of the new topic", next_offset=41, topic_id="new")
    store.save(0, 41, b"of the old one", next_offset=41, topic_id="old")

    assert [(e.n, e.next_offset, e.topic_id) for e in store.stored(0)] == [
        (1041, 41, "new"),
        (41, 41, "old"),
    ]
    assert loaded(store, 0, 41) == b"of the old one"
    store.remove(0, 41)
    assert loaded(store, 0, 1041) == b"of the new topic"


def test_a_removed_snapshot_is_gone(store_world: StoreWorld) -> None:
    """`remove` forgets one and leaves the others."""
    store = store_world.store("p")
    store.save(0, 41, b"old", next_offset=41)
    store.save(0, 42, b"new", next_offset=42)

    store.remove(0, 41)
    store.remove(0, 41)

    assert [entry.n for entry in store.stored(0)] == [42]
    assert loaded(store, 0, 41) is None
    assert loaded(store, 0, 42) == b"new"


@pytest.mark.parametrize("size_bytes", [0, 1, 8 * 2**20, 8 * 2**20 + 1, 20 * 2**20])
def test_any_size_comes_back_whole(store_world: StoreWorld, size_bytes: int) -> None:
    """Empty ones, and those at the edges of what a store may cut in pieces of 8 MiB."""
    store = store_world.store("p")
    sealed = (b"0123456789abcdef" * (size_bytes // 16 + 1))[:size_bytes]

    store.save(3, 7, sealed, next_offset=7)

    (entry,) = store.stored(3)
    assert entry.size_bytes == size_bytes
    assert loaded(store, 3, 7) == sealed


def test_an_entry_tells_whose_topic_it_is_of(store_world: StoreWorld) -> None:
    """So that what is left of a topic that was deleted can go first."""
    store = store_world.store("p")

    store.save(0, 41, SEALED, next_offset=41, topic_id="L8pWYgTwRSyBbHKs7NlR5w")
    store.save(0, 42, SEALED, next_offset=42)

    assert [entry.topic_id for entry in store.stored(0)] == ["", "L8pWYgTwRSyBbHKs7NlR5w"]


def test_no_more_is_read_than_was_asked_for(store_world: StoreWorld) -> None:
    """`measure` sees the start alone; another length than it says is as good as gone."""
    store, sealed = store_world.store("p"), bytes(3 * START_BYTES_MAX)
    store.save(0, 41, sealed, next_offset=41)
    seen = []

    def measure(start: bytes) -> int:
        seen.append(len(start))
        return len(sealed)

    assert store.load(0, 41, measure) == sealed
    assert seen == [START_BYTES_MAX]
    for wrong in (len(sealed) - 1, len(sealed) + 1, 0, -1, 10**300):
        assert store.load(0, 41, lambda _, wrong=wrong: wrong) is None  # type: ignore[misc]


def test_what_measure_raises_goes_through(store_world: StoreWorld) -> None:
    """Then no more of it is read."""
    store = store_world.store("p")
    store.save(0, 41, SEALED, next_offset=41)

    def refuse(_: bytes) -> int:
        raise SnapshotRejected("not ours")

    with pytest.raises(SnapshotRejected, match="not ours"):
        store.load(0, 41, refuse)
