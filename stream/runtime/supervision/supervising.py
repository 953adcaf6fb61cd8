"""The command `run --workers`: a supervisor put together, and what only all workers show."""

import logging
import random
import socket
import sys
from collections.abc import Mapping
from contextlib import closing

from stream.core.event import Channel
from stream.errors import (
    BadInput,
    ExitCode,
    Fenced,
    Internal,
    Misconfigured,
    Retryable,
    StreamError,
    Usage,
)
from stream.runtime import process, signals
from stream.runtime.clock import SystemClock
from stream.runtime.house import House
from stream.runtime.supervision import crew
from stream.runtime.supervision.goals import Goals
from stream.runtime.supervision.hired import WorkerProcess
from stream.runtime.supervision.lookout import LOOK_EVERY_S, Lookout, ReaderLookout
from stream.runtime.supervision.stagnation import Stagnation, stuck_after_s
from stream.runtime.supervision.supervised import DRAIN_S
from stream.runtime.supervision.supervisor import Supervisor
from stream.telemetry import Event

LOOK_FOR_END_EVERY_S = 0.5
"""With `--until-end` the workers idle until the end is noticed."""

_INSTANCE = "STREAM__WORKER__INSTANCE"
_SAID: Mapping[int, type[StreamError]] = {
    ExitCode.USAGE: Usage,
    ExitCode.BAD_INPUT: BadInput,
    ExitCode.UNREACHABLE: Retryable,
    ExitCode.FENCED: Fenced,
    ExitCode.CONFIG: Misconfigured,
}


def supervise(house: House, *, workers: int | None, until_end: bool) -> None:
    """Run so many workers, each a process of its own, until a stop signal or until the end.

    Args:
        house: the pipeline.
        workers: None: as many as there are partitions, or CPUs for them.
        until_end: stop once the events there are at start are done.

    Raises: StreamError: the process must end with its exit code; nothing is left running.
    """
    settings = house.settings
    if settings.kafka.client == "embedded":
        workers = workers or 1
        if workers > 1:
            raise Usage(
                f'--workers {workers}: kafka.client = "embedded" is one process with one file; '
                "leave --workers out, or use a Kafka"
            )
    signals.listen(house.stopping)
    ends = _ends(house)
    house.hurry()
    partitions = max(1, len(ends))  # a topic that a worker still has to make gets one
    cpus = crew.usable_cpus()
    size = crew.size(workers, partitions=partitions, cpus=cpus)
    names = crew.names(settings.worker.instance, host=socket.gethostname(), workers=size)
    after_s = stuck_after_s(settings.snapshots.recovery_time_s)
    _say_started(house, names, asked=workers, partitions=partitions, cpus=cpus, stuck_s=after_s)
    goals = Goals(ends if until_end else None, patience_s=after_s)
    look_s = LOOK_FOR_END_EVERY_S if until_end else LOOK_EVERY_S
    lookout = ReaderLookout(
        house.reader, partitions=partitions, start=settings.topics.start, every_s=look_s
    )
    with closing(lookout):
        code = _work(house, names, lookout=lookout, goals=goals, stuck_s=after_s)
    if code != ExitCode.OK:
        raise _SAID.get(code, Internal)(
            f"a worker ended with exit code {code}; its lines above say why"
        )
    house.telemetry.say(Event.SUPERVISOR_STOPPED)
    if goals.waiting and until_end and not house.stopping.is_set():
        which = ", ".join(map(str, goals.waiting))
        raise Misconfigured(
            f"partition {which} could not begin: not every output topic has as many partitions as "
            f"{settings.topics.events}; add them, or set topics.create = true"
        )
    if goals.paused and not house.stopping.is_set():
        at = ", ".join(f"{each.partition} at offset {each.offset}" for each in goals.paused)
        raise BadInput(
            f"too much was refused, so this is paused: partition {at}; `stream quarantine list` "
            "shows what came, docs/OPERATING.md what to do"
        )


def _work(
    house: House, names: tuple[str, ...], *, lookout: Lookout, goals: Goals, stuck_s: float
) -> int:
    """The supervisor's life. Returns: its exit code."""
    # A name that came from a file would be a second source of the one that we give.
    inherited = {k: v for k, v in house.environ.items() if not k.upper().startswith(_INSTANCE)}
    inherited |= process.environment(house.settings)  # spares each a second start

    def hire(name: str) -> WorkerProcess:
        return WorkerProcess(sys.argv[1:], environment={**inherited, _INSTANCE: name})

    supervisor = Supervisor(
        names,
        hire=hire,
        lookout=lookout,
        stagnation=Stagnation(after_s=stuck_s),
        goals=goals,
        clock=SystemClock(),  # not the house's: a drain must be waited for, too
        telemetry=house.telemetry,
        stopping=house.stopping,
        jitter=random.random,
    )
    signals.listen(house.stopping, at_once=supervisor.kill)
    return supervisor.run()


def _say_started(
    house: House,
    names: tuple[str, ...],
    *,
    asked: int | None,
    partitions: int,
    cpus: int,
    stuck_s: float,
) -> None:
    settings = house.settings
    capped = crew.capped(asked, partitions=partitions, topic=settings.topics.events)
    house.telemetry.say(
        Event.SUPERVISOR_STARTED,
        level=logging.WARNING if capped else logging.INFO,
        pipeline=settings.pipeline,
        workers=len(names),
        **capped,
        names=names,
        partitions=partitions,
        cpus=cpus,
        stuck_after_s=stuck_s,
        drain_within_s=DRAIN_S,
    )


def _ends(house: House) -> dict[int, int]:
    """Where each partition of the events ends; {}: there is no such topic yet."""
    with closing(house.topics()) as topics:
        events = topics.describe()[Channel.EVENTS]
    if events is None:
        return {}
    with closing(house.reader()) as reader:
        return {p: reader.bounds(Channel.EVENTS, p).end for p in range(events.partitions)}
