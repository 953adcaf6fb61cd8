"""Which stored snapshots a restore looks at, and in which order."""

from contextlib import nullcontext
from typing import Any, cast

import pytest

from stream.adapters.memory import MemoryBroker, MemorySnapshots
from stream.core.event import Channel
from stream.core.recipe import Recipe
from stream.core.snapshots.seal import Header, Keys, seal
from stream.core.spec import EventShape, Limits, ModelSpec
from stream.runtime.candidates import Candidates
from stream.runtime.clock import SystemClock
from stream.runtime.sources import Sources
from stream.telemetry import LogEvent
from tests.instruments.simulation.doubles import Diary

KEY = b"k" * 32
RECIPE = Recipe(
    pipeline="p",
    events_topic=f"p.{Channel.EVENTS.value}",
    model=ModelSpec(factory="stream.models:logistic_regression"),
    detectors=(),
    shape=EventShape(),
    limits=Limits(),
    hash_seed=0,
)


class Shelf:
    """A store, and what looks through it for topic "now"."""

    def __init__(self) -> None:
        self.store = MemorySnapshots(MemoryBroker(clock=SystemClock()), pipeline="p")
        self.diary = Diary("w", lambda _: None)

    def put(self, n: int, next_offset: int, topic_id: str = "now") -> None:
        """One honest snapshot."""
        header = Header(
            pipeline="p",
            topic=RECIPE.events_topic,
            topic_id=topic_id,
            partition=0,
            next_offset=next_offset,
            n=n,
            learned=n,
            digest="00ff" * 4,
            genesis=0,
            fingerprint="deadbeef",
            recipe={},
            raw_bytes=0,
            taken_at_ms=0,
        )
        sealed = seal(header, b"state", KEY)
        self.store.save(0, n, sealed, next_offset=next_offset, topic_id=topic_id)

    def found(self, offset: int, n: int | None) -> list[tuple[int, int]]:
        """Step and offset of those that verify, in order."""
        parts: dict[str, Any] = {"reader": None, "start": "earliest", "on_change": "refuse"}
        sources = Sources(
            recipe=RECIPE,
            store=self.store,
            keys=Keys(KEY),
            topic_id="now",
            clock=SystemClock(),
            telemetry=self.diary,
            **cast("Any", parts),
        )
        candidates = Candidates(sources, 0, lambda *_: nullcontext())
        return [(header.n, header.next_offset) for header, _ in candidates.up_to(offset, n)]


def test_of_two_at_one_offset_the_newer_wins() -> None:
    """Both are there: neither was stored over the other."""
    shelf = Shelf()
    shelf.put(1_041, 41)
    shelf.put(41, 41)

    assert shelf.found(41, 1_041) == [(1_041, 41), (41, 41)]
    assert shelf.found(41, 1_040) == [(41, 41)]


def test_the_highest_step_is_tried_first_whatever_its_offset() -> None:
    """A topic that was made again counts its offsets anew, and the fold goes on."""
    shelf = Shelf()
    shelf.put(900, 900, "before")
    shelf.put(905, 5)
    shelf.put(902, 2)

    assert shelf.found(1_000, 905) == [(905, 5), (902, 2)]
    (rejected,) = [f for e, f in shelf.diary.said if e is LogEvent.SNAPSHOT_REJECTED]
    assert (rejected["n"], rejected["next_offset"]) == (900, 900)
    assert rejected["why"] == "it is a snapshot of something else: topic_id is before, not now"


@pytest.mark.parametrize(
    ("offset", "n", "found"),
    [
        (30, None, [(30, 30), (20, 20), (10, 10)]),
        (29, None, [(20, 20), (10, 10)]),
        (30, 29, [(20, 20), (10, 10)]),
        (19, 30, [(10, 10)]),
        (9, 9, []),
    ],
)
def test_none_lies_beyond_the_position(
    offset: int, n: int | None, found: list[tuple[int, int]]
) -> None:
    """Neither by its offset nor by its step, where the step is known."""
    shelf = Shelf()
    for each in (10, 20, 30):
        shelf.put(each, each)

    assert shelf.found(offset, n) == found
