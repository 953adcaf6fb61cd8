"""Cycles are collected when memory has grown, not when objects were made.

Python looks for dead cycles each time so many objects were allocated. A worker allocates few that
stay, so that is rare (`process.collect_rarely`); and a few objects can hold much: kafka-python's
client leaves a cycle behind for each connection that breaks, with the answer that was under way.
Measured, with connections that broke inside of answers of 4 MB: 200 MB in 5 seconds, of which
a heap full of holes then gave nothing back to the system.
"""

import ctypes
import gc
import threading
from collections.abc import Callable
from mmap import PAGESIZE
from pathlib import Path

LOOK_EVERY_S = 0.25
GROWTH_BYTES_MIN = 8 << 20
"""Growth is normal up to this much, or a quarter of all growth since the start: a model's."""

GARBAGE_N_MIN = 50
"""A collection that finds fewer tells of another reason to have grown: a broken connection leaves
about 30 objects, a worker that nothing disturbs none."""

_STATM = Path("/proc/self/statm")


class Collector:
    """Looks at the process's memory, and collects when it has grown.

    Args:
        resident_bytes: of the process; None: unknown here, then nothing is ever done.
        collect: a full collection; returns how many objects it found.
        trim: gives free memory back to the system.
    """

    def __init__(
        self,
        *,
        resident_bytes: Callable[[], int | None],
        collect: Callable[[], int] = gc.collect,
        trim: Callable[[], object] = lambda: None,
    ) -> None:
        self._resident_bytes = resident_bytes
        self._collect = collect
        self._trim = trim
        self._start_bytes = self._level_bytes = resident_bytes() or 0

    def look(self) -> None:
        """Collect, if memory has grown since the last time."""
        now_bytes = self._resident_bytes()
        if now_bytes is None:
            return
        growth_bytes = max(GROWTH_BYTES_MIN, (self._level_bytes - self._start_bytes) // 4)
        if now_bytes < self._level_bytes + growth_bytes:
            return
        if self._collect() >= GARBAGE_N_MIN:
            self._trim()
            now_bytes = self._resident_bytes() or now_bytes
        self._level_bytes = now_bytes

    def run(self) -> None:
        """Look for ever."""
        never = threading.Event()
        while not never.wait(LOOK_EVERY_S):
            self.look()


def watch() -> None:
    """Begin to look after this process, in a thread of its own."""
    collector = Collector(resident_bytes=resident_bytes, trim=_trimmer())
    threading.Thread(target=collector.run, name="memory", daemon=True).start()


def resident_bytes() -> int | None:
    """Of this process; None where there is no procfs."""
    try:
        return int(_STATM.read_text().split()[1]) * PAGESIZE
    except OSError:
        return None


def _trimmer() -> Callable[[], object]:
    """The allocator's own way to give memory back, which glibc has."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return lambda: None
    return lambda: trim(0)
