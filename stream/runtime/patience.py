"""Waiting for a server that has just started: what a command asks of it is asked again, a while.

One that nobody reaches is another matter: that is told at once, for it is likelier a wrong address.
"""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from stream.errors import NotReady

WAIT_S = 30.0
"""A broker that starts, or a coordinator that loads a large topic, needs seconds."""

SILENT_S = 2.0
EVERY_S = 0.2

Adapter = TypeVar("Adapter")
Answer = TypeVar("Answer")


class Patience:
    """A command's patience: from the first "not ready yet" on it lasts so long, once.

    Args:
        say: tells people what is waited for.
        wait_s: the longest wait.

    Attributes:
        is_waiting: whether something waits just now.
    """

    def __init__(self, say: Callable[[str], None], *, wait_s: float = WAIT_S) -> None:
        self._say = say
        self._wait_s = wait_s
        self._since_s: float | None = None
        self._has_said = self._is_over = self.is_waiting = False

    def end(self) -> None:
        """From now on nothing is waited for: a worker has a loop, and deadlines, of its own."""
        self._is_over = True

    def through(self, adapter: Adapter) -> Adapter:
        """The adapter, each of whose calls is made again while the server is not ready."""
        return cast("Adapter", _Patient(adapter, self))

    def ask(self, call: Callable[[], Answer]) -> Answer:
        """Call, and again while not ready. Raises: NotReady: too long; what the call raises."""
        while True:
            try:
                return call()
            except NotReady as error:
                now = time.monotonic()
                self._since_s = now if self._since_s is None else self._since_s
                waited_s = now - self._since_s
                if self._is_over or waited_s >= self._wait_s:
                    raise
                if waited_s >= SILENT_S and not self._has_said:
                    self._has_said = True
                    self._say(f"waiting up to {self._wait_s:.0f} s: {error}")
            self.is_waiting = True
            time.sleep(EVERY_S)
            self.is_waiting = False


class _Patient:
    def __init__(self, adapter: Any, patience: Patience) -> None:
        self._adapter = adapter
        self._patience = patience

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._adapter, name)
        if not callable(found):
            return found

        @wraps(found)
        def patiently(*args: Any, **kwargs: Any) -> Any:
            return self._patience.ask(lambda: found(*args, **kwargs))

        return patiently
