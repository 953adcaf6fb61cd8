"""Classifiers that give another answer in each process, or after a restart; each in its own way."""

import datetime as dt
import random
import time
from typing import Any

import numpy as np
from river import base

random.seed(42)  # seeded where it is loaded, and so not where a state is restored
counted = 0


class _Constant(base.Classifier):
    def learn_one(self, x: Any, y: Any) -> None:  # noqa: ARG002
        self._keep()

    def _keep(self) -> None:
        pass

    def _p(self) -> float:
        return 0.5

    def predict_proba_one(self, x: Any, **_more: Any) -> dict[Any, float]:  # noqa: ARG002
        """The same for every event."""
        p = self._p()
        return {True: p, False: 1 - p}


class Fine(_Constant):
    """Repeats itself, with a generator that has a seed."""

    def __init__(self, seed: int = 3) -> None:
        self.seed = seed
        self.chance = random.Random(seed)

    def _p(self) -> float:
        return self.chance.random()


class Draws(_Constant):
    """From the generator that belongs to nobody."""

    def _p(self) -> float:
        return random.random()


class DrawsByNumpy(_Constant):
    """The same, numpy's."""

    def _p(self) -> float:
        return float(np.random.random())  # noqa: NPY002


class NeverSeeded(_Constant):
    """Holds a generator without a seed, and has not drawn from it yet."""

    def __init__(self) -> None:
        self.chance = np.random.default_rng()


class Looks(_Constant):
    """At the clock."""

    def _p(self) -> float:
        return time.time() % 86_400 / 86_400


class LooksAtTheHour(_Constant):
    """At the clock, and sees the same for an hour."""

    def _p(self) -> float:
        return dt.datetime.now().hour / 24  # noqa: DTZ005


class LooksAtTheDay(_Constant):
    """At the calendar."""

    def _p(self) -> float:
        return 1 / dt.date.today().toordinal()  # noqa: DTZ011


class GoesByPlace(_Constant):
    """By where an object lies."""

    def _p(self) -> float:
        return hash(self) % 1_000_003 / 1_000_003


class GoesByOrder(_Constant):
    """By the order of a set of objects, which follows from where they lie."""

    def _p(self) -> float:
        things = [base.Base() for _ in range(8)]
        return sum(n * things.index(thing) for n, thing in enumerate(set(things))) / 1_000


class KeepsKeys(_Constant):
    """What it learns lies under a key that no restart finds again."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}

    def _keep(self) -> None:
        self.seen[id(self)] = self.seen.get(id(self), 0) + 1

    def _p(self) -> float:
        return 1 / (1 + self.seen.get(id(self), 0))


class KeepsOutside(_Constant):
    """What it learns lies in its module, which no snapshot holds."""

    def _keep(self) -> None:
        global counted  # noqa: PLW0603
        counted += 1

    def _p(self) -> float:
        return 1 / (1 + counted)


class RunsOut(_Constant):
    """Of memory, which is its process's failure."""

    def _p(self) -> float:
        raise MemoryError
