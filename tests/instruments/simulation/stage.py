"""A small world for scenarios told step by step: a steady clock, only the faults that are told."""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from stream.adapters.memory.broker import Faults
from stream.adapters.memory.topic import Partition
from stream.core.event import Channel, Record
from stream.errors import Retryable
from stream.ports import Committed
from stream.telemetry import LogEvent
from tests.instruments.simulation.auditor import Auditor
from tests.instruments.simulation.cache_audit import usable
from tests.instruments.simulation.clock import ManualClock
from tests.instruments.simulation.plain_fold import Plan
from tests.instruments.simulation.violation import require
from tests.instruments.simulation.workload import Fact, Workload, events
from tests.instruments.simulation.world import NAMES, PIPELINE, Options, Parts, Process, World

SNAPSHOTS = Options(replay_budget_s=0.001, commit_interval_s=0.0, fold_s_max=0.004)
"""A snapshot after each commit, and short batches."""

NO_SNAPSHOTS = Options(replay_budget_s=1e9)
STORE_AWAY = ("stored", "load", "save:before", "remove:before")

INDEX = f"streamfold:{{{PIPELINE}}}:0:index"
"""Of partition 0's snapshots."""

TURNS_MAX = 400


class Stage:
    """A world, its upstream and its auditor.

    Args:
        genesis: where the folds begin, for the auditor.
        plan: what folds are configured with, for the auditor; None: as in `world.RECIPE`.

    Attributes:
        is_audited: off where another recipe goes on: the auditor knows `RECIPE` only.
    """

    def __init__(
        self,
        *,
        partitions_n: int = 1,
        parts: Parts | None = None,
        genesis: int = 0,
        plan: Plan | None = None,
    ) -> None:
        self.is_audited = True
        self.clock = ManualClock(tick_s=0.001)
        self.world = World(self.clock, partitions_n=partitions_n, parts=parts or Parts())
        self.workload = Workload(
            self.world.broker,
            topic=NAMES[Channel.EVENTS],
            rng=Random(0),
            partitions_n=partitions_n,
            records_n=0,
        )
        self.auditor = Auditor(
            self.world.broker,
            self.world.cache,
            self.workload,
            names=NAMES,
            group=PIPELINE,
            commands=self.world.commands,
            labels=self.world.labels,
            told=lambda: self.world.told,
            genesis=genesis,
            plan=plan,
        )

    def send(
        self, facts: Sequence[Fact], *, partition: int = 0, is_committed: bool | None = None
    ) -> None:
        """Append events; see `Workload.send`."""
        self.workload.send(facts, partition=partition, is_committed=is_committed)

    def start(self, options: Options | None = None, *, instance: str | None = None) -> Process:
        """A new process."""
        return self.world.start(options, instance=instance)

    def turns(self, process: Process, *, until: Callable[[], bool]) -> None:
        """Let a process work until something is so.

        Raises: Violation: it never was, or the auditor found something on the way.
        """
        for _ in range(TURNS_MAX):
            if until():
                return
            self.turn(process)
        require(until(), f"not within {TURNS_MAX} turns")

    def turn(self, process: Process) -> None:
        """Let a process work for one turn, and look at what it did. Raises: Violation."""
        self.world.turn(process)
        self.world.run_job(process)
        if self.is_audited:
            self.auditor.check()

    def finish(self, process: Process) -> None:
        """Let a process work until no lag is left."""
        self.turns(process, until=self.is_done)

    def for_a_while(self, process: Process) -> None:
        """Let a process work, though nothing may come of it."""
        for _ in range(50):
            self.turn(process)

    def answer(self, process: Process) -> None:
        """Let a process work until it has looked at all commands."""
        partitions = range(len(self.workload.facts))
        self.turns(process, until=lambda: not any(map(self.auditor.commands.unread, partitions)))

    def ledger(self, partition: int = 0) -> list[dict[str, Any]]:
        """What is told of the commands."""
        return [json.loads(each.value or b"") for each in self.published(Channel.LEDGER, partition)]

    def is_done(self) -> bool:
        """Whether everything sent is committed. Raises: Violation: not as it should be."""
        self.auditor.check()
        return not self.auditor.lag() and not self.auditor.unread_labels()

    def kill(self, process: Process) -> None:
        """It is gone, and its session and transaction have ended."""
        self.world.bury(process)

    def log(self, channel: Channel = Channel.EVENTS, partition: int = 0) -> Partition:
        """A partition of a topic."""
        return self.world.broker.partition(NAMES[channel], partition)

    def published(self, channel: Channel, partition: int = 0) -> list[Record]:
        """What a `read_committed` consumer gets."""
        log = self.log(channel, partition)
        return log.fetch(0, stop=log.stable_end, records_max=log.end + 1)[0]

    @property
    def committed(self) -> dict[int, Committed]:
        """The group's offsets, to be read and set."""
        return self.world.broker.group(PIPELINE).offsets

    @property
    def snapshots(self) -> list[int]:
        """The next offsets of partition 0's snapshots, oldest first."""
        return usable(self.world.cache, 0)


def done(options: Options, n: int = 12) -> Stage:
    """A log of `n` events that somebody processed before they were killed."""
    stage = Stage()
    stage.send(events(n))
    process = stage.start(options)
    stage.finish(process)
    stage.kill(process)
    return stage


def commanded(n: int, options: Options, *, partitions_n: int = 1) -> tuple[Stage, Process]:
    """Some events in each partition, of which a worker is done; it takes commands."""
    stage = Stage(partitions_n=partitions_n)
    for partition in range(partitions_n):
        stage.send(events(n), partition=partition)
    process = stage.start(options)
    stage.finish(process)
    return stage, process


def away(*steps: str) -> Faults:
    """Faults: these steps fail, as long as it takes."""

    def fail(step: str) -> None:
        if step in steps:
            raise Retryable(f"{step}: away")

    return fail


def at_nth(step: str, nth: int, fault: Callable[[], None]) -> Faults:
    """Faults: this one, the so-manieth time that a step is taken."""
    left = [nth]

    def fail(name: str) -> None:
        if name == step:
            left[0] -= 1
            if left[0] == 0:
                fault()

    return fail


def said(process: Process, event: LogEvent) -> list[dict[str, object]]:
    """The fields of each time that a process said something."""
    return [fields for name, fields in process.telemetry.said if name is event]
