"""The command `status`: one row a partition, from what log and store hold; no worker is asked."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from functools import cache, partial
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from stream.core.event import Channel, Kind, Record
from stream.core.formats.records import prediction_in
from stream.core.problems import PROBLEMS
from stream.core.result import PredictionValue
from stream.core.scores import WINDOW_N, Score
from stream.core.snapshots.metadata import parse_metadata
from stream.errors import BadInput, Misconfigured, Retryable
from stream.ports import Reader, SnapshotStore, StoredSnapshot, TopicInfo, Topics
from stream.runtime import recent
from stream.runtime.commands import label_status as label_status_of
from stream.runtime.commands import screen
from stream.runtime.commands.alerts import episodes_n, last_alerts
from stream.runtime.commands.health import wait_for_progress
from stream.runtime.commands.label_status import LabelStatus, label_status
from stream.runtime.lag import is_paused, lag
from stream.runtime.pipeline import Pipeline
from stream.runtime.topics import width


class PartitionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one partition stands; None where something is unknown.

    Attributes:
        lag: events not yet committed; before a first commit counted from `topics.start`.
        paused: whether the breaker on quarantine or a command stopped it there
            (docs/OPERATING.md).
        frozen: whether it predicts and does not learn.
        snapshot_n: the step of the newest snapshot's fold, by which the store knows it.
        learned: how many events the model had learned at the committed offset.
        score: the score over the last predictions that have a label.
        alerts: episodes of a warning and more that began within the last `alerts.budget_events`
            offsets: so many false ones may be, at most, is one; None: each firing is an alert.
        last_alert: the newest alert, as it was published.
        labels: how labels stand that come later; absent where none do.
    """

    partition: int
    committed_offset: int | None
    end_offset: int
    lag: int | None
    paused: bool
    frozen: bool
    snapshot_n: int | None
    snapshot_offset: int | None
    snapshot_age_s: float | None
    snapshot_size_bytes: int | None
    learned: int | None
    score: Score | None
    alerts: int | None
    last_alert: dict[str, Any] | None
    labels: LabelStatus | UnsetType = UNSET


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How a pipeline stands; `v` is the version of this shape."""

    v: int = 1
    pipeline: str
    partitions: list[PartitionStatus]


def show(pipeline: Pipeline, *, as_json: bool, progress_within_s: float | None) -> None:
    """Say how the pipeline stands.

    Args:
        pipeline: the pipeline that is asked about.
        as_json: one document instead of a table.
        progress_within_s: first wait for a sign of progress (see `wait_for_progress`), and then
            say the rest only as JSON, if that is asked for.

    Raises:
        Retryable: Kafka is away, or there was no progress in time.
        Misconfigured: there is no events topic.
    """
    with ExitStack() as stack:
        topics = stack.enter_context(closing(pipeline.backend.topics()))
        infos = topics.describe(pipeline.settings.channels)
        events = events_topic(infos, pipeline)
        reader = stack.enter_context(closing(pipeline.backend.reader()))
        if progress_within_s is not None:
            # What has no place in the outputs waits for one, and no restart would help it.
            placed = msgspec.structs.replace(events, partitions=width(infos))
            sign = wait_for_progress(pipeline, reader, placed, within_s=progress_within_s)
            if not as_json:
                screen.say(sign)
                return
        status = gather(pipeline, reader, infos, events)
    if as_json:
        screen.say_json(status)
    else:
        _show_table(status)


def events_topic(infos: Mapping[Channel, TopicInfo | None], pipeline: Pipeline) -> TopicInfo:
    """The events topic, which must be there. Raises: Misconfigured."""
    events = infos[Channel.EVENTS]
    if events is None:
        name = pipeline.settings.topics.events
        hint = (
            "the first `stream run` or `stream produce` makes it"
            if pipeline.settings.topics.create
            else "create it, or set topics.create = true"
        )
        raise Misconfigured(f"topics.events: {name} does not exist; {hint}")
    return events


def partitions_of(topics: Topics, pipeline: Pipeline) -> range:
    """The numbers of the events topic's partitions. Raises: Misconfigured, Retryable."""
    return range(events_topic(topics.describe(), pipeline).partitions)


# -- what there is --------------------------------------------------------------------------------


