"""The command `run --workers`: a supervisor put together, and what only all workers show."""

import logging
import random
import socket
import sys
from collections.abc import Mapping
from contextlib import closing

from stream.core.event import Channel, Record
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
from stream.runtime import process, recent, signals
from stream.runtime.clock import SystemClock
from stream.runtime.lag import standings
from stream.runtime.pipeline import Pipeline
from stream.runtime.supervision import sizing
from stream.runtime.supervision.lag_watch import LOOK_EVERY_S, Lookout, ReaderLookout
from stream.runtime.supervision.stagnation import Stagnation, stuck_after_s
from stream.runtime.supervision.supervisor import Supervisor
from stream.runtime.supervision.until_end import Goals
from stream.runtime.supervision.worker_link import DRAIN_S
from stream.runtime.supervision.worker_process import WorkerProcess
from stream.telemetry import LogEvent

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


def supervise(pipeline: Pipeline, *, workers: int | None, until_end: bool) -> None:
    """Run so many workers, each a process of its own, until a stop signal or until the end.

    Args:
        pipeline: the pipeline to run.
        workers: None: as many as there are partitions, or CPUs for them.
        until_end: stop once the events there are at start are done.

    Raises: StreamError: the process must end with its exit code; nothing is left running.
    """
    settings = pipeline.settings
    if not settings.kafka.traits.has_group:
        workers = workers or 1
        if workers > 1:
            raise Usage(
                f'--workers {workers}: kafka.client = "{settings.kafka.client}" is one process '
                "with one file; leave --workers out, or use a Kafka"
            )
    signals.listen(pipeline.stopping)
    ends = _ends(pipeline)
    pipeline.backend.end_patience()
    partitions = max(1, len(ends))  # a topic that a worker still has to make gets one
    cpus = sizing.usable_cpus()
    size = sizing.size(workers, partitions=partitions, cpus=cpus)
    names = sizing.names(settings.worker.instance, host=socket.gethostname(), workers=size)
    after_s = stuck_after_s(settings.snapshots.recovery_time_s)
    _say_started(pipeline, names, asked=workers, partitions=partitions, cpus=cpus, stuck_s=after_s)
    labels = _labels_ends(pipeline, len(ends)) if until_end else None
    goals = Goals(ends if until_end else None, patience_s=after_s, labels=labels)
    look_s = LOOK_FOR_END_EVERY_S if until_end else LOOK_EVERY_S
    lookout = ReaderLookout(
        pipeline.backend.reader, partitions=partitions, start=settings.topics.start, every_s=look_s
    )
    with closing(lookout):
        code = _work(pipeline, names, lookout=lookout, goals=goals, stuck_s=after_s)
    if code != ExitCode.OK:
        raise _SAID.get(code, Internal)(
            f"a worker ended with exit code {code}; its lines above say why"
        )
    pipeline.telemetry.say(LogEvent.SUPERVISOR_STOPPED)
    if goals.waiting and until_end and not pipeline.stopping.is_set():
        which = ", ".join(map(str, goals.waiting))
        raise Misconfigured(
            f"partition {which} could not begin: not every output topic has as many partitions as "
            f"{settings.topics.events}; add them, or set topics.create = true"
        )
    if goals.paused and not pipeline.stopping.is_set():
        at = ", ".join(f"{each.partition} at offset {each.offset}" for each in goals.paused)
        raise BadInput(
            f"too much was refused, so this is paused: partition {at}; `stream quarantine list` "
            "shows what came, docs/OPERATING.md what to do"
        )


def _work(
    pipeline: Pipeline, names: tuple[str, ...], *, lookout: Lookout, goals: Goals, stuck_s: float
) -> int:
    """Run the supervisor to its end. Returns: its exit code."""
    # A name that came from a file would be a second source of the one that we give.
    inherited = {k: v for k, v in pipeline.environ.items() if not k.upper().startswith(_INSTANCE)}
    inherited |= process.environment(pipeline.settings)  # spares each a second start

    def hire(name: str) -> WorkerProcess:
        return WorkerProcess(sys.argv[1:], environment={**inherited, _INSTANCE: name})

    supervisor = Supervisor(
        names,
        hire=hire,
        lookout=lookout,
        stagnation=Stagnation(after_s=stuck_s),
        goals=goals,
        clock=SystemClock(),  # not the pipeline's: a drain must be waited for, too
        telemetry=pipeline.telemetry,
        stopping=pipeline.stopping,
        jitter=random.random,
    )
    signals.listen(pipeline.stopping, at_once=supervisor.kill)
    return supervisor.run()


def _say_started(
    pipeline: Pipeline,
    names: tuple[str, ...],
    *,
    asked: int | None,
    partitions: int,
    cpus: int,
    stuck_s: float,
) -> None:
    """Report how many workers start, and why they are fewer than asked for, if so."""
    settings = pipeline.settings
    capped = sizing.capped(asked, partitions=partitions, topic=settings.topics.events)
    pipeline.telemetry.say(
        LogEvent.SUPERVISOR_STARTED,
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


def _ends(pipeline: Pipeline) -> dict[int, int]:
    """Where each partition of the events ends; {}: there is no such topic yet."""
    with closing(pipeline.backend.topics()) as topics:
        events = topics.describe()[Channel.EVENTS]
    if events is None:
        return {}
    with closing(pipeline.backend.reader()) as reader:
        return {p: reader.bounds(Channel.EVENTS, p).end for p in range(events.partitions)}


def _labels_ends(pipeline: Pipeline, partitions: int) -> dict[int, int]:
    """Behind which label each partition's work ends; {}: they have no topic of their own.

    Nothing waits for a marker at the end of the topic: nobody folds it. Nor for labels that a
    pipeline will pass over which begins with the latest.
    """
    settings = pipeline.settings
    if not settings.has_labels_topic:
        return {}
    with closing(pipeline.backend.topics()) as topics:
        labels = topics.describe((Channel.LABELS,))[Channel.LABELS]
    ends: dict[int, int] = {}
    with closing(pipeline.backend.reader()) as reader:
        stands = standings(reader, partitions=partitions, start=settings.topics.start)
        for partition in range(0 if labels is None else min(partitions, labels.partitions)):
            if stands[partition].labels_offset or settings.topics.start == "earliest":
                for end in recent.last(reader, Channel.LABELS, partition, n=1, take=_behind):
                    ends[partition] = end
    return ends


def _behind(record: Record) -> int:
    return record.offset + 1
