"""Our worker as `stream run --until-end` runs it, from its configuration to its last commit."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from stream.cli import House
from stream.ports import Log, Polled
from stream.runtime import running
from stream.telemetry import Metric, Telemetry
from tests.bench.meter import Meter, Spec, serve

OnPoll = Callable[[int], None]
"""Told how many records a poll gave, before they are folded."""

OnCommit = Callable[[], None]
"""Told after each commit."""


class _WatchedLog:
    """A log whose polls are counted; in everything else it is the log."""

    def __init__(self, log: Log, on_poll: OnPoll) -> None:
        self._log = log
        self._on_poll = on_poll

    def poll(self, *, timeout_s: float, records_max: int) -> Polled:
        polled = self._log.poll(timeout_s=timeout_s, records_max=records_max)
        if polled.records:
            self._on_poll(sum(map(len, polled.records.values())))
        return polled

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


class _WatchedTelemetry(Telemetry):
    """Telemetry whose commits are told."""

    def __init__(self, on_commit: OnCommit) -> None:
        super().__init__()
        self._on_commit = on_commit

    def count(self, metric: Metric, n: int = 1) -> None:
        super().count(metric, n)
        if metric is Metric.COMMITS:
            self._on_commit()


@dataclass(frozen=True, kw_only=True)
class _WatchedHouse(House):
    """The composition root's adapters, the log among them watched."""

    on_poll: OnPoll

    def log(self) -> Log:
        return cast("Log", _WatchedLog(super().log(), self.on_poll))


def work(config: Path, *, on_poll: OnPoll, on_commit: OnCommit) -> None:
    """Run a worker until the end of its events."""
    plain = House.of(config)
    telemetry = _WatchedTelemetry(on_commit)
    house = _WatchedHouse(plain.settings, telemetry, plain.stopping, on_poll=on_poll)
    running.work(house, until_end=True)


def run(spec: Spec, meter: Meter) -> None:
    """The worker of the configuration `spec.more["config"]`."""
    os.chdir(spec.folder)  # the model's factory lies there
    work(Path(spec.more["config"]), on_poll=lambda _: meter.start(), on_commit=meter.stop)


if __name__ == "__main__":
    serve(run)
