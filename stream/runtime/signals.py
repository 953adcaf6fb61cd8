"""Stop signals: SIGTERM and SIGINT end a command well, the second one at once.

Apart from everything else, for who keeps them must not load much first.
"""

import os
import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue

STOP = (signal.SIGTERM, signal.SIGINT)


def hold() -> None:
    """Keep stop signals until `listen` hears them, in a new interpreter of this process too.

    A worker that is told to stop in its first moments has nothing to drain, and ends well too.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)


def _never() -> bool:
    return False


def listen(
    stopping: threading.Event,
    *,
    at_once: Callable[[], object] = lambda: None,
    is_idle: Callable[[], bool] = _never,
) -> None:
    """Let stop signals set `stopping`, those that were held too; a second one ends the process.

    Args:
        stopping: may be set by others too; that is no signal.
        at_once: what must still be done before that end.
        is_idle: nothing is under way that would have to be ended; then the first signal ends the
            process, too, and well: with 0.
    """
    # A handler runs between two steps of the main thread. If that one waits for `stopping`, it may
    # have the lock that `set` takes: only another thread may set it. And `put` takes no lock.
    came = SimpleQueue[int]()

    def wait() -> None:
        came.get()
        if is_idle():
            os._exit(0)
        stopping.set()
        number = came.get()
        at_once()
        os._exit(128 + number)

    threading.Thread(target=wait, name="signals", daemon=True).start()
    for number in STOP:
        signal.signal(number, lambda number, _frame: came.put(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)
