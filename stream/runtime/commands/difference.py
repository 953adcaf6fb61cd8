"""Where a replay first gives another outcome than the one that was published."""

from collections.abc import Iterator

import xxhash

from stream.core.event import Channel, Record
from stream.core.fold.task import Task
from stream.core.formats.quarantine import QUARANTINE_HEADERS
from stream.core.result import StepResult
from stream.ports import Clock, Reader
from stream.runtime import published, recent
from stream.runtime.journal import Steps
from stream.runtime.replay import Replay

_hash = xxhash.xxh3_64_intdigest
_REASON = QUARANTINE_HEADERS[0]


def first(task: Task, reader: Reader, *, stop: int, clock: Clock, steps: Steps) -> int | None:
    """The first offset from `task.next_offset` to `stop` whose outcomes differ.

    `steps` are folded beside the events. None: no prediction and no refusal does, of those that
    the output topics still hold; of what retention has taken nobody can tell.

    Raises: Retryable, Misconfigured, LogLost.
    """
    # All of one topic and then the next: a reader reads one range at a time.
    published = dict(_published(reader, task, stop))
    oldest = min(published, default=stop)
    found: list[int] = []

    def differs(result: StepResult) -> bool:
        offset = result.record.offset
        if (
            not result.is_of_label
            and offset >= oldest
            and published.get(offset) != _digest_of(result)
        ):
            found.append(offset)
        return bool(found)

    Replay(reader, task, clock=clock, steps=steps).advance(stop, look=differs)
    return next(iter(found), None)


def _published(reader: Reader, task: Task, stop: int) -> Iterator[tuple[int, int]]:
    partition, start, topic = task.partition, task.next_offset, task.recipe.events_topic
    for channel in (Channel.PREDICTIONS, Channel.QUARANTINE):
        bounds = reader.bounds(channel, partition)
        for record in recent.records_in(reader, channel, partition, bounds.start, bounds.end):
            offset = published.event_offset(record, topic=topic)
            if offset is not None and start <= offset < stop:
                yield offset, _published_digest(record)


def _digest_of(result: StepResult) -> int:
    """A refusal's reason or a prediction, as a hash: memory holds many of these."""
    refusal = result.refusal
    return _hash(result.canonical if refusal is None else refusal.reason.value.encode())


def _published_digest(record: Record) -> int:
    """The same of a published record."""
    reason = dict(record.headers).get(_REASON)
    return _hash(record.value or b"" if reason is None else reason)
