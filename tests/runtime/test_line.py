"""The line between a worker and its supervisor, the worker's end."""

import socket
from collections.abc import Iterator

import msgspec
import pytest

from stream.runtime.supervision.worker_link import Report, Reporter
from stream.telemetry import LogEvent, Telemetry

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """The worker's end and the supervisor's."""
    theirs, ours = socket.socketpair()
    with theirs, ours:
        yield theirs, ours


def test_what_a_supervisor_cannot_see_from_outside_is_reported(ends: Ends) -> None:
    """Which partitions, whether they live, how far a replay is; and nothing else."""
    worker, supervisor = ends
    telemetry = Telemetry()
    telemetry.listener = Reporter(worker)

    telemetry.say(LogEvent.WORKER_STARTED, pipeline="p")
    telemetry.say(LogEvent.PARTITIONS_ASSIGNED, partitions={3, 1})
    telemetry.say(LogEvent.SNAPSHOT_SAVED, partition=1)
    telemetry.say(LogEvent.PROGRESS, records_total=5, records_replayed_total=7)
    telemetry.say(LogEvent.TASK_RESTORED, partition=1, origin="log")
    telemetry.say(LogEvent.PARTITION_PAUSED, partition=3, why="refused")
    telemetry.say(LogEvent.PARTITIONS_REVOKED, partitions=frozenset({3}))

    lines = supervisor.recv(65_536).splitlines()
    assert [msgspec.json.decode(line, type=Report) for line in lines] == [
        Report(event=LogEvent.WORKER_STARTED),
        Report(event=LogEvent.PARTITIONS_ASSIGNED, partitions=(1, 3)),
        Report(event=LogEvent.PROGRESS, replayed=7),
        Report(event=LogEvent.TASK_RESTORED, partitions=(1,)),
        Report(event=LogEvent.PARTITION_PAUSED, partitions=(3,)),
        Report(event=LogEvent.PARTITIONS_REVOKED, partitions=(3,)),
    ]


def test_a_supervisor_that_does_not_read_costs_the_worker_nothing(ends: Ends) -> None:
    """It may be stopped, or busy: a worker never waits for it, and no report comes in pieces."""
    worker, supervisor = ends
    report = Reporter(worker)

    for _ in range(20_000):
        report(LogEvent.PROGRESS, {"records_replayed_total": 1})
    worker.close()
    read = b""
    while received := supervisor.recv(1 << 20):
        read += received
    assert {msgspec.json.decode(line, type=Report).replayed for line in read.splitlines()} == {1}


def test_a_supervisor_that_is_gone_costs_the_worker_nothing(ends: Ends) -> None:
    """Its stop comes by the end of the line, not by an error somewhere in the loop."""
    worker, supervisor = ends
    supervisor.close()

    Reporter(worker)(LogEvent.PROGRESS, {"records_replayed_total": 1})

    assert worker.recv(1) == b""