def gather(
    pipeline: Pipeline, reader: Reader, infos: Mapping[Channel, TopicInfo | None], events: TopicInfo
) -> Status:
    """Ask log and store how the pipeline stands. Raises: Retryable, Misconfigured."""
    committed = reader.committed()
    snapshots = _newest_snapshots(pipeline, events.partitions)
    kind = cache(partial(_kind, pipeline))
    now_ms = pipeline.clock().now_ms()
    rows = []
    for partition in range(events.partitions):
        bounds = reader.bounds(Channel.EVENTS, partition)
        at = committed.get(partition)
        known = None if at is None else parse_metadata(at.metadata)
        snapshot = snapshots.get(partition)
        offset = bounds.end if at is None else at.offset
        alerts = last_alerts(pipeline, reader, infos[Channel.ALERTS], partition)
        labels = label_status(
            known, reader, infos, pipeline.settings, partition=partition,
            kind=kind() if pipeline.settings.labels else None,
        )  # fmt: skip
        rows.append(
            PartitionStatus(
                partition=partition,
                committed_offset=None if at is None else at.offset,
                end_offset=bounds.end,
                lag=lag(at, bounds, start=pipeline.settings.topics.start),
                paused=is_paused(at),
                frozen=known is not None and known.is_frozen,
                snapshot_n=None if snapshot is None else snapshot.n,
                snapshot_offset=None if snapshot is None else snapshot.next_offset,
                snapshot_age_s=None if snapshot is None else _age_s(snapshot, now_ms),
                snapshot_size_bytes=None if snapshot is None else snapshot.size_bytes,
                learned=None if known is None else known.learned,
                score=_score(reader, infos[Channel.PREDICTIONS], partition, kind),
                alerts=episodes_n(pipeline, alerts, offset),
                last_alert=alerts[-1] if alerts else None,
                labels=labels,
            )
        )
    return Status(pipeline=pipeline.settings.pipeline, partitions=rows)


def _age_s(snapshot: StoredSnapshot, now_ms: int) -> float:
    return max(0.0, (now_ms - snapshot.saved_at_ms) / 1000)


def _newest_snapshots(pipeline: Pipeline, partitions: int) -> dict[int, StoredSnapshot]:
    """The newest snapshot of each partition; {} with a line on stderr if the store is away."""
    found = {}
    try:
        with closing(pipeline.backend.snapshots()) as store:
            for partition in range(partitions):
                stored = stored_in(pipeline, store, partition)
                if stored:
                    found[partition] = stored[0]
    except (Retryable, Misconfigured) as error:
        screen.say(pipeline.telemetry.clean(f"stream: snapshots unknown: {error}"), error=True)
        return {}
    return found


def stored_in(pipeline: Pipeline, store: SnapshotStore, partition: int) -> list[StoredSnapshot]:
    """What the store tells of a partition; [] with a line on stderr if that is rubbish.

    Raises: Retryable, Misconfigured.
    """
    try:
        return store.stored(partition)
    except BadInput as error:
        text = f"stream: snapshots of partition {partition} unknown: {error}"
        screen.say(pipeline.telemetry.clean(text), error=True)
        return []


def _score(
    reader: Reader,
    predictions: TopicInfo | None,
    partition: int,
    kind: Callable[[], Kind | None],
) -> Score | None:
    """Score the last predictions with a label; `kind` is asked only where they don't tell."""
    if predictions is None or partition >= predictions.partitions:
        return None
    # One more than the window: the first only gives the baseline its last label.
    found = recent.last(reader, Channel.PREDICTIONS, partition, n=WINDOW_N + 1, take=_labelled)
    # At least once may repeat a record, byte for byte.
    once = {p.offset: (p.prediction, p.label) for p in found}
    known = next((p.kind for p in found if p.kind is not None), None)
    if known is None and found:
        known = kind()
    return None if known is None else PROBLEMS[known].score(list(once.values()))


def _kind(pipeline: Pipeline) -> Kind | None:
    """What the model does; None with a line on stderr if it cannot be built here."""
    # They load river: a second or two, which a look at the log need not take.
    from stream.core.learning import estimator  # noqa: PLC0415
    from stream.runtime import preparation  # noqa: PLC0415

    try:
        recipe = preparation.make_recipe(pipeline.settings)
        return estimator.kind_of(estimator.build(recipe.model))
    except Misconfigured as error:
        text = f"stream: scores unknown: {error.problems[0]}"
        screen.say(pipeline.telemetry.clean(text), error=True)
        return None


def _labelled(record: Record) -> PredictionValue | None:
    value = prediction_in(record)
    return None if value is None or value.label is UNSET else value


# -- how it is shown ------------------------------------------------------------------------------


def _show_table(status: Status) -> None:
    """Show how each partition stands, and below how labels do that come later."""
    columns = (
        "partition", "committed", "end", "lag", "snapshot", "age", "size", "learned", "score",
        "no change", "alerts", "last alert",
    )  # fmt: skip
    screen.table(columns, [_cells(row) for row in status.partitions])
    labels = [(p.partition, p.labels) for p in status.partitions if p.labels is not UNSET]
    if labels:
        label_status_of.show(labels)


def _cells(row: PartitionStatus) -> list[str]:
    """One partition as a row of the table; "-" stands for what is unknown."""
    alert = row.last_alert
    return [
        str(row.partition),
        _text(row.committed_offset),
        str(row.end_offset),
        f"{_text(row.lag)} (paused)" if row.paused else _text(row.lag),
        _text(row.snapshot_offset),
        screen.age(row.snapshot_age_s),
        screen.size(row.snapshot_size_bytes),
        f"{_text(row.learned)} (frozen)" if row.frozen else _text(row.learned),
        "-" if row.score is None else f"{row.score.metric} {row.score.value:.4f}",
        "-" if row.score is None else f"{row.score.baseline:.4f}",
        _text(row.alerts),
        "-"
        if alert is None
        else " ".join(str(alert[key]) for key in ("kind", "name", "state") if key in alert)
        + f" at {alert.get('offset')}",
    ]


def _text(value: int | None) -> str:
    return "-" if value is None else str(value)
