"""Cycles are collected when memory has grown or time has passed, not when objects were made.

Python looks for dead cycles each time so many objects were allocated. A worker allocates few that
stay, so that is rare (`process.collect_rarely`); and a few objects can hold much: kafka-python's
client leaves a cycle behind for each connection that breaks, with the answer that was under way.
Measured, with connections that broke inside of answers of 4 MB: 200 MB in 5 seconds, of which
a heap full of holes then gave nothing back to the system. And what is dead for long has live
neighbours in the end: in half an hour of faults a worker kept 29 MB more than at first.
"""

import ctypes
import gc
import math
import threading
import time
from collections.abc import Callable
from mmap import PAGESIZE
from pathlib import Path

LOOK_EVERY_S = 0.25
GROWTH_BYTES_MIN = 8 << 20
"""Growth is normal up to this much, or a quarter of all growth since the start: a model's."""

GARBAGE_N_MIN = 50
"""A collection that finds fewer tells of another reason to have grown: a broken connection leaves
about 30 objects, a worker that nothing disturbs none."""

SWEEP_EVERY_S = 10.0
SWEEP_S_MAX = 0.01
"""Where a collection takes longer it waits for growth: it holds the events up, and how long goes by
what the model is made of. Without one it takes 1 to 3 ms."""

_STATM = Path("/proc/self/statm")


class Collector:
    """Looks at the process's memory, and collects when it has grown; and now and then, if quick.

    Args:
        resident_bytes: the memory that the process holds; None: unknown, then nothing is done.
        collect: a full collection; returns how many objects it found.
        trim: gives free memory back to the system.
        now_s: a clock.
        worked_s: how long this thread has worked, whatever else kept the machine busy.
    """

    def __init__(
        self,
        *,
        resident_bytes: Callable[[], int | None],
        collect: Callable[[], int] = gc.collect,
        trim: Callable[[], object] = lambda: None,
        now_s: Callable[[], float] = time.monotonic,
        worked_s: Callable[[], float] = time.thread_time,
    ) -> None:
        self._resident_bytes = resident_bytes
        self._collect = collect
        self._trim = trim
        self._now_s = now_s
        self._worked_s = worked_s
        self._sweep_at_s = now_s() + SWEEP_EVERY_S
        self._start_bytes = self._level_bytes = resident_bytes() or 0

    def look(self) -> None:
        """Collect, if memory has grown since the last time, or that is long ago."""
        now_bytes = self._resident_bytes()
        if now_bytes is None:
            return
        growth_bytes = max(GROWTH_BYTES_MIN, (self._level_bytes - self._start_bytes) // 4)
        has_grown = now_bytes >= self._level_bytes + growth_bytes
        if not has_grown and self._now_s() < self._sweep_at_s:
            return
        began_s = self._worked_s()
        found_n = self._collect()
        is_quick = self._worked_s() - began_s <= SWEEP_S_MAX
        self._sweep_at_s = self._now_s() + SWEEP_EVERY_S if is_quick else math.inf
        if found_n >= GARBAGE_N_MIN:
            self._trim()
            self._level_bytes = self._resident_bytes() or now_bytes
        elif has_grown:
            self._level_bytes = now_bytes

    def run(self) -> None:
        """Look again and again, for ever."""
        never = threading.Event()
        while not never.wait(LOOK_EVERY_S):
            self.look()


def watch() -> None:
    """Begin to look after this process, in a thread of its own."""
    collector = Collector(resident_bytes=resident_bytes, trim=_trimmer())
    threading.Thread(target=collector.run, name="memory", daemon=True).start()


def resident_bytes() -> int | None:
    """How much memory this process holds; None: there is no procfs here."""
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
