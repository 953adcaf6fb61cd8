"""The simulation itself under test: it must find mistakes that we plant."""

import pytest

from tests.simulation.hunt import hunt
from tests.simulation.planted import BUGS
from tests.simulation.test_schedules import SEEDS_N

BUGS_N_MIN = 25


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    """A mistake that no seed shows means that the simulation is too weak."""
    found = hunt(name)

    assert found.seeds_n is not None, f"not found: {name}"


def test_there_are_enough_of_them_and_most_are_found_by_every_test_run() -> None:
    """The seeds that run with the tests must be worth something by themselves."""
    common = [name for name in list(BUGS)[::4] if hunt(name, seeds_max=SEEDS_N).seeds_n is not None]

    assert len(BUGS) >= BUGS_N_MIN
    assert len(common) > len(BUGS) / 4 * 0.7
