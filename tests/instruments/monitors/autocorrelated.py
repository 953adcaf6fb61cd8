"""One feature that depends on its own past: how often it is wrong, and how soon right."""

from collections.abc import Iterator
from statistics import median

import numpy as np
import numpy.typing as npt

from stream.core.monitoring.blocks import block
from stream.core.monitoring.found import Chances
from stream.core.monitoring.monitors_spec import BLOCK_N, MonitorsSpec
from stream.core.monitoring.variable import Variable

REFERENCE_N = 20  # blocks
AFTER_N = 20
SHIFTS = (0.5, 1.0, 2.0)
_SPEC = MonitorsSpec()


def blocks(rho: float, n: int, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    """Blocks of an autoregressive process of order 1, with variance 1."""
    drawn, last = np.random.default_rng(seed), 0.0
    scale = (1.0 - rho * rho) ** 0.5
    for _ in range(n):
        values = np.empty(BLOCK_N)
        for at, noise in enumerate(drawn.normal(size=BLOCK_N) * scale):
            last = values[at] = rho * last + noise
        yield values


def learned(source: Iterator[npt.NDArray[np.float64]], features_n: int) -> Variable:
    """A variable whose reference is complete, with its share of the budget."""
    variable = Variable(_SPEC.least_n)
    for _ in range(REFERENCE_N):
        variable.learn(block(next(source).tolist()))
    chance = BLOCK_N / (4.0 * _SPEC.budget_events * features_n)
    variable.complete(Chances(chance, 1e15))
    return variable


def false_alarms(rho: float, *, runs_n: int, blocks_n: int, features_n: int) -> float:
    """Beginnings of a moved distribution in 100,000 events of which nothing changes."""
    begun_n = 0
    for seed in range(runs_n):
        source = blocks(rho, REFERENCE_N + blocks_n, seed)
        variable, was_moved = learned(source, features_n), False
        for values in source:
            variable.watch(block(values.tolist()))
            begun_n += variable.is_moved and not was_moved
            was_moved = variable.is_moved
    return 1e5 * begun_n / (runs_n * blocks_n * BLOCK_N)


def delay(rho: float, shift: float, *, runs_n: int, features_n: int) -> tuple[float, int]:
    """After how many events a shift is found (median of those found), and in how many runs."""
    found = []
    for seed in range(runs_n):
        source = blocks(rho, REFERENCE_N + AFTER_N, 1000 + seed)
        variable = learned(source, features_n)
        for n, values in enumerate(source, 1):
            variable.watch(block((values + shift).tolist()))
            if variable.is_moved:
                found.append(n * BLOCK_N)
                break
    return (median(found) if found else 0.0), len(found)
