"""Dead cycles are collected when memory has grown; and now and then, where that is quick."""

import threading
from collections.abc import Iterator

from stream.runtime import garbage
from stream.runtime.garbage import (
    GARBAGE_N_MIN,
    GROWTH_BYTES_MIN,
    SWEEP_EVERY_S,
    SWEEP_S_MAX,
    Collector,
)

MIB = 1 << 20


class Process:
    """A process whose memory a test sets.

    Attributes:
        resident: bytes.
        garbage_n: objects that a collection finds; they hold `garbage_bytes`.
        now_s: the clock.
        collection_s: how long one takes.
    """

    def __init__(self) -> None:
        self.resident = 100 * MIB
        self.garbage_n = 0
        self.garbage_bytes = 0
        self.collections_n = self.trims_n = 0
        self.now_s = self.collection_s = 0.0
        self.collector = Collector(
            resident_bytes=lambda: self.resident,
            collect=self.collect,
            trim=self.trim,
            now_s=lambda: self.now_s,
            worked_s=lambda: self.now_s,
        )

    def collect(self) -> int:
        """As `gc.collect`."""
        self.collections_n += 1
        self.now_s += self.collection_s
        found, self.garbage_n = self.garbage_n, 0
        return found

    def trim(self) -> None:
        """As `malloc_trim`."""
        self.trims_n += 1
        self.resident -= self.garbage_bytes
        self.garbage_bytes = 0

    def grow(self, size: int, *, garbage_n: int = 0) -> None:
        """Take memory, and look."""
        self.resident += size
        self.garbage_n += garbage_n
        self.garbage_bytes += size if garbage_n else 0
        self.collector.look()


def test_garbage_is_bounded() -> None:
    """However long the trouble lasts."""
    process = Process()
    most = 0
    for _ in range(1_000):
        process.grow(4 * MIB, garbage_n=30)
        most = max(most, process.resident)

    assert most <= 100 * MIB + GROWTH_BYTES_MIN + 4 * MIB
    assert process.trims_n == process.collections_n > 100


def test_growth_that_is_none_of_ours_is_looked_at_ever_more_rarely() -> None:
    """A model's: by a quarter of what it grew, so that a gigabyte takes few collections."""
    process = Process()
    for _ in range(1_000):
        process.grow(MIB, garbage_n=0)

    assert 5 < process.collections_n < 25
    assert process.trims_n == 0


def test_what_comes_and_goes_costs_nothing() -> None:
    """A worker's batches."""
    process = Process()
    for _ in range(1_000):
        process.grow(30 * MIB)
        process.grow(-30 * MIB)

    assert process.collections_n == 1


def test_some_garbage_is_no_reason_to_give_memory_back() -> None:
    """It would be asked for again at once."""
    process = Process()
    process.grow(GROWTH_BYTES_MIN, garbage_n=GARBAGE_N_MIN - 1)

    assert (process.collections_n, process.trims_n) == (1, 0)


def wait(process: Process, seconds: float) -> None:
    """Look once a second for a while."""
    for _ in range(int(seconds)):
        process.now_s += 1.0
        process.collector.look()


def test_little_garbage_does_not_lie_for_long() -> None:
    """What is dead for long has live neighbours in the end, and its place is lost."""
    process = Process()
    process.grow(MIB, garbage_n=GARBAGE_N_MIN)
    wait(process, SWEEP_EVERY_S)

    assert (process.collections_n, process.trims_n) == (1, 1)
    assert process.resident == 100 * MIB
    wait(process, 10 * SWEEP_EVERY_S)
    assert (process.collections_n, process.trims_n) == (11, 1)


def test_a_slow_collection_waits_for_growth() -> None:
    """With a large model it holds the events up."""
    process = Process()
    process.collection_s = 2 * SWEEP_S_MAX
    wait(process, 10 * SWEEP_EVERY_S)
    assert process.collections_n == 1

    process.grow(GROWTH_BYTES_MIN)
    wait(process, 10 * SWEEP_EVERY_S)
    assert process.collections_n == 2

    process.collection_s = SWEEP_S_MAX / 2
    process.grow(GROWTH_BYTES_MIN)
    wait(process, 10 * SWEEP_EVERY_S)
    assert process.collections_n > 10


def test_where_memory_is_unknown_nothing_is_done() -> None:
    """Nor raised."""
    collector = Collector(resident_bytes=lambda: None, collect=never)
    collector.look()


def never() -> int:
    """Not to be called."""
    raise AssertionError("there is nothing to collect for")


def test_this_process_is_seen_and_looked_after() -> None:
    """With the real figures; looking raises nothing."""
    seen = garbage.resident_bytes()
    assert seen is not None
    assert 10 * MIB < seen < 1 << 40
    looked = threading.Event()

    def resident() -> Iterator[int]:
        yield 0
        yield GROWTH_BYTES_MIN
        looked.set()
        while True:
            yield 0

    values = resident()
    collector = Collector(resident_bytes=lambda: next(values), collect=lambda: GARBAGE_N_MIN)
    threading.Thread(target=collector.run, daemon=True).start()
    assert looked.wait(240)
