"""Where several workers end with `--until-end`."""

from dataclasses import replace

from stream.runtime.lag import Standing
from stream.runtime.supervision.until_end import Goals, Paused

PATIENCE_S = 30.0


def goals() -> Goals:
    """Two partitions with ten events each; one without any."""
    return Goals({0: 10, 1: 10, 2: 0}, patience_s=PATIENCE_S)


def stand(*offsets: int | None, paused: tuple[int, ...] = ()) -> dict[int, Standing]:
    """Where each partition stands; how much has come since matters to nobody."""
    return {p: Standing(at, 99, is_paused=p in paused) for p, at in enumerate(offsets)}


def test_all_partitions_must_be_where_they_ended_at_start() -> None:
    """What has come since is not waited for, and of an empty one no commit."""
    ends = goals()
    assert not ends.are_reached

    ends.saw(stand(10, 9, None), 1.0)
    assert not ends.are_reached

    ends.saw(stand(15, 10, None), 2.0)
    assert ends.are_reached
    assert ends.paused == []


def test_labels_of_a_topic_of_their_own_have_an_end_too() -> None:
    """Of a partition that is paused nothing more is expected of these either."""
    ends = Goals({0: 10, 1: 10}, labels={0: 5}, patience_s=PATIENCE_S)
    at = Standing(10, 0, labels_offset=4)

    ends.saw({0: at, 1: at}, 1.0)
    assert not ends.are_reached
    ends.took([0])
    ends.said_paused([0])
    ends.saw({0: replace(at, is_paused=True), 1: at}, 2.0)
    assert ends.are_reached
    ends.saw({0: replace(at, labels_offset=5), 1: at}, 3.0)
    assert ends.are_reached


def test_without_goals_nothing_is_ever_reached() -> None:
    """A worker without `--until-end` runs on."""
    ends = Goals(None, patience_s=PATIENCE_S)
    ends.saw(stand(10, 10, 10), 1.0)

    assert not ends.are_reached


def test_a_topic_that_is_yet_to_be_made_holds_nothing_to_wait_for() -> None:
    """But it must have been seen once: a worker makes it."""
    ends = Goals({}, patience_s=PATIENCE_S)
    assert not ends.are_reached

    ends.saw(stand(None), 1.0)
    assert ends.are_reached


def test_a_paused_partition_ends_when_its_worker_says_that_it_stays_so() -> None:
    """A mark that was there before may be lifted by who gets the partition now."""
    ends = goals()
    ends.took([0, 1, 2])
    for now_s in (1.0, 2.0, 1_000.0):
        ends.saw(stand(10, 4, None, paused=(1,)), now_s)
        assert not ends.are_reached

    ends.said_paused([1])
    ends.saw(stand(10, 4, None, paused=(1,)), 1_001.0)

    assert ends.are_reached
    assert ends.paused == [Paused(1, 4)]


def test_a_pause_that_was_lifted_is_none() -> None:
    """It was said once, and the partition went on."""
    ends = goals()
    ends.took([1])
    ends.said_paused([1])
    ends.saw(stand(10, 4, None, paused=(1,)), 1.0)
    ends.saw(stand(10, 7, None), 2.0)
    assert not ends.are_reached

    ends.took([1])  # by another of our workers
    ends.saw(stand(10, 7, None, paused=(1,)), 3.0)
    assert not ends.are_reached

    ends.saw(stand(10, 10, None, paused=(1,)), 4.0)
    assert ends.are_reached
    assert ends.paused == []


def test_of_a_partition_in_foreign_hands_the_mark_must_have_stood_for_a_while() -> None:
    """Nobody tells us what its worker thinks of it."""
    ends = goals()
    ends.saw(stand(10, 4, None, paused=(1,)), 100.0)
    ends.saw(stand(10, 5, None), 110.0)
    ends.saw(stand(10, 5, None, paused=(1,)), 120.0)
    ends.saw(stand(10, 5, None, paused=(1,)), 120.0 + PATIENCE_S - 1)
    assert not ends.are_reached

    ends.saw(stand(10, 5, None, paused=(1,)), 120.0 + PATIENCE_S)
    assert ends.are_reached
