"""Real time, and its end: a stop signal wakes every sleeper."""

import threading
import time


class SystemClock:
    """See `stream.ports.Clock`."""

    def __init__(self, stopping: threading.Event | None = None) -> None:
        self._stopping = stopping or threading.Event()

    monotonic = staticmethod(time.monotonic)
    """See `Clock.monotonic`; asked after each event, so without a call in between."""

    def now_ms(self) -> int:
        """See `Clock.now_ms`."""
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        self._stopping.wait(seconds)
