"""How far a partition's outcomes reach, told by what was published of them.

The quarantine also holds records of the labels topic, if there is one, at offsets of their own:
they tell nothing of events. So each is asked for `topic`, the name of the events' topic.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice

from msgspec import UNSET

from stream.core.event import Channel, Record
from stream.core.fold.alert_values import FULL
from stream.core.fold.classes import OVER
from stream.core.formats.commands import mark_of
from stream.core.formats.quarantine import parse
from stream.core.formats.records import alert_in, prediction_in
from stream.core.snapshots.metadata import NOWHERE, Reached
from stream.ports import Bounds, Reader
from stream.runtime import recent
from stream.runtime.commit_policy import RECORDS_MAX

SPANS = (6, 250, *recent.SPANS)
"""Offsets to look back over for the last outcome: nearly always it is among the very last ones."""

LOOKED_AT_MAX = 5_000
"""How many of the last outcomes are compared with the log, where the very last does not fit it."""

_OUTCOMES = (Channel.PREDICTIONS, Channel.QUARANTINE)


def next_offset(reader: Reader, partition: int, *, topic: str) -> int | None:
    """The first offset of the events after all that have an outcome; None if none has one.

    Outputs and offsets are committed together, so this and the committed offset differ by no more
    than offsets without a record. At least once, it may be ahead of it, by what a crash left.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    found = [
        offset + 1
        for channel in _OUTCOMES
        for offset, _ in _last(reader, channel, partition, n=1, topic=topic)
    ]
    return max(found, default=None)


def end_in(reader: Reader, partition: int, events: Bounds, *, topic: str) -> int | None:
    """Like `next_offset`, but only for events of the log that is there now.

    An outcome of an event that is not in it any more is passed over: where the events were deleted
    and made again, or cut, those of the old ones are there yet.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    ends = []
    for channel in _OUTCOMES:
        for n in (1, LOOKED_AT_MAX):
            outcomes = dict(_last(reader, channel, partition, n=n, topic=topic))
            offset = _newest_of(reader, partition, outcomes, events)
            if offset is not None:
                ends.append(offset + 1)
                break
    return max(ends, default=None)


def first_offset(reader: Reader, partition: int, *, topic: str) -> int | None:
    """The offset of the oldest event whose outcome is there yet; None if none is.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    found: list[int] = []
    take = partial(event_offset, topic=topic)
    for channel in _OUTCOMES:
        bounds = reader.bounds(channel, partition)
        stop = min(bounds.end, bounds.start + recent.SPANS[-1])
        records = recent.records_in(reader, channel, partition, bounds.start, stop)
        found += islice((at for at in map(take, records) if at is not None), 1)
    return min(found, default=None)


def first_missing(reader: Reader, partition: int, end: int, *, topic: str, since: int = 0) -> int:
    """The first of the last events before `end` that has no outcome; `end` if all have one.

    At least once, what goes to two topics at a time is durable in any order, and a crash may leave
    the later event's outcome without the earlier one's; never more than were under way together.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    known: set[int] = set()
    take = partial(event_offset, topic=topic)
    events = reader.bounds(Channel.EVENTS, partition)
    since, stop = max(since, events.start, end - RECORDS_MAX), min(events.end, end)
    for channel in _OUTCOMES:
        known.update(recent.last(reader, channel, partition, n=recent.SPANS[-1], take=take))
    missing = (offset for offset in _offsets(reader, partition, since, stop) if offset not in known)
    return next(missing, end)


def first_event(reader: Reader, partition: int, start: int, stop: int) -> int | None:
    """The first offset in a range of the events that holds a record.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    return next(_offsets(reader, partition, start, stop), None)


