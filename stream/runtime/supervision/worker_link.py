"""A worker's end of the line to its supervisor.

The line is a socket. Its end means: stop, whether the supervisor wants it so or is gone, even by
SIGKILL; no worker outlives its supervisor. (No signal: a second one would end the worker at once,
and a service manager sends one to all processes itself.) The other way go the few events that the
supervisor cannot see from outside: which partitions the worker holds, and how its replay gets on.
"""

import faulthandler
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterable, Mapping
from typing import cast

import msgspec

from stream.errors import ExitCode, Usage
from stream.runtime.pipeline import Pipeline
from stream.telemetry import LogEvent, Metric

DRAIN_S = 25.0
"""From the word to stop to the end: less than the 30 s that service managers wait by default."""

ORPHAN_GRACE_S = 5.0
"""A living supervisor kills after `DRAIN_S`; without one a worker sees to its own end."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a worker's, as its supervisor gets it."""

    event: LogEvent
    partitions: tuple[int, ...] = ()
    replayed: int = 0


class Reporter:
    """Sends reports; a supervisor that does not read, or is gone, costs the worker nothing."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._encode = msgspec.json.Encoder().encode

    def __call__(self, event: LogEvent, fields: Mapping[str, object]) -> None:
        """Report the event, if the supervisor wants it."""
        match event:
            case LogEvent.WORKER_STARTED:
                report = Report(event=event)
            case (
                LogEvent.PARTITIONS_ASSIGNED
                | LogEvent.PARTITIONS_REVOKED
                | LogEvent.PARTITIONS_WAITING
            ):
                partitions = cast("Iterable[int]", fields["partitions"])
                report = Report(event=event, partitions=tuple(sorted(partitions)))
            case (
                LogEvent.TASK_FRESH
                | LogEvent.TASK_RESTORED
                | LogEvent.TASK_KEPT
                | LogEvent.PARTITION_PAUSED
            ):
                report = Report(event=event, partitions=(cast("int", fields["partition"]),))
            case LogEvent.PROGRESS:
                replayed = cast("int", fields.get(Metric.REPLAYED.value, 0))
                report = Report(event=event, replayed=replayed)
            case _:
                return
        try:
            # Reports are short: they go as a whole or, where nobody reads, not at all.
            self._line.send(self._encode(report) + b"\n", socket.MSG_DONTWAIT)
        except (BlockingIOError, ConnectionError):
            return


def obey(pipeline: Pipeline, descriptor: int) -> None:
    """Stop when the line ends, and report on it from now on. Raises: Usage: there is none."""
    try:
        line = socket.socket(fileno=descriptor)
    except OSError as error:
        raise Usage(
            "--supervised: only for `stream run --workers`, which says it itself"
        ) from error
    # Not for the processes that a model may start.
    line.set_inheritable(False)
    # So that a supervisor can ask a stuck worker where it is. Frames only: no values, no secrets.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    pipeline.telemetry.always = {"worker": pipeline.settings.worker.instance}
    pipeline.telemetry.listener = Reporter(line)
    threading.Thread(target=_heed, args=(pipeline, line), name="supervisor", daemon=True).start()


def _heed(pipeline: Pipeline, line: socket.socket) -> None:
    """Wait for the line's end, then stop the worker; if that takes too long, end the process."""
    try:
        while line.recv(1):
            continue
    except ConnectionError:
        pass  # it died with reports of ours unread
    pipeline.stopping.set()
    if not threading.Event().wait(DRAIN_S + ORPHAN_GRACE_S):
        pipeline.telemetry.say(
            LogEvent.CALL_HUNG,
            level=logging.ERROR,
            why="it did not stop in time, nor its supervisor",
        )
        os._exit(ExitCode.INTERNAL)
