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
from stream.runtime import crew, process
from stream.runtime.clock import SystemClock
from stream.runtime.hired import WorkerProcess
from stream.runtime.house import House
from stream.runtime.lookout import ReaderLookout
from stream.runtime.stagnation import Stagnation, stuck_after_s
from stream.runtime.supervised import DRAIN_S
from stream.runtime.supervisor import Supervisor
from stream.telemetry import Event

ROUNDS_MAX = 3
"""How often workers are started that all ended well before the end; a second time is rare."""

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
    if settings.kafka.client == "embedded" and (workers or 1) > 1:
        raise Usage(
            f'--workers {workers}: kafka.client = "embedded" is one process and one file; leave '
            "--workers out, or use a Kafka"
        )
    process.stop_on_signals(house.stopping)
    ends = _ends(house)
    partitions = max(1, len(ends))  # a topic that a worker still has to make gets one
    cpus = crew.usable_cpus()
    size = crew.size(workers, partitions=partitions, cpus=cpus)
    names = crew.names(settings.worker.instance, host=socket.gethostname(), workers=size)
    after_s = stuck_after_s(settings.snapshots.recovery_time_s)
    _say_started(house, names, asked=workers, partitions=partitions, cpus=cpus, stuck_s=after_s)
    for _ in range(ROUNDS_MAX):
        code = _round(house, names, partitions=partitions, stuck_s=after_s, until_end=until_end)
        if code != ExitCode.OK:
            raise _SAID.get(code, Internal)(
                f"a worker ended with exit code {code}; its lines above say why"
            )
        if house.stopping.is_set() or not until_end or not _is_behind(house, ends):
            house.telemetry.say(Event.SUPERVISOR_STOPPED)
            return
        # A partition on its way from one worker to another while both ended: nobody had it.
    raise Internal(f"all workers ended well, {ROUNDS_MAX} times, and not at the end of the events")


def _round(
    house: House, names: tuple[str, ...], *, partitions: int, stuck_s: float, until_end: bool
) -> int:
    """One supervisor's life. Returns: its exit code."""
    settings = house.settings

    # A name that came from a file would be a second source of the one that we give.
    inherited = {k: v for k, v in house.environ.items() if not k.upper().startswith(_INSTANCE)}
    inherited["PYTHONHASHSEED"] = str(settings.effective_hash_seed)  # spares a start of its own

    def hire(name: str) -> WorkerProcess:
        return WorkerProcess(sys.argv[1:], environment={**inherited, _INSTANCE: name})

    lookout = ReaderLookout(house.reader, partitions=partitions, start=settings.topics.start)
    with closing(lookout):
        supervisor = Supervisor(
            names,
            hire=hire,
            lookout=lookout,
            stagnation=Stagnation(after_s=stuck_s),
            clock=SystemClock(),  # not the house's: a drain must be waited for, too
            telemetry=house.telemetry,
            stopping=house.stopping,
            until_end=until_end,
            jitter=random.random,
        )
        process.stop_on_signals(house.stopping, at_once=supervisor.kill)
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
    capped = {}
    if asked is not None and asked > len(names):
        why = f"{settings.topics.events} has {partitions} partitions, each one worker's at a time"
        capped = {"instead_of": str(asked), "why": why}
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


def _is_behind(house: House, goals: Mapping[int, int]) -> bool:
    """Whether a partition is not committed up to its goal."""
    with closing(house.reader()) as reader:
        committed = reader.committed()
    return any(p not in committed or committed[p].offset < end for p, end in goals.items() if end)
