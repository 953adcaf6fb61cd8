"""What a soak measures while it goes on, and what has to be flat in the end."""

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition, errors

from tests.instruments.faults.keeper import Keeper
from tests.instruments.faults.run import Run
from tests.instruments.faults.worker import resident_bytes

SAMPLE_EVERY_S = 2.0
SETTLING_S = 300.0
"""A worker's first minutes: imports, first batches, the first time that it has all partitions and
replays them; what an allocator got for that it keeps."""

TAIL_S = 60.0
"""The first and the last minute are compared: the least memory of each, which is what the process
keeps (dead cycles come and go, `stream.runtime.garbage`), and the descriptors' medians."""

GROWTH_BYTES_MAX = 20 << 20
MEMORY_BYTES_MAX = 320 << 20
"""Of any worker at any time; 165 MB are what one has when it begins."""

DESCRIPTORS_MORE_MAX = 16
LIVED_S_MIN = 180.0
"""A process that lived shorter after its first minutes tells nothing about growth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One moment of one process.

    Attributes:
        at_s: since the soak began.
        age_s: of the process.
    """

    at_s: float
    age_s: float
    pid: int
    memory_bytes: int
    descriptors_n: int
    threads_n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One moment of the whole.

    Attributes:
        lag_n: events without an outcome; None: the brokers could not be asked.
    """

    at_s: float
    outcomes_n: int
    lag_n: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Of one process that lived long enough, from its sixth minute to its end."""

    name: str
    pid: int
    lived_s: float
    memory_before_bytes: int
    memory_after_bytes: int
    descriptors_before_n: int
    descriptors_after_n: int
    descriptors_n_max: int

    @property
    def memory_bytes(self) -> int:
        """How much it grew."""
        return self.memory_after_bytes - self.memory_before_bytes

    @property
    def problem(self) -> str | None:
        """What is not flat; None: all is."""
        if self.memory_bytes > GROWTH_BYTES_MAX:
            return f"I12: {self.name} (pid {self.pid}) grew by {self.memory_bytes >> 20} MB"
        more_n = self.descriptors_after_n - self.descriptors_before_n
        if more_n > DESCRIPTORS_MORE_MAX:
            return f"I12: {self.name} (pid {self.pid}) has {more_n} more file descriptors"
        return None


class Watch:
    """Samples from a thread of its own, from `start` to `stop`."""

    def __init__(self, run: Run, keepers: Sequence[Keeper]) -> None:
        self.moments: list[Moment] = []
        self.samples: dict[str, list[Sample]] = {keeper.name: [] for keeper in keepers}
        self._run = run
        self._keepers = keepers
        self._consumer: KafkaConsumer | None = None
        self._began = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    @property
    def now_s(self) -> float:
        """Since the soak began."""
        return time.monotonic() - self._began

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._over.set()
        self._thread.join(30)
        if self._consumer is not None:
            self._consumer.close(autocommit=False, timeout_ms=1_000)

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_EVERY_S):
            for keeper in self._keepers:
                # One that ends just now has no memory to look at.
                with suppress(OSError, IndexError):
                    self.samples[keeper.name].append(self._sample(keeper))
            lag_n = self._lag_n()
            self.moments.append(
                Moment(at_s=self.now_s, outcomes_n=self._run.verifier.outcomes_n(), lag_n=lag_n)
            )

    def _sample(self, keeper: Keeper) -> Sample:
        pid = keeper.worker.process.pid
        return Sample(
            at_s=self.now_s,
            age_s=time.time() - keeper.worker.began_at,
            pid=pid,
            memory_bytes=resident_bytes(pid),
            descriptors_n=len(list(Path(f"/proc/{pid}/fd").iterdir())),
            threads_n=len(list(Path(f"/proc/{pid}/task").iterdir())),
        )

    def _lag_n(self) -> int | None:
        topic = f"{self._run.name}.events"
        tps = [TopicPartition(topic, p) for p in range(self._run.partitions_n)]
        try:
            if self._consumer is None:
                self._consumer = KafkaConsumer(
                    bootstrap_servers=self._run.bootstrap, request_timeout_ms=3_000,
                    bootstrap_timeout_ms=3_000, enable_auto_commit=False,
                )  # fmt: skip
            ends = self._consumer.end_offsets(tps)
        except (errors.KafkaError, OSError):
            return None
        return int(sum(ends.values())) - self._run.verifier.outcomes_n()

    def too_large(self) -> list[str]:
        """Workers that were larger than ever allowed."""
        return [
            f"I12: {name} had {most_bytes >> 20} MB"
            for name, most_bytes in self.memory_max().items()
            if most_bytes > MEMORY_BYTES_MAX
        ]

    def memory_max(self) -> dict[str, int]:
        """The most memory that each worker's processes ever had."""
        return {
            name: max((s.memory_bytes for s in samples), default=0)
            for name, samples in self.samples.items()
        }

    def growths(self) -> list[Growth]:
        """Of each process that lived long enough."""
        return [growth for name, samples in self.samples.items() for growth in grown(name, samples)]


def grown(name: str, samples: Sequence[Sample]) -> Iterator[Growth]:
    """How far each of a worker's processes grew that lived long enough."""
    for pid in dict.fromkeys(sample.pid for sample in samples):
        settled = [s for s in samples if s.pid == pid and s.age_s > SETTLING_S]
        if settled and settled[-1].age_s > SETTLING_S + LIVED_S_MIN:
            yield _growth(name, settled)


def _growth(name: str, settled: Sequence[Sample]) -> Growth:
    first = [s for s in settled if s.age_s <= settled[0].age_s + TAIL_S]
    last = [s for s in settled if s.age_s >= settled[-1].age_s - TAIL_S]
    return Growth(
        name=name,
        pid=settled[0].pid,
        lived_s=settled[-1].age_s,
        memory_before_bytes=min(s.memory_bytes for s in first),
        memory_after_bytes=min(s.memory_bytes for s in last),
        descriptors_before_n=round(statistics.median(s.descriptors_n for s in first)),
        descriptors_after_n=round(statistics.median(s.descriptors_n for s in last)),
        descriptors_n_max=max(s.descriptors_n for s in settled),
    )
