"""The simulation itself under test: it must find mistakes that we plant."""

import pytest

from tests.simulation.planted import BUGS
from tests.simulation.simulation import Failed, simulate
from tests.simulation.world import Parts

SEEDS_MAX = 300


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake that no seed shows means that the simulation is too weak."""
    parts = BUGS[name](monkeypatch)

    found = next((seed for seed in range(SEEDS_MAX) if _fails(seed, parts)), None)

    assert found is not None, f"{SEEDS_MAX} seeds do not show: {name}"


def _fails(seed: int, parts: Parts) -> bool:
    try:
        simulate(seed, parts=parts)
    except Failed as failed:
        if not isinstance(failed.__cause__, AssertionError):
            raise  # not what it does was found: it does not fit the code any more
        return True
    return False
