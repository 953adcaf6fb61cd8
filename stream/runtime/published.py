"""How far a partition's outcomes reach, told by what was published of them."""

from collections.abc import Iterator, Mapping
from itertools import islice

from msgspec import UNSET

from stream.core.event import Channel, Record
from stream.core.fold.alert_values import FULL
from stream.core.fold.classes import OVER
from stream.core.formats.quarantine import parse
from stream.core.formats.records import alert_in, prediction_in
from stream.ports import Bounds, Reader
from stream.runtime import recent
from stream.runtime.commit_policy import RECORDS_MAX

SPANS = (6, 250, *recent.SPANS)
"""Offsets to look back over for the last outcome: nearly always it is among the very last ones."""

LOOKED_AT_MAX = 5_000
"""How many of the last outcomes are compared with the log, where the very last does not fit it."""

_OUTCOMES = (Channel.PREDICTIONS, Channel.QUARANTINE)


def next_offset(reader: Reader, partition: int) -> int | None:
    """The first offset of the events after all that have an outcome; None if none has one.

    Outputs and offsets are committed together, so this and the committed offset differ by no more
    than offsets without a record. At least once, it may be ahead of it, by what a crash left.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    found = [
        offset + 1 for channel in _OUTCOMES for offset, _ in _last(reader, channel, partition, n=1)
    ]
    return max(found, default=None)


def end_in(reader: Reader, partition: int, events: Bounds) -> int | None:
    """Like `next_offset`, but only for events of the log that is there now.

    An outcome of an event that is not in it any more is passed over: where the events were deleted
    and made again, or cut, those of the old ones are there yet.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    ends = []
    for channel in _OUTCOMES:
        for n in (1, LOOKED_AT_MAX):
            outcomes = dict(_last(reader, channel, partition, n=n))
            offset = _newest_of(reader, partition, outcomes, events)
            if offset is not None:
                ends.append(offset + 1)
                break
    return max(ends, default=None)


def first_offset(reader: Reader, partition: int) -> int | None:
    """The offset of the oldest event whose outcome is there yet; None if none is.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    found: list[int] = []
    for channel in _OUTCOMES:
        bounds = reader.bounds(channel, partition)
        stop = min(bounds.end, bounds.start + recent.SPANS[-1])
        records = recent.records_in(reader, channel, partition, bounds.start, stop)
        found += islice((at for at in map(event_offset, records) if at is not None), 1)
    return min(found, default=None)


def first_missing(reader: Reader, partition: int, end: int, *, since: int = 0) -> int:
    """The first of the last events before `end` that has no outcome; `end` if all have one.

    At least once, what goes to two topics at a time is durable in any order, and a crash may leave
    the later event's outcome without the earlier one's; never more than were under way together.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    known: set[int] = set()
    events = reader.bounds(Channel.EVENTS, partition)
    since, stop = max(since, events.start, end - RECORDS_MAX), min(events.end, end)
    for channel in _OUTCOMES:
        known.update(recent.last(reader, channel, partition, n=recent.SPANS[-1], take=event_offset))
    missing = (offset for offset in _offsets(reader, partition, since, stop) if offset not in known)
    return next(missing, end)


def first_event(reader: Reader, partition: int, start: int, stop: int) -> int | None:
    """The first offset in a range of the events that holds a record.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    return next(_offsets(reader, partition, start, stop), None)


def first_left_out(reader: Reader, partition: int, start: int, stop: int) -> int | None:
    """The first offset in a range of the events at which a closed state let something new not in.

    It had reached its ceiling (`Admission.close_if_heavy`) by then, and between that and this event
    nothing was new, so that it is as good as the very step. None: there is no such event, or it
    lies further back than all that is looked at.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    left_out = [
        offset
        for channel in (Channel.ALERTS, Channel.QUARANTINE)
        for offset in recent.last(
            reader, channel, partition, n=recent.SPANS[-1], take=_left_out_at,
            spans=recent.SPANS[-1:],
        )
        if start <= offset < stop
    ]  # fmt: skip
    return min(left_out, default=None)


def _left_out_at(record: Record) -> int | None:
    """The offset at which an output says that a name or class was left out; None: it does not."""
    refused = parse(record)
    if refused is not None:
        return refused.offset if refused.detail.startswith(OVER) else None
    if FULL.encode() not in (record.value or b""):
        return None
    alert = alert_in(record)
    if alert is None or alert.name != FULL or alert.state not in (UNSET, "firing"):
        return None
    return alert.offset


def event_offset(record: Record) -> int | None:
    """The offset of the event that an output tells of; None if it is no output of ours."""
    refused = parse(record)  # a sender may have used our headers' names too
    if refused is not None:
        return refused.offset
    prediction = prediction_in(record)
    return None if prediction is None else prediction.offset


def _offsets(reader: Reader, partition: int, start: int, stop: int) -> Iterator[int]:
    for record in recent.records_in(reader, Channel.EVENTS, partition, start, stop):
        yield record.offset


def _last(reader: Reader, channel: Channel, partition: int, *, n: int) -> list[tuple[int, Record]]:
    """The last outcomes of a channel, each with its event's offset."""

    def take(record: Record) -> tuple[int, Record] | None:
        offset = event_offset(record)
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
