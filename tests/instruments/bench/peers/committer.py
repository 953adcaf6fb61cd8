"""A thread that commits one batch while the next one is learned: group commit."""

import queue
import threading
from collections.abc import Callable
from typing import Any

Outputs = list[tuple[bytes, bytes]]


class Committer:
    """Runs `commit(outputs, position, metadata)` beside the loop, one at a time."""

    def __init__(self, commit: Callable[[Outputs, int, Any], None]) -> None:
        self._commit = commit
        self._jobs: queue.SimpleQueue[tuple[Outputs, int, Any]] = queue.SimpleQueue()
        self._free = threading.Semaphore(1)
        self._failed: BaseException | None = None
        threading.Thread(target=self._work, daemon=True).start()

    def take(self, outputs: Outputs, position: int, metadata: Any, *, wait: bool) -> bool:
        """Hand a batch over. Returns: False: the last one is still under way (never with `wait`).

        Raises: whatever the last commit raised.
        """
        if not self._free.acquire(blocking=wait):
            return False
        self._complain()
        self._jobs.put((outputs, position, metadata))
        return True

    def wait(self) -> None:
        """Until all is committed. Raises: as `take`."""
        self._free.acquire()
        self._complain()

    def _complain(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _work(self) -> None:
        while self._failed is None:
            try:
                self._commit(*self._jobs.get())
            except BaseException as error:  # noqa: BLE001  # raised again in the loop's thread
                self._failed = error
            self._free.release()