def first_left_out(
    reader: Reader, partition: int, start: int, stop: int, *, topic: str
) -> int | None:
    """The first offset in a range of the events at which a closed state let something new not in.

    It had reached its ceiling (`Admission.close_if_heavy`) by then, and between that and this event
    nothing was new, so that it is as good as the very step. None: there is no such event, or it
    lies further back than all that is looked at.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    take = partial(_left_out_at, topic=topic)
    left_out = [
        offset
        for channel in (Channel.ALERTS, Channel.QUARANTINE)
        for offset in recent.last(
            reader, channel, partition, n=recent.SPANS[-1], take=take,
            spans=recent.SPANS[-1:],
        )
        if start <= offset < stop
    ]  # fmt: skip
    return min(left_out, default=None)


def _left_out_at(record: Record, *, topic: str) -> int | None:
    """The offset at which an output says that a name or class was left out; None: it does not."""
    refused = parse(record)
    if refused is not None:
        is_over = refused.topic == topic and refused.detail.startswith(OVER)
        return refused.offset if is_over else None
    if FULL.encode() not in (record.value or b""):
        return None
    alert = alert_in(record)
    if alert is None or alert.name != FULL or alert.state not in (UNSET, "firing"):
        return None
    return alert.offset


def event_offset(record: Record, *, topic: str) -> int | None:
    """The offset of the event that an output tells of; None if it tells of none of that topic."""
    refused = parse(record)  # a sender may have used our headers' names too
    if refused is not None:
        return refused.offset if refused.topic == topic else None
    prediction = prediction_in(record)
    return None if prediction is None else prediction.offset


def refused_labels(reader: Reader, partition: int, *, topic: str) -> Reached:
    """How far the labels topic was read, told by the last of its records that was refused.

    Args:
        reader: reads the quarantine and the labels.
        partition: whose.
        topic: the name of the labels' topic.

    Returns: the place behind that record; `NOWHERE`: there is none, or it lay in another topic of
        this name.
    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    take = partial(_of_topic, topic=topic)
    last = recent.last(reader, Channel.QUARANTINE, partition, n=1, take=take, spans=SPANS)
    if not last:
        return NOWHERE
    ((offset, outcome),) = last
    bounds = reader.bounds(Channel.LABELS, partition)
    if offset >= bounds.end:
        return NOWHERE
    if offset < bounds.start:
        return Reached(offset + 1)  # retention took it: nothing speaks against it
    label = next(recent.records_in(reader, Channel.LABELS, partition, offset, offset + 1), None)
    if label is None:
        return Reached(offset + 1)
    return Reached(offset + 1, mark_of(label)) if _fits(label, outcome) else NOWHERE


def _of_topic(record: Record, *, topic: str) -> tuple[int, Record] | None:
    refused = parse(record)
    return None if refused is None or refused.topic != topic else (refused.offset, record)


def _offsets(reader: Reader, partition: int, start: int, stop: int) -> Iterator[int]:
    for record in recent.records_in(reader, Channel.EVENTS, partition, start, stop):
        yield record.offset


def _last(
    reader: Reader, channel: Channel, partition: int, *, n: int, topic: str
) -> list[tuple[int, Record]]:
    """The last outcomes of a channel, each with its event's offset."""

    def take(record: Record) -> tuple[int, Record] | None:
        offset = event_offset(record, topic=topic)
        return None if offset is None else (offset, record)

    return recent.last(reader, channel, partition, n=n, take=take, spans=SPANS)


def _newest_of(
    reader: Reader, partition: int, outcomes: Mapping[int, Record], events: Bounds
) -> int | None:
    """The offset of the newest outcome whose event the log holds, or may have held."""
    there = [offset for offset in outcomes if offset < events.end]
    if not there:
        return None
    held = [offset for offset in there if offset >= events.start]
    if not held:
        return max(there)  # retention took their events: nothing speaks against them
    found = {
        event.offset: event
        for event in recent.records_in(reader, Channel.EVENTS, partition, min(held), max(held) + 1)
        if event.offset in outcomes
    }
    fitting = (
        offset
        for offset in sorted(held, reverse=True)
        # One that is not there was compacted.
        if offset not in found or _fits(found[offset], outcomes[offset])
    )
    return next(fitting, None)


def _fits(event: Record, outcome: Record) -> bool:
    """Whether an outcome may belong to this event."""
    key, own = event.key or b"", outcome.key or b""
    if key != own and not (outcome.headers and key.startswith(own)):  # a quarantined one may be cut
        return False
    # A topic may take no timestamp so far from now; then a header has the event's own.
    time = str(event.timestamp_ms).encode()
    return outcome.timestamp_ms == event.timestamp_ms or any(v == time for _, v in outcome.headers)
