"""A deadline on everything that can hang, watched from outside.

A client's call that never returns cannot be interrupted; the process can only end. It is
crash-only, so that costs what any crash costs.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stream.errors import ExitCode

_LOOK_S = 0.25


class Watchdog:
    """Ends the process when a watched call outlives its deadline.

    Args:
        on_hang: called with one line before the end, for the log.
        end: how to end; takes the exit code.
    """

    def __init__(
        self, on_hang: Callable[[str], None], end: Callable[[int], object] = os._exit
    ) -> None:
        self._on_hang = on_hang
        self._end = end
        self._watched: tuple[str, float] | None = None
        self._over = threading.Event()
        threading.Thread(target=self._look, name="watchdog", daemon=True).start()

    @contextmanager
    def watch(self, what: str, seconds: float) -> Iterator[None]:
        """Give the calls inside `seconds` to return.

        Within another watch the time of that one stands still meanwhile.
        """
        outer, began = self._watched, time.monotonic()
        self._watched = (what, began + seconds)
        try:
            yield
        finally:
            if outer is not None:
                outer = (outer[0], outer[1] + time.monotonic() - began)
            self._watched = outer

    def close(self) -> None:
        """Stop looking."""
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_S):
            watched = self._watched
            if watched is not None and time.monotonic() > watched[1]:
                self._on_hang(f"{watched[0]} did not return within its deadline")
                self._end(ExitCode.INTERNAL)
                return
