"""What surrounds one module of the runtime in its own tests: a worker's world, in memory."""

from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from random import Random
from typing import Any

import msgspec

from stream.adapters.memory import MemoryBroker, MemoryReader, MemorySnapshots
from stream.core.event import Channel, Record
from stream.core.fold.task import Task
from stream.core.recipe import Recipe
from stream.core.snapshots.seal import Keys
from stream.core.spec import EventShape, Limits, ModelSpec
from stream.ports import Committed
from stream.runtime.sources import Sources
from stream.runtime.watched_log import WatchedLog
from stream.telemetry import LogEvent
from tests.instruments.simulation.clock import ManualClock
from tests.instruments.simulation.doubles import Diary, PositionedLog

PIPELINE = "rooms"
NAMES = {channel: f"{PIPELINE}.{channel.value}" for channel in Channel}
KEYS = Keys(b"k" * 32)
JUNK = b"oops"


def recipe(limits: Limits | None = None) -> Recipe:
    """Of a model that costs next to nothing, and raises on demand."""
    return Recipe(
        pipeline=PIPELINE,
        events_topic=NAMES[Channel.EVENTS],
        model=ModelSpec(factory="tests.instruments.simulation.model:Brittle"),
        detectors=(),
        shape=EventShape(),
        limits=limits or Limits(),
        hash_seed=0,
    )


RECIPE = recipe(Limits(value_bytes_max=2 << 20))
"""With room for `LARGE`."""


def event(x: float, *, bomb: str | None = None) -> bytes:
    """A labelled event; `bomb` says where the model raises on it (see `Brittle`)."""
    features: dict[str, object] = {"x": x} if bomb is None else {"x": x, "bomb": bomb}
    return msgspec.json.encode({"features": features, "label": x > 0})


LARGE = event(0.5) + b" " * (1 << 20)
"""An event whose record has a megabyte: a few of them are a long way back for undoing."""


def events(n: int, *, seed: int = 0) -> list[bytes]:
    """So many different ones."""
    rng = Random(seed)
    return [event(rng.uniform(-1, 1)) for _ in range(n)]


def step(task: Task, values: Iterable[bytes]) -> None:
    """Fold records with these values into a task."""
    for value in values:
        task.step(Record(task.partition, task.next_offset, 0, None, value))


def folded(values: Iterable[bytes] = (), *, partition: int = 0, of: Recipe = RECIPE) -> Task:
    """A task that has folded these."""
    task = Task(of, partition=partition)
    step(task, values)
    return task


class Surroundings:
    """A broker with the pipeline's topics, a clock that stands still, and what a process has.

    Attributes:
        diary: keeps what is said.
        calls: how often each step of the memory adapters was taken.
        fail: step -> what its next calls raise, the first one first.
        deadlines: what was called with a deadline, and with how many seconds.
    """

    def __init__(self, *, partitions_n: int = 2, tick_s: float = 0.0) -> None:
        self.clock = ManualClock(tick_s=tick_s)
        self.calls: Counter[str] = Counter()
        self.fail: dict[str, list[Exception]] = {}
        self.deadlines: list[tuple[str, float]] = []
        self.broker = MemoryBroker(clock=self.clock, faults=self._on_step)
        for channel in Channel:
            self.broker.create(NAMES[channel], partitions=partitions_n)
        self.diary = Diary("w", None)
        self.store = MemorySnapshots(self.broker, pipeline=PIPELINE)
        self.reader = MemoryReader(self.broker, names=NAMES, group=PIPELINE, batch_records_max=5)
        self.log = PositionedLog(self.broker, names=NAMES, group=PIPELINE)
        self.watched = WatchedLog(self.log, deadlined=self.deadlined, call_deadline_s=10.0)

    @property
    def topic_id(self) -> str:
        """Of the events topic."""
        return self.broker.topic(NAMES[Channel.EVENTS]).topic_id

    @property
    def committed(self) -> dict[int, Committed]:
        """The group's offsets, to be read and set."""
        return self.broker.group(PIPELINE).offsets

    def sources(self, **others: Any) -> Sources:
        """What tasks are made of here."""
        parts: dict[str, Any] = {
            "recipe": RECIPE, "reader": self.reader, "store": self.store, "keys": KEYS,
            "topic_id": self.topic_id, "start": "earliest", "on_change": "refuse",
            "clock": self.clock, "telemetry": self.diary,
        }  # fmt: skip
        return Sources(**parts | others)

    def send(self, values: Iterable[bytes], *, partition: int = 0) -> None:
        """Append records to the events."""
        for value in values:
            self.broker.append(NAMES[Channel.EVENTS], partition, value=value)

    def join(self) -> None:
        """Become a member of the group, which gives it all partitions."""
        assert self.log.poll(timeout_s=0.0, records_max=1).assigned

    def polled(self, *, records_max: int = 1000) -> dict[int, list[int]]:
        """The offsets that the log delivers next, by partition."""
        polled = self.log.poll(timeout_s=0.0, records_max=records_max)
        return {p: [each.offset for each in records] for p, records in polled.records.items()}

    def commit(self, task: Task) -> None:
        """Let a task's state be the committed one."""
        self.committed[task.partition] = Committed(task.next_offset, task.metadata().encode())

    def said(self, event: LogEvent) -> list[dict[str, object]]:
        """The fields of each time that something was said."""
        return [fields for name, fields in self.diary.said if name is event]

    def deadlined(self, what: str, seconds: float) -> AbstractContextManager[None]:
        """See `Watchdog.watch`."""
        self.deadlines.append((what, seconds))
        return nullcontext()

    def _on_step(self, step: str) -> None:
        self.calls[step] += 1
        if self.fail.get(step):
            raise self.fail[step].pop(0)
