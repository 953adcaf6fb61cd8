"""`until_end`: when a worker has come as far as it was asked to, and what kept it from that."""

import re
from collections.abc import Collection

import pytest

from stream.errors import BadInput, Misconfigured
from stream.runtime.goals import Goals
from stream.runtime.life import Life, Lives, Move
from stream.runtime.room import Everywhere
from tests.runtime.surroundings import events, folded

WAYS: dict[Life, tuple[Move, ...]] = {
    Life.ASSIGNED: (Move.ASSIGN,),
    Life.RESTORING: (Move.ASSIGN, Move.RESTORE),
    Life.FOLDING: (Move.ASSIGN, Move.RESTORE, Move.RESTORED),
    Life.TRIPPED: (Move.ASSIGN, Move.RESTORE, Move.RESTORED, Move.TRIP),
    Life.PAUSED: (Move.ASSIGN, Move.RESTORE, Move.RESTORED_PAUSED, Move.WORSE),
    Life.UNDECIDED: (Move.ASSIGN, Move.RESTORE, Move.RESTORED_PAUSED),
}


class _Full(Everywhere):
    """No place in the outputs for these."""

    def __init__(self, waiting: Collection[int]) -> None:
        self.waiting = frozenset(waiting)

    def why(self) -> str:
        """See `Room.why`."""
        return f"partitions {sorted(self.waiting)} have no place"


def _goals(
    *lives: tuple[Life, int, int], waiting: Collection[int] = (), is_asked: bool = True
) -> Goals:
    """Of partitions from 0 on: where each is, how far it came, and what its goal is."""
    known = Lives()
    goals = Goals(known, _Full(waiting), is_asked=is_asked)
    for partition, (life, at, end) in enumerate(lives):
        task = folded(events(at), partition=partition)
        for move in WAYS[life]:
            known.move(partition, move, task if move.value.startswith("its restore is") else None)
        goals.add(partition, end)
    return goals


@pytest.mark.parametrize(
    ("lives", "are_reached"),
    [
        ([], False),  # nothing was assigned yet: that is no end
        ([(Life.FOLDING, 3, 3)], True),
        ([(Life.FOLDING, 4, 3)], True),  # what comes later is folded, and not waited for
        ([(Life.FOLDING, 2, 3)], False),
        ([(Life.FOLDING, 3, 3), (Life.FOLDING, 2, 3)], False),
        ([(Life.FOLDING, 3, 3), (Life.PAUSED, 1, 3)], True),  # it goes no further
        ([(Life.FOLDING, 3, 3), (Life.TRIPPED, 1, 3)], True),
        ([(Life.PAUSED, 1, 3)], True),
        ([(Life.FOLDING, 3, 3), (Life.UNDECIDED, 1, 3)], False),  # it may go on yet
        ([(Life.FOLDING, 3, 3), (Life.ASSIGNED, 0, 3)], False),
        ([(Life.FOLDING, 3, 3), (Life.RESTORING, 0, 3)], False),
    ],
)
def test_they_are_reached_when_all_that_can_go_on_has_come_to_its_goal(
    lives: list[tuple[Life, int, int]], *, are_reached: bool
) -> None:
    """And only where that is asked for."""
    assert _goals(*lives).are_reached() == are_reached
    assert not _goals(*lives, is_asked=False).are_reached()


def test_what_waits_for_a_place_is_not_waited_for() -> None:
    """Nobody else may ever give it one; a worker that has nothing but such ends, too."""
    assert _goals(waiting={0}).are_reached()
    assert _goals((Life.FOLDING, 3, 3), waiting={1}).are_reached()
    assert not _goals((Life.FOLDING, 2, 3), waiting={1}).are_reached()


def test_a_goal_is_set_once() -> None:
    """A partition that is restored again has a later end, and the job would never be done."""
    goals = _goals((Life.FOLDING, 3, 3))

    goals.add(0, 100)

    assert goals.are_reached()


def test_what_is_paused_short_of_its_goal_is_bad_input() -> None:
    """Each is named with where it stands; one that was paused by its last record is done."""
    goals = _goals((Life.PAUSED, 1, 3), (Life.FOLDING, 3, 3), (Life.PAUSED, 2, 3),
                   (Life.PAUSED, 3, 3))  # fmt: skip

    with pytest.raises(BadInput, match=re.escape("partition 0 at offset 1, 2 at offset 2; ")):
        goals.complain()


def test_a_place_that_is_missing_is_a_matter_of_configuration() -> None:
    """It is said before anything else: to mend it is somebody else's work."""
    goals = _goals((Life.PAUSED, 1, 3), waiting={4})

    with pytest.raises(Misconfigured, match=r"partitions \[4\] have no place"):
        goals.complain()


def test_where_all_came_to_their_goals_nothing_is_said() -> None:
    """It returns."""
    _goals((Life.FOLDING, 3, 3), (Life.PAUSED, 3, 3)).complain()
