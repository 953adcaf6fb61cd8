"""The command `tail`: what came out of a pipeline, the last of it and what comes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any

from stream.core.event import Channel, Record
from stream.errors import Misconfigured, Retryable
from stream.ports import Bounds, Reader, Topics
from stream.runtime import stdout
from stream.runtime.commands import screen
from stream.runtime.commands.merging import Merged, Start
from stream.runtime.commands.shown import shown
from stream.runtime.commands.tables import Columns
from stream.runtime.pipeline import Pipeline

LOOK_EVERY_S = 0.5
"""Between two looks at the ends; a record is seen within it and the worker's commit interval."""

PARTITIONS_EVERY_S = 10.0
"""Between two looks for partitions that were added."""

AWAY_S = 60.0
"""So long a server that was there may be away, for a follower."""

BATCH_RECORDS = 1_000
"""Shown at once: the width of a table's columns is that of the first so many."""

ALL = -1


class _Showing:
    """Shows a topic's records: first the last ones, then what comes, each once."""

    def __init__(
        self, pipeline: Pipeline, reader: Reader, channel: Channel, *, as_json: bool
    ) -> None:
        self._pipeline = pipeline
        self._reader = reader
        self._channel = channel
        self._shown = shown(channel, pipeline.settings)
        self._as_json = as_json
        self._columns: Columns | None = None
        self._merged = Merged(reader, channel, self._shown.take)

    def show_last(self, partitions: int, n: int) -> int:
        """Show the last `n` records of all partitions together. Returns: how many there were."""
        bounds = {p: self._reader.bounds(self._channel, p) for p in range(partitions)}
        ends = {partition: each.end for partition, each in bounds.items()}
        return self._show(self._merged.newest(bounds, n), ends)

    def show_new(self, partitions: int) -> None:
        """Show what came since the last look, from where each partition was left."""
        starts, ends = {}, {}
        for partition in range(partitions):
            bounds = self._reader.bounds(self._channel, partition)
            starts[partition] = self._resumed(partition, bounds)
            ends[partition] = bounds.end
        self._show(starts, ends)

    def _resumed(self, partition: int, bounds: Bounds) -> Start:
        """Where a partition's showing goes on; at the log's start if that place is gone."""
        start = self._merged.passed.get(partition, Start(bounds.start))
        where = f"{self._pipeline.settings.topics.name(self._channel)} partition {partition}"
        if start.offset < bounds.start:
            _tell(f"{where}: offsets {start.offset} to {bounds.start - 1} are gone: retention")
        elif start.offset > bounds.end:
            _tell(f"{where}: ended at {start.offset} and ends at {bounds.end}: made again")
        else:
            return start
        return Start(bounds.start)

    def _show(self, starts: Mapping[int, Start], ends: Mapping[int, int]) -> int:
        """Show the records between two places, in batches. Returns: how many were shown."""
        shown_n = 0
        batch: list[tuple[Record, Any]] = []
        try:
            for each in self._merged.records(starts, ends):
                batch.append(each)
                if len(batch) == BATCH_RECORDS:
                    self._write(batch)
                    shown_n += len(batch)
                    batch = []
                    if is_over(self._pipeline):
                        break
        finally:  # a read that fails in between goes on after these
            if batch:
                self._write(batch)
        return shown_n + len(batch)

    def _write(self, batch: Sequence[tuple[Record, Any]]) -> None:
        """Write a batch as JSON or as rows; the first rows decide how wide the columns are."""
        if self._as_json:
            screen.write(screen.json_line(self._shown.json(*each)) for each in batch)
            return
        rows = [self._shown.row(*each) for each in batch]
        if self._columns is None:
            chars = screen.line_chars()
            self._columns = Columns(self._shown.columns, rows, line_chars=chars)
            screen.head(self._columns)
        columns = self._columns
        screen.write(line for row in rows for line in columns.lines(row))


def show(pipeline: Pipeline, channel: Channel, *, last: int, follow: bool, as_json: bool) -> None:
    """Show the last records of an output topic; with `follow` go on until a stop signal.

    Raises:
        Misconfigured: there is no such topic, and nobody waits for it.
        Retryable: Kafka is away.
    """
    name = pipeline.settings.topics.name(channel)
    with ExitStack() as stack:
        topics = stack.enter_context(closing(pipeline.backend.topics()))
        partitions = _partitions(topics, channel)
        needs_labels = channel is Channel.OUTCOMES and channel not in pipeline.settings.channels
        made = f"the first `stream run`{' with [labels]' if needs_labels else ''} makes it"
        if not partitions and not follow:
            raise Misconfigured(
                f"topics.{channel}: {name} does not exist; {made} (with --follow it is waited for)"
            )
        if not partitions:
            _tell(f"waiting for {name}; {made}")
        while not partitions:
            pipeline.clock().sleep(LOOK_EVERY_S)
            if is_over(pipeline):
                return
            partitions = _partitions(topics, channel)
            last = ALL  # nothing was there when it began: all there is has come since
        reader = stack.enter_context(closing(pipeline.backend.reader()))
        showing = _Showing(pipeline, reader, channel, as_json=as_json)
        if last != ALL and not showing.show_last(partitions, last) and last:
            _tell(f"nothing in {name} yet")
        if follow:
            _follow(pipeline, showing, lambda: _partitions(topics, channel))


def is_over(pipeline: Pipeline) -> bool:
    """Whether nobody wants more: a stop signal came, or who read stdout has left."""
    return pipeline.stopping.is_set() or stdout.reader_left()


def _follow(pipeline: Pipeline, showing: _Showing, count: Callable[[], int]) -> None:
    """Show what comes until nobody wants more. Raises: Retryable: Kafka was away for a minute."""
    clock = pipeline.clock()
    partitions, counted_s = count(), clock.monotonic()
    away_since_s: float | None = None
    while not is_over(pipeline):
        try:
            if clock.monotonic() - counted_s > PARTITIONS_EVERY_S:
                partitions, counted_s = count(), clock.monotonic()
            showing.show_new(partitions)
            away_since_s = None
        except Retryable as error:
            now_s = clock.monotonic()
            if away_since_s is None:
                _tell(f"{error}; trying again for {AWAY_S:.0f} s")
                away_since_s = now_s
            elif now_s - away_since_s > AWAY_S:
                raise
        clock.sleep(LOOK_EVERY_S)


def _partitions(topics: Topics, channel: Channel) -> int:
    """How many partitions a topic has; 0: no such topic. Raises: Retryable, Misconfigured."""
    info = topics.describe((channel,))[channel]
    return 0 if info is None else info.partitions


def _tell(text: str) -> None:
    screen.say(f"stream: {text}", error=True)
