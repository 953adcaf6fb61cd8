"""What `check` looks at in the labels topic: are its last labels read, and do they find an event?

A label that lies in another partition than its event comes to nothing, and no worker can tell: it
is `early` there, and later `unknown`. So the last events are looked through for them.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from stream.config import Settings
from stream.config.checks import show
from stream.core.event import (
    Channel,
    Event,
    Kind,
    LabelRecord,
    Reason,
    Record,
    Rejection,
    partition_in,
)
from stream.core.formats.codec import Codec
from stream.core.formats.label_records import LabelReader
from stream.core.labels.reading import label_in_topic
from stream.ports import Reader, TopicInfo
from stream.runtime import recent
from stream.runtime.commands.findings import Findings
from stream.runtime.commands.label_checks import SHARE_MAX

LABELS_N: Final = 100
"""Of each partition, so many of the last labels."""

EVENTS_N: Final = 2_500
"""And so many of the last events, but no more than `EVENTS_N_ALL` together."""

EVENTS_N_ALL: Final = 50_000

SAID_MAX: Final = 10
"""Of so many partitions it is said one by one."""


class Sample(NamedTuple):
    """The last labels of one partition.

    Attributes:
        n: how many there are.
        refused: those that would be refused for their bytes.
        known_n: of so many others the event's partition is known.
        strays_n: so many of these lie in another one.
    """

    n: int
    refused: Sequence[Rejection]
    known_n: int
    strays_n: int


class Whereabouts:
    """In which partitions the last events lie, by their ids and by their keys.

    Raises: Retryable, Misconfigured, LogLost.
    """

    def __init__(self, reader: Reader, settings: Settings, *, partitions: int) -> None:
        self._topic = settings.topics.events
        self._ids: defaultdict[str, set[int]] = defaultdict(set)
        self._keys: defaultdict[bytes, set[int]] = defaultdict(set)
        # An anomaly detector takes any label: an event is looked at for its id alone.
        codec = Codec(settings.events.core(), settings.limits.core(), Kind.ANOMALY)
        n = max(1, min(EVENTS_N, EVENTS_N_ALL // partitions))
        for partition in range(partitions):
            for record in _last(reader, Channel.EVENTS, partition, n):
                event = codec.decode(record.value)
                if isinstance(event, Event) and event.id is not None:
                    self._ids[event.id].add(partition)
                if record.key is not None:
                    self._keys[record.key].add(partition)

    def of(self, label: LabelRecord, record: Record) -> frozenset[int]:
        """Where a label's event is, or may be; empty: nobody knows."""
        if label.partition is not None:
            return frozenset((label.partition,))
        if label.id in self._ids:
            return frozenset(self._ids[label.id])
        partition = partition_in(label.id, self._topic)
        if partition is not None:
            return frozenset((partition,))
        return frozenset(self._keys.get(record.key or b"", ()))


