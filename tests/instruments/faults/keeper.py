"""What a service manager does: a worker that ended is started again, after a pause that grows."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.instruments.faults.run import Run
from tests.instruments.faults.worker import RESTART_CODES, Broke, Worker

PAUSE_S, PAUSE_S_MAX = 0.5, 4.0
SETTLED_S = 20.0
"""One that ran so long is started again at once, as the first time."""

ENDS_WITHIN_S = 120.0


class Keeper:
    """Keeps one worker running; `look` is called all the while, from one thread.

    Attributes:
        ended: how often its workers ended, by exit code or signal.
    """

    def __init__(self, run: Run, *, instance: str | None, environment: dict[str, str]) -> None:
        self.name = instance or "unnamed"
        self.ended: Counter[int] = Counter()
        self._run = run
        self._instance = instance
        self._environment = environment
        self._hold = threading.Lock()
        self._wanted: set[int] = set()
        self._quick_n = 0
        self._due_at = 0.0
        self._terminated_at: float | None = None
        self.worker = self._start()

    def _start(self) -> Worker:
        self._terminated_at = None
        return self._run.start(instance=self._instance, environment=self._environment)

    def kill(self) -> None:
        """SIGKILL."""
        with self._hold:
            self._wanted.add(-signal.SIGKILL)
            self.worker.kill()

    def terminate(self) -> None:
        """SIGTERM; `look` starts a new one once it ended."""
        with self._hold:
            # A second SIGTERM means "at once", and no drain would be seen.
            if self.worker.running and self._terminated_at is None:
                # Before it works, Python's own answer to the signal is the right one.
                is_early = not self.worker.has_started
                self._wanted |= {0, -signal.SIGTERM} if is_early else {0}
                self._terminated_at = time.monotonic()
                self.worker.signal(signal.SIGTERM)

    @contextmanager
    def held(self) -> Iterator[Worker]:
        """The worker, which nobody replaces meanwhile."""
        with self._hold:
            yield self.worker

    def look(self) -> None:
        """Start it again if it ended. Raises: Broke: it ended in a way that nobody restarts."""
        if not self._hold.acquire(blocking=False):
            return
        try:
            self._look()
        finally:
            self._hold.release()

    def _look(self) -> None:
        now = time.monotonic()
        if self.worker.running:
            since = self._terminated_at
            if since is not None and now - since > ENDS_WITHIN_S:
                raise Broke(f"{self.name} does not end after SIGTERM: {self.worker.log[-600:]}")
            return
        if not self._due_at:
            code = self.worker.ends(within_s=1)
            self.ended[code] += 1
            if code not in {*RESTART_CODES, *self._wanted}:
                raise Broke(f"{self.name}: exit {code}: {self.worker.log[-600:]}")
            lived_s = time.time() - self.worker.began_at
            self._quick_n = 0 if lived_s > SETTLED_S else self._quick_n + 1
            self._due_at = now + min(PAUSE_S * 2**self._quick_n, PAUSE_S_MAX)
        if now >= self._due_at:
            self._wanted, self._due_at = set(), 0.0
            self.worker = self._start()
