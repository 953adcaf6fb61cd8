"""The program of a process that folds some events once more, in a world of its own.

It reads on stdin what to fold, and answers on stdout (see `repeated_fold`). What the recipe holds
is as in the first process. Everything else that a model could lean on is different: the process and
where its objects lie, the clock, and every random generator that was given no seed.
"""

import ctypes
import datetime as dt
import gc
import os
import pickle
import random
import signal
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from stream.deferred import load_river

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
    load_river()
    job = pickle.load(sys.stdin.buffer)  # noqa: S301  # of the parent
    sys.path[:] = job.pop("path")
    from stream.runtime import repeated_fold  # noqa: PLC0415

    answer = (
        repeated_fold.fold_in_two_halves(job) if world == OTHER else repeated_fold.fold_all(job)
    )
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
    """From now on the clock of this process is ahead.

    The class of the times stays the one it is, and gets other methods: compiled code builds on its
    layout, and with a class in its place pandas, and so scikit-learn in river's wrapping, ended the
    process as it was loaded. `today` asks `time.time`.
    """
    plain_s, plain_ns = time.time, time.time_ns
    time.time = lambda: plain_s() + AHEAD_S
    time.time_ns = lambda: plain_ns() + AHEAD_S * 1_000_000_000
    own: dict[str, Any] = gc.get_referents(vars(dt.datetime))[0]  # of a built-in class: read-only
    for name in ("now", "utcnow"):
        own[name] = _ahead(own[name])
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(dt.datetime))


def _ahead(plain: Any) -> Any:
    ahead = dt.timedelta(seconds=AHEAD_S)

    def moved(cls: type[dt.datetime], *args: Any, **kwargs: Any) -> Any:
        return plain.__get__(None, cls)(*args, **kwargs) + ahead

    return classmethod(moved)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
