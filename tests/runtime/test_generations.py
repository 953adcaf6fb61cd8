"""Which generation a recipe is at a start, and which partitions it leaves to others."""

import msgspec
import pytest

from stream.core.snapshots.metadata import FIRST, REPLACED_MAX, Generation
from stream.errors import Fenced
from stream.ports import Committed
from stream.runtime.generations import generation_at_start, refuse_older
from tests.runtime.surroundings import RECIPE, Surroundings, events, folded

OURS = RECIPE.fingerprint()
OTHER, THIRD = "00000001", "00000002"


def _committed(fingerprint: str, number: int, *replaced: str, n: int = 3) -> Committed:
    """What a worker of such a recipe commits."""
    task = folded(events(n))
    task.generation = Generation(number, replaced)
    return Committed(n, task.metadata().encode().replace(f"f={OURS}", f"f={fingerprint}"))


FOREIGN = Committed(5, "another tool's")


@pytest.mark.parametrize(
    ("committed", "generation"),
    [
        ([], FIRST),
        ([FOREIGN], FIRST),
        ([_committed(OURS, 4, OTHER)], Generation(4, (OTHER,))),  # a restart
        ([_committed(OTHER, 1)], Generation(2, (OTHER,))),  # it takes another's place
        ([_committed(OTHER, 3, THIRD)], Generation(4, (OTHER, THIRD))),
        # In the middle of a deploy the newest one counts, wherever it is.
        ([_committed(OTHER, 1), _committed(OURS, 2, OTHER)], Generation(2, (OTHER,))),
        ([_committed(OURS, 2, OTHER), _committed(OTHER, 1)], Generation(2, (OTHER,))),
        ([FOREIGN, _committed(OTHER, 1)], Generation(2, (OTHER,))),
        # Two began at once, each on a partition: whichever starts again first is the newer one.
        ([_committed(OURS, 1), _committed(OTHER, 1)], Generation(2, (OTHER,))),
        ([_committed(OTHER, 3, OURS), _committed(OURS, 3)], Generation(4, (OTHER,))),
    ],
)
def test_which_generation_a_recipe_is(committed: list[Committed], generation: Generation) -> None:
    """By what its group has committed; whether it may return is not asked where it is new."""

    def may_return() -> bool:
        raise AssertionError("nobody took its place")

    found = generation_at_start(RECIPE, dict(enumerate(committed)), may_return=may_return)

    assert found == generation


@pytest.mark.parametrize(
    ("may_return", "generation"), [(True, Generation(6, (OTHER,))), (False, Generation(3))]
)
def test_a_recipe_whose_place_was_taken_returns_only_if_it_may(
    generation: Generation, *, may_return: bool
) -> None:
    """Else it is what it was on the partitions that are left to it: two never take turns."""
    committed = {0: _committed(OTHER, 5, OURS), 1: _committed(OURS, 3), 2: _committed(OURS, 2)}

    assert generation_at_start(RECIPE, committed, may_return=lambda: may_return) == generation


def test_a_recipe_that_has_no_partition_left_is_older_than_all() -> None:
    """It finds none that it may fold."""
    committed = {0: _committed(OTHER, 5, OURS)}

    assert generation_at_start(RECIPE, committed, may_return=lambda: False) == Generation(0)


def test_the_recipes_of_long_ago_are_forgotten() -> None:
    """The line beside an offset has its bounds."""
    older = [f"{n:08x}" for n in range(100, 100 + REPLACED_MAX)]

    found = generation_at_start(
        RECIPE, {0: _committed(OTHER, 50, *older)}, may_return=lambda: False
    )

    assert found.replaced == (OTHER, *older[:-1])


@pytest.mark.parametrize(
    ("fingerprint", "number", "is_refused"),
    [
        (OURS, 9, False),  # its own state, whatever its number
        (OTHER, 1, False),  # an older one's: this is the deploy
        (OTHER, 2, True),  # two at a time took the same number: neither takes from the other
        (OTHER, 3, True),
    ],
)
def test_what_a_newer_recipe_has_folded_is_left_to_it(
    fingerprint: str, number: int, *, is_refused: bool
) -> None:
    """The process ends there, and the others have it."""
    task = folded(events(3))
    task.generation = Generation(number)
    known = msgspec.structs.replace(task.metadata(), fingerprint=fingerprint)
    sources = Surroundings().sources(generation=Generation(2))

    if not is_refused:
        refuse_older(known, sources, 0)
        return
    with pytest.raises(Fenced, match=rf"partition 0 .*generation {number}, {OTHER}; ours is 2"):
        refuse_older(known, sources, 0)
