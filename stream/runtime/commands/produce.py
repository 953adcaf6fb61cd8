"""The command `produce`: sends a file's events, or labels, and waits until all are acknowledged."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from stream.core.event import Channel
from stream.errors import BadInput, Usage
from stream.ports import Clock, Feed
from stream.runtime.commands.screen import Progress, say
from stream.runtime.files import label_rows, rows
from stream.runtime.files.label_rows import LabelShape
from stream.runtime.files.layout import Columns
from stream.runtime.files.outgoing import Outgoing
from stream.runtime.pipeline import Pipeline
from stream.runtime.topics import ready_topics

FLUSH_TIMEOUT_S = 75.0
"""Longer than a client tries to deliver, so that it says itself what failed."""

FLUSH_EVERY_S = 0.2
"""A paced event is visible within this time; without pacing full batches are sent."""

TOGETHER_N = 2_000
"""So many events and labels are acknowledged before the next ones are sent, where both have a topic
of their own: or labels would be there long before their events."""


def parse_rate(text: str) -> float:
    """Read `100` or `100/s` as events a second. Raises: Usage."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(?:/s)?", text.strip())
    rate = float(match[1]) if match else 0.0
    if not rate:
        raise Usage(f"--rate: {text!r} is no rate; write events a second, as 100 or 0.5/s")
    return rate


def produce(
    pipeline: Pipeline,
    path: Path,
    *,
    columns: Columns,
    rate: str | None,
    are_labels: bool = False,
) -> None:
    """Send a file; of a broken one nothing is sent. A stop signal ends it after a last flush.

    Args:
        pipeline: the pipeline whose events these are.
        path: the file.
        columns: which column of a CSV file is what.
        rate: records a second, as `parse_rate` takes it; None: as fast as it goes.
        are_labels: the file holds labels of events that are sent already, or by somebody else.

    Raises: BadInput, Usage: nothing was sent. Retryable, Misconfigured.
    """
    settings, clock = pipeline.settings, pipeline.clock()
    per_s = None if rate is None else parse_rate(rate)
    survey = _survey(pipeline, path, columns, are_labels=are_labels)
    for line in survey.said:
        say(line, error=True)
    brings_labels = (are_labels or columns.delay is not None) and settings.has_labels_topic
    channels = [Channel.LABELS] if brings_labels else []
    if not (are_labels and channels):
        channels = [Channel.EVENTS, *channels]
    with closing(pipeline.backend.topics()) as topics:
        # An upstream needs these only; where they are there, the outputs are the worker's business.
        infos = topics.describe(channels)
        if None in infos.values():
            ready_topics(topics, settings, pipeline.telemetry)
            infos = topics.describe(channels)
    found = infos[channels[-1]]
    if found is not None and survey.partition_max >= found.partitions:
        raise BadInput(
            f"{path}: a label names partition {survey.partition_max}; the last one of "
            f"{settings.topics.name(channels[-1])} is {found.partitions - 1}"
        )
    outgoing = _until_stopped(pipeline, survey.records())
    started_s = clock.monotonic()
    what = "labels" if are_labels else "events"
    with ExitStack() as stack:
        feeds = Feeds(
            {c: stack.enter_context(closing(pipeline.backend.feed(channel=c))) for c in channels}
        )
        total = survey.records_n
        shown = stack.enter_context(Progress(f"{what} sent", total=total, clock=clock))
        for record in outgoing if per_s is None else _paced(feeds, outgoing, per_s, clock=clock):
            feeds.send(record)
            shown.advance()
        acknowledged = feeds.flush()
        took_s = max(clock.monotonic() - started_s, 1e-3)
    speed = f"{took_s:.1f} s ({sum(acknowledged.values()) / took_s:.0f}/s)"
    stopped = (
        f"; stopped by a signal before the end of {path}" if pipeline.stopping.is_set() else ""
    )
    counted = [
        f"{n} {what if len(channels) == 1 else channel}" for channel, n in acknowledged.items()
    ]
    say(f"{' and '.join(counted)} acknowledged in {speed}{stopped}")


class Feeds:
    """Sends events, and labels to the topic of their own, if there is one.

    Args:
        feeds: by their topic, that of the events first: no label is flushed before its event.
    """

    def __init__(self, feeds: Mapping[Channel, Feed]) -> None:
        self._feeds = feeds
        self._unflushed_n = 0

    def send(self, record: Outgoing) -> None:
        """Queue a record. Raises: Retryable, Misconfigured."""
        own = Channel.LABELS if record.is_label else Channel.EVENTS
        feed = self._feeds.get(own) or next(iter(self._feeds.values()))
        feed.send(
            record.value, key=record.key, timestamp_ms=record.timestamp_ms,
            partition=record.partition,
        )  # fmt: skip
        self._unflushed_n += 1
        if len(self._feeds) > 1 and self._unflushed_n >= TOGETHER_N:
            self.flush()

    def flush(self) -> dict[Channel, int]:
        """Wait for acknowledgement. Returns: of how many there was one so far.

        Raises: Retryable, Misconfigured.
        """
        self._unflushed_n = 0
        return {c: feed.flush(timeout_s=FLUSH_TIMEOUT_S) for c, feed in self._feeds.items()}


def _survey(pipeline: Pipeline, path: Path, columns: Columns, *, are_labels: bool) -> rows.Survey:
    """Read the file once to its end. Raises: BadInput, Usage."""
    settings, stopped = pipeline.settings, pipeline.stopping.is_set
    shape, labels = settings.events.core(), settings.labels
    if labels is None and (are_labels or columns.delay is not None):
        option = "--labels" if are_labels else "--delay"
        raise Usage(f"{option}: this pipeline takes no labels that come later; configure [labels]")
    if are_labels and labels is not None:
        own = LabelShape(
            labels.id, labels.label, settings.topics.events,
            among=None if settings.has_labels_topic else shape,
        )  # fmt: skip
        return label_rows.survey(path, shape=own, columns=columns, stopped=stopped)
    if columns.delay is not None and labels is not None:
        columns = replace(columns, told=(labels.id, labels.label))
    return rows.survey(path, shape=shape, columns=columns, stopped=stopped)


def _until_stopped(pipeline: Pipeline, records: Iterator[Outgoing]) -> Iterator[Outgoing]:
    for record in records:
        if pipeline.stopping.is_set():
            return
        yield record


def _paced(
    feeds: Feeds, records: Iterator[Outgoing], per_s: float, *, clock: Clock
) -> Iterator[Outgoing]:
    """Give each record at its time; after a delay the late ones follow at once."""
    started_s = flushed_s = clock.monotonic()
    for n, record in enumerate(records):
        due_s = started_s + n / per_s
        wait_s = due_s - clock.monotonic()
        if wait_s > 0:
            if due_s - flushed_s >= FLUSH_EVERY_S:
                feeds.flush()
                flushed_s = clock.monotonic()
                wait_s = due_s - flushed_s
            clock.sleep(max(0.0, wait_s))
        yield record
