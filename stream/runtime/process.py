"""What a command changes in its own process: hash seed, signals, garbage collection."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable

from stream.config import Settings


def with_hash_seed(settings: Settings) -> None:
    """Go on under the pipeline's PYTHONHASHSEED: some river models iterate over sets of strings."""
    seed = str(settings.effective_hash_seed)
    if os.environ.get("PYTHONHASHSEED") != seed:
        sys.stdout.flush()
        os.environ["PYTHONHASHSEED"] = seed
        os.execv(sys.executable, [sys.executable, "-m", "stream", *sys.argv[1:]])  # noqa: S606


def stop_on_signals(
    stopping: threading.Event, *, at_once: Callable[[], object] = lambda: None
) -> None:
    """Let SIGTERM and SIGINT set `stopping`; a second one ends the process at once.

    Args:
        stopping: may be set by others too; that is no signal.
        at_once: what must still be done before that end.
    """
    came: list[int] = []

    def stop(number: int, _frame: object) -> None:
        if came:
            at_once()
            os._exit(128 + number)
        came.append(number)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


GC_ALLOCATIONS = 50_000


def collect_rarely() -> None:
    """Let the cycle collector look at less, and less often.

    Every output is a few short-lived objects in the client, none of them a cycle; Python's default
    looks through all of them every 700 allocations, which took 4 of 52 µs of CPU an event.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 20)
