"""What `check` looks at in the output topics: is what lies there this pipeline's own?"""

from collections.abc import Mapping

from stream.config import Settings
from stream.core.event import Channel, Kind, Record
from stream.core.formats import quarantine
from stream.core.formats.records import alert_in, prediction_in
from stream.core.result import PredictionValue
from stream.ports import Committed, Reader, TopicInfo
from stream.runtime import recent
from stream.runtime.capacity import fitting_notes, size_problems
from stream.runtime.commands.findings import Findings
from stream.runtime.pipeline import Pipeline

PARTITIONS_MAX = 16
"""How many of an output's partitions are looked at, each for its last record."""


def look(
    pipeline: Pipeline,
    findings: Findings,
    reader: Reader,
    infos: Mapping[Channel, TopicInfo | None],
) -> None:
    """Say which outputs hold records of somebody else. Raises: Retryable, Misconfigured."""
    committed = reader.committed()
    for channel in (Channel.PREDICTIONS, Channel.ALERTS, Channel.QUARANTINE):
        info = infos[channel]
        for partition in range(0 if info is None else min(info.partitions, PARTITIONS_MAX)):
            found = recent.last(reader, channel, partition, n=1, take=lambda record: record)
            whose = _whose(pipeline, channel, found[0], committed.get(partition)) if found else None
            if whose is not None:
                committed = reader.committed()  # a worker that runs has gone on since
                whose = _whose(pipeline, channel, found[0], committed.get(partition))
            if whose is not None and info is not None:
                findings.problem(
                    f"topics.{channel}: {info.name} holds {whose} (partition {partition}, offset "
                    f"{found[0].offset}); name a topic that only this pipeline writes to"
                )
                break


def _whose(
    pipeline: Pipeline, channel: Channel, record: Record, committed: Committed | None
) -> str | None:
    """Say what a record is if it is not this pipeline's; None: it is."""
    if channel is Channel.QUARANTINE:
        return _whose_refusal(pipeline, record)
    if channel is Channel.ALERTS:
        alert = alert_in(record)
        if alert is not None:
            name = alert.id.partition("/")[0]
            return None if name == pipeline.settings.pipeline else f"alerts of pipeline {name}"
    elif (prediction := prediction_in(record)) is not None:
        return _whose_prediction(pipeline, prediction, committed)
    return f"a record that is none of our {channel}"


def _whose_refusal(pipeline: Pipeline, record: Record) -> str | None:
    """Whose refused record it is, if it is not of a topic of ours; None: ours."""
    settings, refused = pipeline.settings, quarantine.parse(record)
    if refused is None:
        return "a record that is no refused event"
    own = (settings.topics.events, settings.labels_topic)
    same = refused.pipeline == settings.pipeline and refused.topic in own
    return None if same else f"what pipeline {refused.pipeline} refused of {refused.topic}"


def _whose_prediction(
    pipeline: Pipeline, prediction: PredictionValue, committed: Committed | None
) -> str | None:
    """Whose prediction it is, if its id or its offset shows that it is not ours; None: ours."""
    settings = pipeline.settings
    place = f"-{prediction.partition}-{prediction.offset}"  # of an event that brought no id
    if prediction.id.endswith(place) and prediction.id != f"{settings.topics.events}{place}":
        return f"predictions for events of {prediction.id.removesuffix(place)}"
    if committed is None:
        return (
            "predictions, and this pipeline has committed nothing: they are another one's, or its "
            "offsets were deleted"
        )
    if prediction.offset >= committed.offset and settings.delivery.guarantee == "exactly-once":
        return (
            f"a prediction for offset {prediction.offset}, and this pipeline has come to "
            f"{committed.offset}: another one's, or its offset was set back"
        )
    return None


def say_what_they_take(
    findings: Findings,
    infos: Mapping[Channel, TopicInfo | None],
    settings: Settings,
    kind: Kind | None,
) -> None:
    """Say which topics refuse records of the size that we need, and what is made to fit."""
    for problem in size_problems(infos, settings, kind):
        findings.problem(problem)
    for note in fitting_notes(infos, settings):
        findings.note(note)
