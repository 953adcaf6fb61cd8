"""What tests of a hostile Redis share."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

from stream.adapters.redis import RedisSnapshots
from stream.runtime.clock import SystemClock

SEALED = b"0123456789abcdef" * 64
MIB = 1 << 20


def opened(url: str, *, call_timeout_s: float = 5.0) -> RedisSnapshots:
    """A store as a worker opens it."""
    return RedisSnapshots(url, pipeline="p", clock=SystemClock(), call_timeout_s=call_timeout_s)


@contextmanager
def peak_below(mib: int) -> Iterator[None]:
    """What the block holds at a time."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < mib * MIB
