"""The alert on a lag that grows: by the wall clock, never for a backlog that is worked off."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from stream.core.formats.records import Writer
from stream.errors import Retryable
from stream.runtime.flow_watch import FlowWatch
from stream.runtime.growing_lag import LOOKS_N, GrowingLag
from tests import folds
from tests.instruments.simulation.clock import ManualClock

if TYPE_CHECKING:
    from stream.core.event import Output

AFTER_S = 60.0
EVERY_S = AFTER_S / LOOKS_N


class Hand:
    """A partition at offset 0 of which the log's end is moved by hand."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.task = folds.task("stream.models:logistic_regression")
        self.end = 0
        self.is_away = False
        lag = GrowingLag(AFTER_S, end_of=self.end_of, clock=self.clock)
        writer = Writer(self.task.recipe)
        self.watch = FlowWatch([lag], pipeline="power", write=writer.alert, clock=self.clock)

    def end_of(self, partition: int) -> int:
        """The log's."""
        assert partition == folds.PARTITION
        if self.is_away:
            raise Retryable("the broker is away")
        return self.end

    def seen(self, lags: Iterable[int]) -> list[dict[str, object]]:
        """Let a look's time pass for each of these: what is published."""
        published: list[Output] = []
        for lag in lags:
            self.clock.sleep(EVERY_S)
            self.end = self.task.next_offset + lag
            self.watch.look({folds.PARTITION: self.task}, published.extend)
        return [json.loads(each.value or b"") for each in published]


def test_a_lag_that_grows_for_so_long_is_told_once_and_its_end() -> None:
    """Where it began to fall behind is where it must come back to."""
    hand = Hand()
    assert hand.seen([5, 0, 7, *[3] * 17]) == []

    (firing,) = hand.seen(range(10, 400, 10))

    episode = "power/3/flow/lag/events/0"
    assert (firing["state"], firing["id"]) == ("firing", f"{episode}/0")
    assert (firing["kind"], firing["detector"], firing["direction"]) == ("flow", "lag", "worse")
    evidence = firing["evidence"]
    assert isinstance(evidence, dict)
    assert (evidence["measure"], evidence["threshold"], evidence["value"]) == ("lag", 3, 100)
    assert "100 events behind: for 60 s always more than the 3 of before" in str(firing["message"])

    assert hand.seen([500, 200, 4]) == []
    (resolved,) = hand.seen([3])
    assert (resolved["state"], resolved["id"]) == ("resolved", f"{episode}/0/resolved")
    assert "caught up" in str(resolved["message"])


def test_a_backlog_that_is_worked_off_and_bursts_that_are_tell_nothing() -> None:
    """However long the one is, and however high the others."""
    assert Hand().seen(range(1_000_000, 0, -10_000)) == []
    assert Hand().seen([0, 5_000, 2_000, 0, 0] * 30) == []
    assert Hand().seen([9_000] * 100) == []


def test_looks_that_commits_hold_up_are_enough() -> None:
    """A worker that commits once in a third of that time looks no oftener."""
    hand = Hand()
    published: list[Output] = []
    for lag in (0, 0, 0, 0, *range(100, 1000, 100)):
        hand.clock.sleep(AFTER_S / 3)
        hand.end = hand.task.next_offset + lag
        hand.watch.look({folds.PARTITION: hand.task}, published.extend)
    (firing,) = [json.loads(each.value or b"") for each in published]
    assert firing["state"] == "firing"
    assert firing["evidence"]["after"] <= 500


def test_where_the_broker_does_not_answer_nobody_looks() -> None:
    """What commits will find out is no trouble of the lag's."""
    hand = Hand()
    hand.is_away = True
    assert hand.seen(range(100)) == []


def test_it_looks_ten_times_in_that_time_and_not_at_each_turn() -> None:
    """A look asks the broker."""
    hand = Hand()
    hand.is_away = True
    hand.watch.look({folds.PARTITION: hand.task}, lambda _: None)
    hand.is_away = False
    asked: list[int] = []

    def end_of(partition: int) -> int:
        asked.append(partition)
        return 0

    lag = GrowingLag(AFTER_S, end_of=end_of, clock=hand.clock)
    for _ in range(120):
        hand.clock.sleep(EVERY_S / 12)
        lag.look({folds.PARTITION: hand.task})
    assert len(asked) == 10
