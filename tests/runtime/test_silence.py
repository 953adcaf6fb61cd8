"""The alert on silence: by the wall clock, once, with an id that a restart repeats."""

import json
from typing import TYPE_CHECKING

import pytest

from stream.core.event import Output
from stream.core.formats.records import Writer
from stream.errors import CommitLost
from stream.runtime.flow_watch import FlowWatch
from stream.runtime.silence import Silence
from tests import folds
from tests.instruments.simulation.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.core.fold.task import Task

AFTER_S = 60.0
FACTORY = "stream.models:logistic_regression"


class Hand:
    """A silence that is looked at by hand; what is published is kept."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.task = folds.task(FACTORY)
        self.tasks: Mapping[int, Task] = {folds.PARTITION: self.task}
        writer = Writer(self.task.recipe)
        silence = Silence(AFTER_S, clock=clock)
        self.silence = FlowWatch([silence], pipeline="power", write=writer.alert, clock=clock)
        self.published: list[Output] = []

    def looked(self, after_s: float = 0.0) -> list[tuple[str, str]]:
        """Let time pass and look: state and id of what is published."""
        self.clock.sleep(after_s)
        self.published.clear()
        self.silence.look(self.tasks, self.published.extend)
        documents = [json.loads(each.value or b"") for each in self.published]
        return [(each["state"], each["id"]) for each in documents]

    def event(self) -> None:
        """One more comes, and is folded."""
        self.task.step(folds.event(self.task.next_offset, {"a": 1.0}, True))
        self.silence.heard([folds.PARTITION])


@pytest.fixture
def hand() -> Hand:
    """Of a partition that got three events."""
    made = Hand(ManualClock())
    for _ in range(3):
        made.event()
    return made


def test_it_is_told_once_and_its_end(hand: Hand) -> None:
    """At the offset that does not come, and when it does."""
    assert hand.looked(59.0) == []
    episode = "power/3/flow/silence/events/3"
    assert hand.looked(1.0) == [("firing", f"{episode}/3")]
    assert hand.looked(1000.0) == []
    hand.event()
    assert hand.looked() == [("resolved", f"{episode}/3/resolved")]
    assert hand.looked(59.0) == []
    assert hand.looked(1.0) == [("firing", "power/3/flow/silence/events/4/4")]


def test_after_a_restart_it_has_the_same_id(hand: Hand) -> None:
    """Once it has waited again; who stands in an offset is known, who told what is not."""
    (before,) = hand.looked(60.0)
    again = Hand(hand.clock)
    again.tasks = hand.tasks
    assert again.looked() == []
    assert again.looked(60.0) == [before]


def test_what_could_not_be_published_is_told_again(hand: Hand) -> None:
    """The transaction failed, and nobody knows how."""

    def lost(_: list[Output]) -> None:
        raise CommitLost("somewhere")

    hand.clock.sleep(60.0)
    with pytest.raises(CommitLost):
        hand.silence.look(hand.tasks, lost)
    assert [state for state, _ in hand.looked()] == ["firing"]


def test_a_partition_that_is_another_workers_is_not_watched(hand: Hand) -> None:
    """And begins to be when it comes back."""
    hand.tasks = {}
    assert hand.looked(1000.0) == []
    hand.tasks = {folds.PARTITION: hand.task}
    assert hand.looked(59.0) == []
    assert hand.looked(1.0) == []
    assert [state for state, _ in hand.looked(59.0)] == ["firing"]
