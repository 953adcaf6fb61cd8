"""The program of a process that folds some events once more, in a world of its own.

It is told on stdin what to fold, and answers on stdout (see `repeating`). Of what the recipe holds
nothing is changed; everything else that a model could lean on is: the process and where its objects
lie, the clock, and every random generator that no seed was given to.
"""

import datetime as dt
import os
import pickle
import random
import signal
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER = "other"
"""The argument that asks for another world."""

AHEAD_S = 40 * 86_400 + 7 * 3_600 + 13 * 60 + 17
"""Another month, day of the week, hour and minute."""


def main(world: str, deadline_s: int) -> None:
    """Read the job, fold, answer; nothing that the model prints gets between."""
    signal.alarm(deadline_s)  # should the parent be gone
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    nothing = os.open(os.devnull, os.O_WRONLY)
    for file in (sys.stdout, sys.stderr):
        os.dup2(nothing, file.fileno())
    moved: list[object] = []
    if world == OTHER:
        # Before anything of river or the user is loaded.
        moved = other_addresses()
        other_clock()
    job = pickle.load(sys.stdin.buffer)  # noqa: S301  # of the parent
    sys.path[:] = job.pop("path")
    from stream.runtime import repeating  # noqa: PLC0415

    answer = repeating.fold_in_two_halves(job) if world == OTHER else repeating.fold_all(job)
    answers.write(pickle.dumps(answer))
    answers.flush()
    del moved
    # Whatever threads or files the model left behind must not hold the answer up.
    os._exit(0)


def other_addresses() -> list[object]:
    """Take some objects of every small size, so that later ones lie elsewhere, even within a page.

    The system moves whole pages from process to process; where an object lies within its page, and
    with it the order of small sets, follows from what was made before.
    """
    chance = random.SystemRandom()
    makers: list[Callable[[], object]] = [object, chance.random, partial(list, ()), dict]
    makers += [partial(bytes, size) for size in range(1, 480, 8)]
    return [make() for make in makers for _ in range(chance.randrange(1, 200))]


def other_clock() -> None:
    """From now on the clock of this process is ahead."""
    plain_s, plain_ns = time.time, time.time_ns
    time.time = lambda: plain_s() + AHEAD_S
    time.time_ns = lambda: plain_ns() + AHEAD_S * 1_000_000_000
    ahead = dt.timedelta(seconds=AHEAD_S)

    class _IsTheOriginal(type):
        """Whatever C code makes is still an instance of the class that stands in for it."""

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, cls.__mro__[1])

    class _Datetime(dt.datetime, metaclass=_IsTheOriginal):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return super().now(tz) + ahead

        @classmethod
        def utcnow(cls) -> Any:
            return cls.now(dt.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return cls.now()

    class _Date(dt.date, metaclass=_IsTheOriginal):
        @classmethod
        def today(cls) -> Any:
            return super().today() + ahead

    for name, stand_in in (("datetime", _Datetime), ("date", _Date)):
        # Under its own name, as pickle looks for it.
        stand_in.__module__, stand_in.__qualname__, stand_in.__name__ = "datetime", name, name
        setattr(dt, name, stand_in)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
