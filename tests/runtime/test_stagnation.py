"""Who is alive and gets nowhere."""

import pytest

from stream.runtime.lag import Standing
from stream.runtime.supervision.stagnation import Stagnation, stuck_after_s

AFTER_S = 30.0


@pytest.fixture
def watched() -> Stagnation:
    """Partitions 0 and 1 are a's, 2 is b's; all have their state and were seen at offset 10."""
    made = Stagnation(after_s=AFTER_S)
    made.took("a", [0, 1], 0.0)
    made.took("b", [2], 0.0)
    for worker, partition in (("a", 0), ("a", 1), ("b", 2)):
        made.settled(worker, partition, 0.0)
    made.saw(dict.fromkeys(range(3), Standing(10, 5)), 0.0)
    return made


def stuck(watched: Stagnation, now_s: float) -> list[tuple[str, int]]:
    """Who is stuck, and where."""
    return [(each.worker, each.partition) for each in watched.stuck(now_s)]


def test_one_partition_that_stands_still_under_lag_is_enough(watched: Stagnation) -> None:
    """However busy the worker is with its other ones; and only that worker is told."""
    for now_s in range(1, 31):
        moves = Standing(10 + now_s, 5)
        watched.saw({0: moves, 1: Standing(10, 5 + now_s), 2: moves}, float(now_s))

    assert stuck(watched, AFTER_S - 1) == []
    (found,) = watched.stuck(AFTER_S)
    assert (found.worker, found.partition, found.offset, found.lag) == ("a", 1, 10, 35)
    assert found.for_s == AFTER_S


@pytest.mark.parametrize(
    "standing", [Standing(10, 0), Standing(10, 7, is_paused=True), Standing(None, 0)]
)
def test_no_lag_and_a_pause_are_no_standstill(watched: Stagnation, standing: Standing) -> None:
    """A restart would help neither."""
    watched.saw(dict.fromkeys(range(3), standing), AFTER_S)

    assert stuck(watched, 2 * AFTER_S - 1) == []


def test_lag_that_begins_late_counts_from_there(watched: Stagnation) -> None:
    """Hours without an event are no standstill."""
    watched.saw(dict.fromkeys(range(3), Standing(10, 0)), 3600.0)
    watched.saw(dict.fromkeys(range(3), Standing(10, 1)), 3601.0)

    assert stuck(watched, 3600.0 + AFTER_S - 1) == []
    assert stuck(watched, 3600.0 + AFTER_S) == [("a", 0), ("b", 2)]


def test_nobody_is_blamed_while_nothing_can_be_seen(watched: Stagnation) -> None:
    """Kafka is away from the workers too; afterwards they have all their time."""
    watched.blind(AFTER_S - 1)

    assert stuck(watched, 2 * AFTER_S - 2) == []
    assert stuck(watched, 2 * AFTER_S - 1) == [("a", 0), ("b", 2)]


def test_a_replay_counts_until_the_partition_has_its_state() -> None:
    """A replay of the whole log commits nothing for hours; a loop of lost commits must end."""
    watched = Stagnation(after_s=AFTER_S)
    watched.took("a", [0, 1], 0.0)
    watched.saw({0: Standing(0, 9), 1: Standing(0, 9)}, 0.0)
    for n in range(1, 10):
        watched.replayed("a", n * 1_000, n * 20.0)
        assert stuck(watched, n * 20.0 + AFTER_S - 1) == []
    watched.settled("a", 0, 200.0)

    watched.replayed("a", 10_000, 225.0)
    assert stuck(watched, 230.0) == [("a", 0)]
    assert watched.stuck(230.0)[0].for_s == AFTER_S
    watched.saw({0: Standing(5, 4)}, 231.0)
    assert stuck(watched, 232.0) == []


def test_a_replay_that_does_not_get_on_is_a_standstill() -> None:
    """Saying the same number again is no progress."""
    watched = Stagnation(after_s=AFTER_S)
    watched.took("a", [0], 0.0)
    watched.saw({0: Standing(0, 9)}, 0.0)
    watched.replayed("a", 50, 1.0)
    watched.replayed("a", 50, 11.0)
    watched.replayed("a", 50, 21.0)

    assert stuck(watched, 1.0 + AFTER_S) == [("a", 0)]


def test_what_was_given_away_or_whose_worker_ended_is_nobodys(watched: Stagnation) -> None:
    """A late word of the former owner takes nothing from the new one."""
    watched.took("b", [0], 10.0)
    watched.gave("a", [0])
    watched.ended("a")

    assert stuck(watched, 10.0 + AFTER_S) == [("b", 2)]
    watched.saw({0: Standing(10, 5)}, 10.0)
    assert stuck(watched, 10.0 + AFTER_S) == [("b", 0)]


def test_a_restarted_workers_replay_counts_from_the_beginning() -> None:
    """Its counter begins at 0 again."""
    watched = Stagnation(after_s=AFTER_S)
    watched.replayed("a", 9_000, 0.0)
    watched.ended("a")
    watched.took("a", [0], 100.0)
    watched.saw({0: Standing(0, 9)}, 100.0)
    watched.replayed("a", 50, 120.0)

    assert stuck(watched, 120.0 + AFTER_S - 1) == []


def test_the_deadline_is_well_over_a_recovery() -> None:
    """Ending a worker that recovers would make it recover again."""
    assert [stuck_after_s(s) for s in (1, 10, 60)] == [60.0, 60.0, 180.0]
