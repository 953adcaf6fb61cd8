"""Our worker as `stream run --until-end` runs it, from its configuration to its last commit."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from stream.cli import Pipeline
from stream.core.event import Output
from stream.ports import Committed, Log, Polled
from stream.runtime import running
from stream.runtime.pipeline import Backend
from stream.telemetry import Metric, Telemetry
from tests.instruments.bench.meter import Meter, Spec, Stopwatch, serve


class Watch:
    """Told what a worker does; this one times it, others do more."""

    def __init__(self, meter: Stopwatch) -> None:
        self._meter = meter

    def on_poll(self) -> None:
        """A poll gave records; all of the polls before are folded."""
        self._meter.start()

    def on_call(self, seconds: float) -> None:
        """A poll or a commit took this long."""

    def on_fold(self, n: int) -> None:
        """So many records were folded."""

    def on_commit(self) -> None:
        """A commit took effect."""
        self._meter.stop()

    def on_close(self) -> None:
        """The worker is about to leave its group."""


class _WatchedLog:
    """A log whose polls are told; in everything else it is the log."""

    def __init__(self, log: Log, watch: Watch) -> None:
        self._log = log
        self._watch = watch

    def poll(self, *, timeout_s: float, records_max: int) -> Polled:
        began = time.perf_counter()
        polled = self._log.poll(timeout_s=timeout_s, records_max=records_max)
        self._watch.on_call(time.perf_counter() - began)
        if polled.records:
            self._watch.on_poll()
        return polled

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        began = time.perf_counter()
        self._log.commit(outputs, offsets)
        self._watch.on_call(time.perf_counter() - began)

    def close(self) -> None:
        self._watch.on_close()
        self._log.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


class _WatchedTelemetry(Telemetry):
    """Telemetry whose counts of records and commits are told."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def count(self, metric: Metric, n: int = 1) -> None:
        super().count(metric, n)
        if metric is Metric.RECORDS:
            self._watch.on_fold(n)
        elif metric is Metric.COMMITS:
            self._watch.on_commit()


class _WatchedBackend:
    """A backend whose log is watched; in everything else it is the backend."""

    def __init__(self, backend: Backend, watch: Watch) -> None:
        self._backend = backend
        self._watch = watch

    def log(self, *, record_bytes_max: int | None = None) -> Log:
        log = self._backend.log(record_bytes_max=record_bytes_max)
        return cast("Log", _WatchedLog(log, self._watch))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def work(config: Path, watch: Watch) -> Telemetry:
    """Run a worker until the end of its events. Returns: its counters."""
    plain = Pipeline.of(config)
    telemetry = _WatchedTelemetry(watch)
    backend = cast("Backend", _WatchedBackend(plain.backend, watch))
    running.work(replace(plain, telemetry=telemetry, backend=backend), until_end=True)
    return telemetry


def run(spec: Spec, meter: Meter) -> None:
    """The worker of the configuration `spec.more["config"]`."""
    work(Path(spec.more["config"]), Watch(meter))


if __name__ == "__main__":
    serve(run)
