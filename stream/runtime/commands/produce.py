"""The command `produce`: sends a file's events and waits until all are acknowledged."""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from stream.config import Settings
from stream.core.event import Channel
from stream.errors import Usage
from stream.ports import Clock, Feed
from stream.runtime.commands.screen import Progress, say
from stream.runtime.files import rows
from stream.runtime.files.layout import Columns
from stream.runtime.files.outgoing import Outgoing
from stream.runtime.pipeline import Pipeline
from stream.runtime.topics import ready_topics

FLUSH_TIMEOUT_S = 75.0
"""Longer than a client tries to deliver, so that it says itself what failed."""

FLUSH_EVERY_S = 0.2
"""A paced event is visible within this time; without pacing full batches are sent."""


def parse_rate(text: str) -> float:
    """Read `100` or `100/s` as events a second. Raises: Usage."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(?:/s)?", text.strip())
    rate = float(match[1]) if match else 0.0
    if not rate:
        raise Usage(f"--rate: {text!r} is no rate; write events a second, as 100 or 0.5/s")
    return rate


def produce(pipeline: Pipeline, path: Path, *, columns: Columns, rate: str | None) -> None:
    """Send a file; of a broken one nothing is sent. A stop signal ends it after a last flush.

    Args:
        pipeline: the pipeline whose events these are.
        path: the file.
        columns: which column of a CSV file is what.
        rate: events a second, as `parse_rate` takes it; None: as fast as it goes.

    Raises: BadInput, Usage: nothing was sent. Retryable, Misconfigured.
    """
    settings, clock = pipeline.settings, pipeline.clock()
    shape = settings.events.core()
    if columns.delay is not None:
        columns = replace(columns, told=_label_fields(settings))
    per_s = None if rate is None else parse_rate(rate)
    survey = rows.survey(path, shape=shape, columns=columns, stopped=pipeline.stopping.is_set)
    for line in survey.said:
        say(line, error=True)
    with closing(pipeline.backend.topics()) as topics:
        # An upstream needs this one only; where it is there, the outputs are the worker's business.
        if topics.describe()[Channel.EVENTS] is None:
            ready_topics(topics, settings, pipeline.telemetry)
    outgoing = _until_stopped(pipeline, survey.records())
    started_s = clock.monotonic()
    with (
        closing(pipeline.backend.feed()) as feed,
        Progress("events sent", total=survey.records_n, clock=clock) as shown,
    ):
        for record in outgoing if per_s is None else _paced(feed, outgoing, per_s, clock=clock):
            feed.send(record.value, key=record.key, timestamp_ms=record.timestamp_ms)
            shown.advance()
        acknowledged = feed.flush(timeout_s=FLUSH_TIMEOUT_S)
        took_s = max(clock.monotonic() - started_s, 1e-3)
    speed = f"{took_s:.1f} s ({acknowledged / took_s:.0f}/s)"
    stopped = (
        f"; stopped by a signal before the end of {path}" if pipeline.stopping.is_set() else ""
    )
    say(f"{acknowledged} events acknowledged in {speed}{stopped}")


def _label_fields(settings: Settings) -> tuple[str, str]:
    """The fields of label records. Raises: Usage: this pipeline would refuse them."""
    if settings.labels is None:
        raise Usage("--delay: this pipeline takes no labels that come later; configure [labels]")
    return settings.labels.id, settings.labels.label


def _until_stopped(pipeline: Pipeline, records: Iterator[Outgoing]) -> Iterator[Outgoing]:
    for record in records:
        if pipeline.stopping.is_set():
            return
        yield record


def _paced(
    feed: Feed, records: Iterator[Outgoing], per_s: float, *, clock: Clock
) -> Iterator[Outgoing]:
    """Give each record at its time; after a delay the late ones follow at once."""
    started_s = flushed_s = clock.monotonic()
    for n, record in enumerate(records):
        due_s = started_s + n / per_s
        wait_s = due_s - clock.monotonic()
        if wait_s > 0:
            if due_s - flushed_s >= FLUSH_EVERY_S:
                feed.flush(timeout_s=FLUSH_TIMEOUT_S)
                flushed_s = clock.monotonic()
                wait_s = due_s - flushed_s
            clock.sleep(max(0.0, wait_s))
        yield record
