"""How many seeds it takes to find a planted bug."""

from dataclasses import dataclass

import pytest

from tests.instruments.simulation.planted import BUGS, SEEDS_MAX
from tests.instruments.simulation.simulation import Simulation
from tests.instruments.simulation.world import Parts


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a hunt.

    Attributes:
        seeds_n: that were needed; None = it was not found.
        what: the violation that betrayed it.
    """

    name: str
    seeds_n: int | None
    what: str = ""

    def __str__(self) -> str:
        """One line of the list."""
        seeds = "not found" if self.seeds_n is None else f"{self.seeds_n} seeds"
        return f"{self.name:<45} {seeds:>10}  {self.what[:90]}"


def hunt(name: str, *, first: int = 0, seeds_max: int = SEEDS_MAX) -> Found:
    """Run seeds from `first` on until one shows the bug of that name."""
    with pytest.MonkeyPatch.context() as patch:
        parts = BUGS[name](patch)
        for seed in range(first, first + seeds_max):
            what = shown(seed, parts)
            if what is not None:
                return Found(name, seed - first + 1, what)
    return Found(name, None)


def shown(seed: int, parts: Parts) -> str | None:
    """What is wrong with a seed. Raises: what no planted bug does, so it fits the code no more."""
    try:
        Simulation(seed, parts=parts).run()
    except AssertionError as error:
        return str(error)
    return None
