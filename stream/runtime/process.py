"""What a command changes in its own process: environment, signals, garbage collection."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from stream.config import Settings, load
from stream.errors import Misconfigured
from stream.runtime.house import House

MALLOC_ARENAS = "2"
"""The client makes threads for each new producer, and glibc gives threads heaps of their own, from
which little comes back: in 23 minutes of faults a worker grew by 32 MB, with two heaps by 14."""


def environment(settings: Settings) -> dict[str, str]:
    """The variables that must be there before a worker's interpreter starts."""
    return {
        # Some river models iterate over sets of strings.
        "PYTHONHASHSEED": str(settings.effective_hash_seed),
        "MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", MALLOC_ARENAS),
    }


def opened_in_its_environment(open_house: Callable[[Path], House], path: Path) -> House:
    """A pipeline, in an interpreter that was started with its `environment`: perhaps a new one.

    Raises: Misconfigured.
    """
    with suppress(Misconfigured):  # the other look says all that is wrong at once
        # Before river is loaded, or a new interpreter would load it again.
        settings = load(path, environ=os.environ, without=("detectors",))
        start_again_with(environment(settings))
    house = open_house(path)
    start_again_with(environment(house.settings))
    return house


def start_again_with(variables: Mapping[str, str]) -> None:
    """Go on as a new interpreter with these variables, unless they are there already."""
    if variables.items() <= os.environ.items():
        return
    sys.stdout.flush()
    os.environ.update(variables)
    os.execv(sys.executable, [sys.executable, "-m", "stream", *sys.argv[1:]])  # noqa: S606


def stop_on_signals(
    stopping: threading.Event, *, at_once: Callable[[], object] = lambda: None
) -> None:
    """Let SIGTERM and SIGINT set `stopping`; a second one ends the process at once.

    Args:
        stopping: may be set by others too; that is no signal.
        at_once: what must still be done before that end.
    """
    # A handler runs between two steps of the main thread. If that one waits for `stopping`, it may
    # have the lock that `set` takes: only another thread may set it. And `put` takes no lock.
    came = SimpleQueue[int]()

    def listen() -> None:
        came.get()
        stopping.set()
        number = came.get()
        at_once()
        os._exit(128 + number)

    threading.Thread(target=listen, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: came.put(number))


GC_ALLOCATIONS = 50_000


def collect_rarely() -> None:
    """Let the cycle collector look at less, and less often.

    Every output is a few short-lived objects in the client, none of them a cycle; Python's default
    looks through all of them every 700 allocations, which took 4 of 52 µs of CPU an event.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 20)
