"""Ids that were accepted are known for a time, and no longer; a plain dictionary says the same."""

import copy
import pickle
import random

import pytest

from stream.core.event import Event, Record
from stream.core.result import StepResult
from stream.core.seen import Seen, SeenSpec

RESULT = StepResult(Record(0, 0, 0, None, None))


def accept(seen: Seen, event_id: str | None) -> None:
    """One more event."""
    seen.on_event(Event(features={}, id=event_id), RESULT)


def at(seen: Seen, time_ms: int) -> None:
    """Let the fold's time be this one; five records move it, for it is a median."""
    for _ in range(5):
        seen.time.see(time_ms)


@pytest.mark.parametrize("window_ms", [1_000, 3_600_000, 30 * 86_400_000])
def test_an_id_is_known_for_its_time(window_ms: int) -> None:
    """Up to a unit of it, which is at most one in sixteen thousand."""
    seen = SeenSpec(window_ms=window_ms).begin()
    at(seen, 10**12)
    accept(seen, "a")
    unit_ms = -(-window_ms // (1 << 14))
    assert seen.holds("a")
    assert not seen.holds("b")
    at(seen, 10**12 + window_ms)
    assert seen.holds("a")
    at(seen, 10**12 + window_ms + 2 * unit_ms)
    assert not seen.holds("a")


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_a_dictionary_says(seed: int) -> None:
    """Thousands of ids, times that jump, pickled in between; nothing is forgotten or made up."""
    chance, window_ms = random.Random(seed), 50_000
    known: dict[str, int] = {}
    seen, now_ms = SeenSpec(window_ms=window_ms).begin(), 10**12
    for n in range(20_000):
        now_ms += chance.choice((0, 1, 7, 30))
        if chance.random() < 0.0005:
            now_ms += chance.choice((60_000, 10**7, 10**10))
        at(seen, now_ms)
        event_id = f"e{chance.randrange(n + 1)}"
        age_ms = now_ms - known.get(event_id, -(10**15))
        if abs(age_ms - window_ms) > 10:
            assert seen.holds(event_id) == (age_ms <= window_ms), (n, age_ms)
        if not seen.holds(event_id):
            accept(seen, event_id)
            known[event_id] = now_ms
        if n % 3_000 == 0:
            seen = copy.deepcopy(seen)


def test_the_oldest_make_room() -> None:
    """A bound holds whatever comes; the table does not grow for ever."""
    seen = SeenSpec(window_ms=10**9, ids_max=1_000).begin()
    for n in range(5_000):
        at(seen, 10**12 + 100_000 * n)
        accept(seen, f"e{n}")
    assert sum(seen.holds(f"e{n}") for n in range(5_000)) <= 1_000
    assert all(seen.holds(f"e{n}") for n in range(4_200, 5_000))
    assert not any(seen.holds(f"e{n}") for n in range(4_000))
    assert len(seen._table) <= 4_096


def test_a_snapshot_has_eight_bytes_an_id() -> None:
    """And what was accepted before is known after it."""
    seen = SeenSpec(window_ms=10**6).begin()
    at(seen, 10**12)
    for n in range(50_000):
        accept(seen, f"e{n}")
    assert len(pickle.dumps(seen)) < 8 * 50_000 + 2_000
    again = copy.deepcopy(seen)
    assert all(again.holds(f"e{n}") for n in range(50_000))
    assert not any(again.holds(f"f{n}") for n in range(50_000))


def test_an_event_without_an_id_is_no_duplicate() -> None:
    """Nobody can say that it came before."""
    seen = SeenSpec(window_ms=10**6).begin()
    accept(seen, None)
    assert not seen._table.count(1)
