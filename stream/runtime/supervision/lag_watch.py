"""Looks at the committed offsets now and then, for one who must never wait for a client."""

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from stream.errors import StreamError
from stream.ports import Reader
from stream.runtime.lag import Standing, standings

LOOK_EVERY_S = 5.0
CLOSED_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at all partitions showed."""

    standings: dict[int, Standing]


@dataclass(frozen=True, slots=True)
class Blind:
    """A look that failed, and why."""

    why: Exception


class Lookout(Protocol):
    """Looks at the log for a supervisor."""

    def look(self) -> Seen | Blind | None:
        """Give the newest look, each only once; None: there is no newer one. Never waits."""
        ...


class ReaderLookout:
    """See `Lookout`: a reader of its own, in a thread of its own.

    Args:
        open_reader: makes the reader; after a failure it is called again.
        partitions: how many the events have.
        start: `topics.start`.
        every_s: the time to the first look, and from the end of one to the next.
    """

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        *,
        partitions: int,
        start: str,
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._open_reader = open_reader
        self._partitions = partitions
        self._start = start
        self._every_s = every_s
        self._newest: Seen | Blind | None = None
        self._failed: BaseException | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)
        self._thread.start()

    def look(self) -> Seen | Blind | None:
        """See `Lookout.look`. Raises whatever ended the thread."""
        if self._failed is not None:
            raise self._failed
        newest, self._newest = self._newest, None
        return newest

    def close(self) -> None:
        """Look no more; a call that hangs is left behind."""
        self._over.set()
        self._thread.join(CLOSED_WITHIN_S)

    def _run(self) -> None:
        """Look again and again; a failed look is an answer too, and anything worse is handed on."""
        try:
            while not self._over.wait(self._every_s):
                try:
                    self._look_on()
                except StreamError as error:
                    self._newest = Blind(error)
        except BaseException as error:  # noqa: BLE001  # handed on to the thread that asks
            self._failed = error

    def _look_on(self) -> None:
        with closing(self._open_reader()) as reader:
            while not self._over.is_set():
                found = standings(reader, partitions=self._partitions, start=self._start)
                self._newest = Seen(found)
                self._over.wait(self._every_s)
