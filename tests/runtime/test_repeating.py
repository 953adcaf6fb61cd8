"""A model that gives other answers in another process is found out before its answers count."""

import threading
from typing import Any

import msgspec
import pytest

from stream.core.event import Channel, Kind, Record
from stream.core.recipe import Recipe
from stream.core.snapshots.metadata import Metadata
from stream.core.spec import EventShape, Limits, ModelSpec
from stream.errors import Misconfigured
from stream.ports import Bounds, Committed, TopicInfo
from stream.runtime import first_start, repeating
from stream.telemetry import Scrubber, Telemetry


def recipe(factory: str, **params: Any) -> Recipe:
    """Of a binary classifier."""
    return Recipe(
        pipeline="p", events_topic="p.events", model=ModelSpec(factory=factory, params=params),
        detectors=(), shape=EventShape(), limits=Limits(), hash_seed=7,
    )  # fmt: skip


def compared(factory: str, **params: Any) -> repeating.Compared:
    """What two processes make of made-up events."""
    records = first_start.made_up(EventShape(), Kind.BINARY)
    return repeating.compare(recipe(factory, **params), records, stopping=threading.Event())


@pytest.mark.parametrize(
    "name",
    ["Draws", "DrawsByNumpy", "Looks", "LooksAtTheHour", "LooksAtTheDay", "GoesByPlace",
     "GoesByOrder"],
)  # fmt: skip
def test_the_first_event_that_differs_is_named(name: str) -> None:
    """With where it lies, and what each of the two processes said."""
    found = compared(f"tests.unrepeatable:{name}").difference

    assert found is not None
    assert "does not repeat itself: two processes folded the same events, and of event 1 " in found
    assert "(partition 0, offset 0) the p" in found  # the prediction, or a probability
    assert repeating.NOT_PICKLED not in found
    assert " in one and " in found


@pytest.mark.parametrize("name", ["KeepsKeys", "KeepsOutside"])
def test_what_no_restart_brings_back_is_found_half_way(name: str) -> None:
    """The second process goes on from a pickle, as a worker does after a crash."""
    found = compared(f"tests.unrepeatable:{name}").difference

    assert found is not None
    assert "of event 31 (partition 0, offset 30)" in found
    assert "whose state was pickled and read back before event 31" in found
    assert f"; {repeating.NOT_PICKLED}, or something in it draws" in found


def test_a_generator_without_a_seed_is_found_before_it_draws() -> None:
    """A tree draws at its first split, hundreds of events later."""
    found = compared("tests.unrepeatable:NeverSeeded").difference

    assert found is not None
    assert found.startswith(
        "cannot repeat itself: NeverSeeded's numpy.random.Generator begins anywhere"
    )


@pytest.mark.parametrize(
    "factory",
    ["tests.unrepeatable:Fine", "stream.models:logistic_regression",
     "stream.models:adaptive_random_forest"],
)  # fmt: skip
def test_what_repeats_itself_is_not_suspected(factory: str) -> None:
    """A generator of its own, with a seed, is all that is asked for."""
    found = compared(factory)

    assert found.difference is None
    assert found.outcomes  # all of them, unless the machine is slow


def test_a_model_that_ends_its_process_is_not_known() -> None:
    """It is said; to refuse it is the fold's business."""
    with pytest.raises(repeating.Untried, match="process"):
        compared("os:_exit", status=3)


def test_a_process_without_memory_says_nothing_of_the_model() -> None:
    """One of two may run out of it: that the model does not repeat itself would be untrue."""
    with pytest.raises(repeating.Untried, match="process"):
        compared("tests.unrepeatable:RunsOut")


class _Reader:
    """A log with so many events in partition 1, and what is committed of it."""

    def __init__(self, n: int, committed: dict[int, Committed]) -> None:
        self._n, self._committed = n, committed

    def bounds(self, _channel: Channel, partition: int) -> Bounds:
        return Bounds(0, self._n if partition == 1 else 0)

    def read(self, _channel: Channel, partition: int, start: int, stop: int) -> Any:
        value = msgspec.json.encode({"features": {"x": 1.0}, "label": True})
        yield [Record(partition, offset, 0, None, value) for offset in range(start, stop)]

    def committed(self) -> dict[int, Committed]:
        return self._committed


def _at(n: int, learner: str, *, fingerprint: str = "deadbeef") -> Committed:
    known = Metadata(
        n=n, digest="0" * 16, fingerprint=fingerprint, learner=learner, genesis=0, learned=n
    )
    return Committed(n, known.encode())


MINE = recipe("river.dummy:PriorClassifier")
OURS = MINE.learner_fingerprint()


@pytest.mark.parametrize(
    ("events_n", "committed", "tried_n"),
    [
        (0, {}, first_start.MADE_UP_N),
        (5, {}, 5),
        (5_000, {}, repeating.EVENTS_MAX),
        (500, {0: _at(300, "deadbeef", fingerprint=MINE.fingerprint())}, 500),
        (500, {0: Committed(300, "another tool's")}, 500),
        (500, {0: _at(0, OURS), 1: _at(20, OURS)}, 500),
        (0, {0: _at(0, OURS)}, None),
        (500, {0: _at(0, OURS), 1: _at(100, OURS)}, None),
    ],
)
def test_a_model_is_tried_until_it_has_begun(
    events_n: int,
    committed: dict[int, Committed],
    tried_n: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At a first start, of a changed learner too; other settings and a restart wait for nothing."""
    tried: list[int] = []

    def compare(_recipe: Recipe, records: list[Record], **_more: Any) -> repeating.Compared:
        tried.append(len(records))
        return repeating.Compared("does not repeat itself", ())

    monkeypatch.setattr(repeating, "compare", compare)
    reader: Any = _Reader(events_n, committed)
    events = TopicInfo(name="p.events", topic_id="", partitions=2)

    def start() -> None:
        first_start.try_model(
            MINE, Kind.BINARY, events=events, reader=reader, telemetry=Telemetry(Scrubber()),
            stopping=threading.Event(),
        )  # fmt: skip

    if tried_n is None:
        start()
    else:
        with pytest.raises(Misconfigured, match="PriorClassifier does not repeat itself"):
            start()

    assert tried == ([] if tried_n is None else [tried_n])
