"""What `check` looks at where labels come later: are there any, and how many events wait?

Of a topic of their own see `labels_topic_checks`.
"""

from collections.abc import Callable
from functools import partial

from stream.config import Settings
from stream.config.durations import milliseconds
from stream.core.event import Channel, Kind, LabelRecord, Record, Rejection
from stream.core.formats.label_records import LabelReader
from stream.ports import Bounds, Reader, TopicInfo
from stream.runtime import recent
from stream.runtime.commands.findings import Findings

LOOKED_AT_N = 2_500
HOUR_MS = 3_600_000

SHARE_MAX = 0.1
"""Beyond it what is wrong is the sender, and no accident of a few records."""

Read = Callable[[bytes | None], LabelRecord | Rejection | None]
"""What a record of the events topic says of a label; None: it is no label record."""


def label_reader(settings: Settings, kind: Kind) -> Read | None:
    """What reads label records among events; None: no label comes later."""
    labels = settings.labels
    if labels is None:
        return None
    reader = LabelReader(
        settings.events.core(), settings.limits.core(), kind,
        id_field=labels.id, label_field=labels.label,
    )  # fmt: skip
    return reader.among_events


def say_labels(findings: Findings, settings: Settings, labels_n: int, *, n: int) -> None:
    """Say how many of the first records are labels; none should be if they have their own topic."""
    text = f"labels: {labels_n} of the first {n} records are labels of events"
    if settings.has_labels_topic:
        text += f", and are refused among these: send them to {settings.labels_topic}"
        if labels_n > n * SHARE_MAX:
            findings.problem(text)
        elif labels_n:
            findings.note(text)
        return
    if labels_n:
        findings.ok(text)
    else:
        findings.note(f"{text}; until one comes nothing is learned but labels in events")


def look(
    findings: Findings,
    reader: Reader,
    settings: Settings,
    *,
    events: TopicInfo,
    kind: Kind | None,
) -> None:
    """Say how many events would wait for their labels, at the rate of the last hour.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    labels, read = settings.labels, label_reader(settings, kind or Kind.ANOMALY)
    if labels is None or read is None:
        return
    waits, most, where = milliseconds(labels.wait) / HOUR_MS, -1.0, 0
    for partition in range(events.partitions):
        waiting = _events_of_an_hour(reader, partition, read) * waits
        if waiting > most:
            most, where = waiting, partition
    if most <= 0.0:
        return
    text = f"labels: at the rate of the last hour {most:,.0f} events wait in partition {where}"
    if most > labels.pending_max:
        findings.problem(
            f"{text}, and labels.pending_max keeps {labels.pending_max:,}: the others would be "
            "dropped, never learned; raise it, or shorten labels.wait"
        )
    else:
        findings.ok(f"{text}, of at most {labels.pending_max:,}")


def _events_of_an_hour(reader: Reader, partition: int, read: Read) -> float:
    """How many events have come within an hour before the newest; labels are none."""
    bounds = reader.bounds(Channel.EVENTS, partition)
    take = partial(_time_and_share, read)
    last = recent.last(reader, Channel.EVENTS, partition, n=LOOKED_AT_N, take=take)
    if not last:
        return 0.0
    since_ms = max(time_ms for time_ms, _ in last) - HOUR_MS
    share = sum(is_event for _, is_event in last) / len(last)
    return (bounds.end - _first_since(reader, partition, bounds, since_ms)) * share


def _time_and_share(read: Read, record: Record) -> tuple[int, bool]:
    return record.timestamp_ms, read(record.value) is None


def _first_since(reader: Reader, partition: int, bounds: Bounds, since_ms: int) -> int:
    """The first offset of that time, as far as timestamps are in order."""
    low, high = bounds.start, bounds.end
    while low < high:
        middle = (low + high) // 2
        records = recent.records_in(reader, Channel.EVENTS, partition, middle, high)
        found = next(records, None)
        if found is None or found.timestamp_ms >= since_ms:
            high = middle
        else:
            low = found.offset + 1
    return low
