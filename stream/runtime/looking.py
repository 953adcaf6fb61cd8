"""A thread that looks beside the loop at what comes in other topics than the events'."""

import threading
from collections.abc import Callable
from typing import Final, Protocol

from stream.ports import Clock

LOOK_EVERY_S: Final = 0.5
"""How late what is new may be seen, where nobody waits for it."""

LOOK_SHARE: Final = 0.005
"""So much of its time it may look: of many partitions less often."""

LOOK_EVERY_S_MAX: Final = 1.0
"""However long a look took: a broker that answers late is no reason to ask it later, and a command
is to be done within two seconds."""


class Looker(Protocol):
    """What looks.

    Attributes:
        failure: a mistake of ours that ended the thread; whoever it works for raises it.
    """

    failure: Exception | None

    def looked_at_by(self, look_now: Callable[[], object]) -> None:
        """Say that a thread looks, and how it is woken."""
        ...

    def look(self) -> None:
        """Look once; raises only mistakes of ours."""
        ...

    def close(self) -> None:
        """Free what looking took."""
        ...


class Looking:
    """Looks in a thread, every so often, and at once where somebody waits for it.

    Args:
        looker: what looks.
        name: the thread's.
        clock: says how long a look took.
    """

    def __init__(self, looker: Looker, name: str, *, clock: Clock) -> None:
        self._looker = looker
        self._clock = clock
        self._is_over = False
        self._now = threading.Event()
        looker.looked_at_by(self._now.set)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        """Look until it is closed."""
        try:
            while not self._is_over:
                self._now.clear()
                began = self._clock.monotonic()
                self._looker.look()
                took_s = self._clock.monotonic() - began
                self._now.wait(min(max(LOOK_EVERY_S, took_s / LOOK_SHARE), LOOK_EVERY_S_MAX))
        except Exception as error:  # noqa: BLE001  # the loop raises it
            self._looker.failure = error
        self._looker.close()

    def close(self) -> None:
        """End it; a call that hangs is left behind."""
        self._is_over = True
        self._now.set()
        self._thread.join(timeout=1.0)
