"""What `status` says of labels that come later: from a commit, and from the last outcomes."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from math import ceil

import msgspec
from msgspec import UNSET, UnsetType

from stream.config import Settings
from stream.config.durations import milliseconds
from stream.core.event import Channel, Kind, Record
from stream.core.outcomes import OutcomeKind
from stream.core.problems import PROBLEMS
from stream.core.scores import WINDOW_N, Score
from stream.core.snapshots.metadata import Metadata
from stream.ports import Reader, TopicInfo
from stream.runtime import recent
from stream.runtime.commands import screen

EARLY_SHARE = 10
"""Labels that came within a tenth of `labels.wait` are scored apart: a score that fell there, too,
is the model's; one that fell only in all of them may be that of slow labels."""


MARKERS_N = 100
"""Of so few offsets each is looked at: whoever sends labels in transactions leaves markers there,
which nobody folds."""


class Labelled(msgspec.Struct, frozen=True):
    """What a `labeled` outcome says that a score is made of."""

    kind: str
    event_time_ms: int | None
    label_time_ms: int | None
    delay_ms: int | None
    prediction: bool | int | float | str | None
    label: bool | int | float | str | None


class LabelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the labels of one partition stand.

    Attributes:
        lag: records of the labels topic that are not folded yet; None: unknown; absent where labels
            have no topic of their own.
        waiting: events that wait for their label, at the last commit.
        expired, dropped, unknown, corrected: outcomes of these kinds, in the fold's life.
        delay_ms_median, delay_ms_p95: of the last labels; None: there was none.
        score: over the last labels; score_early: over those of them that came within a tenth of
            `labels.wait`.
    """

    lag: int | UnsetType | None = UNSET
    waiting: int
    expired: int
    dropped: int
    unknown: int
    corrected: int
    delay_ms_median: int | None
    delay_ms_p95: int | None
    score: Score | None
    score_early: Score | None


_decode = msgspec.json.Decoder(Labelled).decode


def label_status(
    known: Metadata | None,
    reader: Reader,
    infos: Mapping[Channel, TopicInfo | None],
    settings: Settings,
    *,
    partition: int,
    kind: Kind | None,
) -> LabelStatus | UnsetType:
    """Ask how labels stand.

    Args:
        known: what the last commit says; None: there was none.
        reader: reads the outcomes, and the labels.
        infos: their topics, as far as there are any.
        settings: whether labels come later, where, and how long they are waited for.
        partition: whose.
        kind: the model's; None: it is not known, and nothing is scored.

    Returns: how they stand; UNSET: no label comes later.
    Raises: Retryable, Misconfigured, LogLost.
    """
    if settings.labels is None:
        return UNSET
    wait_ms, outcomes = milliseconds(settings.labels.wait), infos.get(Channel.OUTCOMES)
    counts = (known.labels if known is not None else ()) or (0, 0, 0, 0, 0)
    found: list[Labelled] = []
    if outcomes is not None and partition < outcomes.partitions:
        found = recent.last(reader, Channel.OUTCOMES, partition, n=WINDOW_N + 1, take=_labelled)
    delays = sorted(each.delay_ms for each in found if each.delay_ms is not None)
    waiting, expired, dropped, unknown, corrected = counts
    return LabelStatus(
        lag=_lag(known, reader, infos.get(Channel.LABELS), settings, partition),
        waiting=waiting, expired=expired, dropped=dropped, unknown=unknown, corrected=corrected,
        delay_ms_median=_at(delays, 0.5), delay_ms_p95=_at(delays, 0.95),
        score=_score(found, kind),
        score_early=_score([e for e in found if (e.delay_ms or 0) * EARLY_SHARE <= wait_ms], kind),
    )  # fmt: skip


def _lag(
    known: Metadata | None,
    reader: Reader,
    topic: TopicInfo | None,
    settings: Settings,
    partition: int,
) -> int | UnsetType | None:
    """How many records of the labels topic are not folded; before a commit, from `topics.start`."""
    if not settings.has_labels_topic:
        return UNSET
    if topic is None or partition >= topic.partitions:
        return None
    bounds = reader.bounds(Channel.LABELS, partition)
    at = None if known is None else known.labels_topic.offset
    if at is None and settings.topics.start == "latest":
        return None  # a worker begins at what will be the end
    # Beyond the end it was of another topic of this name, which is read from its start.
    start = bounds.start if at is None or at > bounds.end else max(at, bounds.start)
    if bounds.end - start > MARKERS_N:
        return bounds.end - start
    records = recent.records_in(reader, Channel.LABELS, partition, start, bounds.end)
    return sum(1 for _ in records)


def show(rows: Sequence[tuple[int, LabelStatus]]) -> None:
    """Show a table of it."""
    lag = () if all(row.lag is UNSET for _, row in rows) else ("lag",)
    columns = (
        "partition", *lag, "waiting", "delay", "95 %", "expired", "dropped", "unknown", "corrected",
        "score", "of early ones",
    )  # fmt: skip
    screen.table(columns, [_cells(partition, row) for partition, row in rows])


def _cells(partition: int, row: LabelStatus) -> list[str]:
    counts = row.waiting, row.expired, row.dropped, row.unknown, row.corrected
    waiting, *others = map(str, counts)
    lag = () if row.lag is UNSET else ("-" if row.lag is None else str(row.lag),)
    return [
        str(partition), *lag, waiting, _age(row.delay_ms_median), _age(row.delay_ms_p95), *others,
        _worth(row.score), _worth(row.score_early),
    ]  # fmt: skip


def _age(ms: int | None) -> str:
    return "-" if ms is None else screen.age(ms / 1000)


def _worth(score: Score | None) -> str:
    return "-" if score is None else f"{score.metric} {score.value:.4f}"


def _labelled(record: Record) -> Labelled | None:
    """What a record of the outcomes says of a label that came; None: it is no such outcome."""
    try:
        value = _decode(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return value if value.kind == OutcomeKind.LABELED else None


def _score(found: Sequence[Labelled], kind: Kind | None) -> Score | None:
    """Score what was predicted, beside the last label that had come by then."""
    if kind is None:
        return None
    times: list[int] = []
    pairs: list[tuple[object, ...]] = []
    for each in found:
        came = bisect_right(times, each.event_time_ms or 0)
        known = pairs[came - 1][1] if came else None
        pairs.append((each.prediction, each.label, known))
        times.append(max(each.label_time_ms or 0, times[-1] if times else 0))
    return PROBLEMS[kind].score(pairs)


def _at(delays: Sequence[int], share: float) -> int | None:
    """A quantile: the smallest delay that so many are not above."""
    return delays[max(0, ceil(share * len(delays)) - 1)] if delays else None
