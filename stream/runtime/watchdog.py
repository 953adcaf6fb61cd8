"""A deadline on everything that can hang, watched from outside.

A client's call that never returns cannot be interrupted; the process can only end. It is
crash-only, so that costs what any crash costs.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from pathlib import PurePath
from traceback import walk_stack
from typing import NamedTuple, Self

from stream.errors import ExitCode
from stream.telemetry import LogEvent, Telemetry

_LOOK_S = 0.25
_STOPPED_S = 1.0
"""A look that comes so much too late: the process was stopped, and its calls could not go on."""

_FRAMES_N = 3

Deadlined = Callable[[str, float], AbstractContextManager[None]]
"""`Watchdog.watch`: what is done, and the seconds it may take."""


def without_deadline(what: str, seconds: float) -> AbstractContextManager[None]:  # noqa: ARG001
    """Watch nothing: where no thread may hang."""
    return nullcontext()


class _Watched(NamedTuple):
    """What a thread is doing, and until when it may."""

    what: str
    end_s: float
    thread: int

    @property
    def place(self) -> str:
        """The calls that the thread is in, innermost first: all that will be left of it."""
        frame = sys._current_frames().get(self.thread)  # noqa: SLF001  # documented, in spite of its name
        places = [
            f"{PurePath(at.f_code.co_filename).name}:{line} {at.f_code.co_name}"
            for at, line in islice(walk_stack(frame), _FRAMES_N)
        ]
        return f"it is at {' < '.join(places)}"


class Watchdog:
    """Ends the process when a watched call of one thread outlives its deadline.

    Args:
        on_hang: called with one line before the end, for the log.
        end: how to end; takes the exit code.
    """

    def __init__(
        self, on_hang: Callable[[str], None], end: Callable[[int], object] = os._exit
    ) -> None:
        self._on_hang = on_hang
        self._end = end
        self._watched: _Watched | None = None
        self._stopped_s = 0.0
        self._over = threading.Event()
        threading.Thread(target=self._look, name="watchdog", daemon=True).start()

    @classmethod
    def saying(cls, telemetry: Telemetry) -> Self:
        """One that logs why the process ends."""
        return cls(lambda why: telemetry.say(LogEvent.CALL_HUNG, level=logging.ERROR, why=why))

    @contextmanager
    def watch(self, what: str, seconds: float) -> Iterator[None]:
        """Let the calls in the block take `seconds` at most.

        Within another watch the time of that one stands still meanwhile; so it does while the
        process is stopped (SIGSTOP, a frozen container).
        """
        outer, began = self._watched, self._now_s()
        self._watched = _Watched(what, began + seconds, threading.get_ident())
        try:
            yield
        finally:
            if outer is not None:
                outer = outer._replace(end_s=outer.end_s + self._now_s() - began)
            self._watched = outer

    def close(self) -> None:
        """Stop looking."""
        self._over.set()

    def _now_s(self) -> float:
        """A clock that stands still while the process is stopped, as far as `_look` knows it."""
        return time.monotonic() - self._stopped_s

    def _look(self) -> None:
        """End the process when a watched call is late; time that it was stopped does not count."""
        looked_s = self._now_s()
        while not self._over.wait(_LOOK_S):
            late_s = self._now_s() - looked_s - _LOOK_S
            if late_s > _STOPPED_S:
                self._stopped_s += late_s
            looked_s, watched = self._now_s(), self._watched
            if watched is not None and looked_s > watched.end_s:
                self._on_hang(f"{watched.what} did not return within its deadline; {watched.place}")
                self._end(ExitCode.INTERNAL)
                return