def look(
    findings: Findings,
    reader: Reader,
    settings: Settings,
    *,
    infos: Mapping[Channel, TopicInfo | None],
    kind: Kind | None,
) -> None:
    """Say how the last labels stand, if there is a topic of theirs, and events.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    events, labels = infos.get(Channel.EVENTS), infos.get(Channel.LABELS)
    if settings.labels is None or events is None or labels is None:
        return
    if labels.partitions > events.partitions:
        findings.problem(
            f"topics.labels: {labels.name} has {labels.partitions} partitions, {events.name} has "
            f"{events.partitions}: a label lies in its event's partition where both have as many, "
            f"and nobody reads those from {events.partitions} on; add partitions to {events.name}"
        )
    whereabouts = Whereabouts(reader, settings, partitions=events.partitions)
    label_reader = LabelReader(
        settings.events.core(), settings.limits.core(), kind or Kind.ANOMALY,
        id_field=settings.labels.id, label_field=settings.labels.label,
    )  # fmt: skip
    samples = {
        partition: _sample(reader, partition, label_reader, whereabouts, settings)
        for partition in range(min(labels.partitions, events.partitions))
    }
    _say_refused(findings, settings, samples.values(), kind=kind)
    _say_strays(findings, samples)
    _say_known(findings, labels, samples.values())


def _sample(
    reader: Reader,
    partition: int,
    label_reader: LabelReader,
    whereabouts: Whereabouts,
    settings: Settings,
) -> Sample:
    """Look at the last labels of one partition."""
    bytes_max = settings.limits.key_and_headers_bytes_max
    records = _last(reader, Channel.LABELS, partition, LABELS_N)
    refused: list[Rejection] = []
    known_n = strays_n = 0
    for record in records:
        label = label_in_topic(record, label_reader, key_bytes_max=bytes_max)
        if isinstance(label, Rejection):
            refused.append(label)
            continue
        there = whereabouts.of(label, record)
        known_n += bool(there)
        strays_n += bool(there) and partition not in there
    return Sample(len(records), refused, known_n, strays_n)


def _last(reader: Reader, channel: Channel, partition: int, n: int) -> list[Record]:
    spans = (2 * n, 25 * n)  # half of the offsets may be transactions' markers
    return recent.last(reader, channel, partition, n=n, take=lambda record: record, spans=spans)


def _say_refused(
    findings: Findings, settings: Settings, samples: Collection[Sample], *, kind: Kind | None
) -> None:
    """Say how many of the last labels are refused, by reason, the most frequent first."""
    n = sum(each.n for each in samples)
    refused = [each for sample in samples for each in sample.refused]
    for reason, count in Counter(each.reason for each in refused).most_common():
        detail = next(each.detail for each in refused if each.reason == reason)
        _say(
            findings, count, n,
            f"labels: {count} of the last {n} are refused as {reason} ({detail}); "
            f"{_what_to_do(reason, settings, kind)}",
        )  # fmt: skip


def _what_to_do(reason: Reason, settings: Settings, kind: Kind | None) -> str:
    """What the sender, or the configuration, has to change."""
    assert settings.labels is not None  # noqa: S101  # there is a topic of theirs
    if reason is Reason.BAD_LABEL:
        field = f"labels.label, which is {show(settings.labels.label)}, must be the label's field"
        also = "; events.positive says which value is true" if kind is Kind.BINARY else ""
        return field + also
    if reason in (Reason.NO_ID, Reason.BAD_ID):
        return (
            f"labels.id, which is {show(settings.labels.id)}, must be the field with the event's "
            "id; or send its partition and offset"
        )
    if reason is Reason.TOO_LARGE:
        return "raise [limits], or send less"
    return "send one JSON object a label"


def _say_strays(findings: Findings, samples: Mapping[int, Sample]) -> None:
    """Say of which partitions labels lie elsewhere than their events, the worst first."""
    strays = [(p, each) for p, each in samples.items() if each.strays_n]
    strays.sort(key=lambda each: (-each[1].strays_n, each[0]))
    for partition, each in strays[:SAID_MAX]:
        _say(
            findings, each.strays_n, each.n,
            f"labels: {each.strays_n} of the last {each.n} labels of partition {partition} belong "
            "to events of other partitions, which never get them: send them with the event's key, "
            "to a topic with as many partitions",
        )  # fmt: skip
    if len(strays) > SAID_MAX:
        findings.note(f"labels: so it is in {len(strays) - SAID_MAX} partitions more")


def _say(findings: Findings, count: int, n: int, text: str) -> None:
    """Say that so many labels are never learned: of few a note, for no worker stops for them."""
    (findings.problem if count > n * SHARE_MAX else findings.note)(text)


def _say_known(findings: Findings, labels: TopicInfo, samples: Collection[Sample]) -> None:
    """Say of how many labels it is known that they lie where their event does."""
    n = sum(each.n for each in samples)
    if not n:
        findings.note(
            f"labels: {labels.name} is empty; until one comes nothing is learned but labels in "
            "events"
        )
        return
    there_n = sum(each.known_n - each.strays_n for each in samples)
    unknown_n = n - sum(len(each.refused) + each.known_n for each in samples)
    also = f"; of {unknown_n} no event is among the last" if unknown_n else ""
    if there_n or unknown_n:
        findings.ok(f"labels: {there_n} of the last {n} lie where their event does{also}")
