"""The pipeline's topics: those that are missing are made, and the outputs fit the events."""

from collections.abc import Mapping
from dataclasses import dataclass

from stream.config import Settings
from stream.core.event import INPUTS, Channel, Kind
from stream.errors import Misconfigured
from stream.ports import TopicInfo, Topics
from stream.runtime import bases
from stream.runtime.capacity import RECORD_BYTES, own_topic_bytes, size_problems
from stream.runtime.kept_topics import ready_kept_topics
from stream.telemetry import LogEvent, Telemetry


@dataclass(frozen=True, slots=True)
class Width:
    """How many partitions of the events have a place in every output topic.

    Attributes:
        n: partitions 0 … n-1 have one.
        why: what keeps others from having one, and what to do; "" where all have one.
    """

    n: int
    why: str = ""


def ready_topics(
    topics: Topics, settings: Settings, telemetry: Telemetry, *, kind: Kind | None = None
) -> tuple[dict[Channel, TopicInfo], Width]:
    """Make the missing topics, if allowed, and hold the outputs to the events' partitions.

    Args:
        topics: describes and makes them.
        settings: hold the topics' names and the limits.
        telemetry: told of each topic that is made.
        kind: the model's, which tells how large predictions can be; None: nobody predicts.

    Returns: what every pipeline has, and how many of the events' partitions have a place there.
    Raises: Misconfigured: one is missing, or takes too small records; Retryable.
    """
    wanted = settings.channels
    found = topics.describe(wanted)
    missing = [channel for channel in wanted if found[channel] is None]
    if missing and not settings.topics.create:
        raise Misconfigured(
            *(
                f"topics.{channel}: {settings.topics.name(channel)} does not exist; create it, or "
                "set topics.create = true"
                for channel in missing
            )
        )
    events = found[Channel.EVENTS]
    for channel in missing:
        partitions = 1 if events is None else events.partitions
        topics.create(
            channel, partitions=partitions, retention_ms=settings.topics.retention_ms,
            record_bytes_max=own_topic_bytes(channel, settings),
        )  # fmt: skip
        telemetry.say(
            LogEvent.TOPIC_CREATED, topic=settings.topics.name(channel), partitions=partitions
        )
        if channel is Channel.EVENTS:
            events = topics.describe()[Channel.EVENTS]
    if missing:
        found = topics.describe(wanted)
    there = {channel: info for channel, info in found.items() if info is not None}
    gone = [channel for channel in wanted if channel not in there]
    if gone:
        names = (f"topics.{each}: {settings.topics.name(each)}" for each in gone)
        raise Misconfigured(*(f"{name} was deleted meanwhile" for name in names))
    problems = size_problems(there, settings, kind)
    if problems:
        raise Misconfigured(*problems)
    return there, widened(topics, settings, telemetry, found=found)


def ready_bases(
    topics: Topics, settings: Settings, telemetry: Telemetry, *, events: TopicInfo, is_written: bool
) -> None:
    """Make the topic of bases if it is missing, with the events' partitions; kept for ever.

    Args:
        topics: describes, makes and widens it.
        settings: `topics.create` says whether it is ours.
        telemetry: told that it was made.
        events: those that the states are of.
        is_written: a recipe changed, so bases will be written, and have to fit.

    Raises: Misconfigured: it is missing or too narrow, and may not be made or changed; Retryable.
    """
    channel = Channel.BASES
    info = topics.describe((channel,))[channel]
    if is_written and (narrow := bases_narrow(info)):
        raise Misconfigured(narrow)
    ready_kept_topics(
        topics, settings, telemetry, partitions=events.partitions, channels=(channel,)
    )


def bases_narrow(info: TopicInfo | None) -> str:
    """Why the topic of bases does not take a part of a state; "" if it does, or is not there."""
    needed = bases.CHUNK_BYTES + RECORD_BYTES
    if info is None or info.accepts is None or info.accepts.bytes_max >= needed:
        return ""
    return (
        f"topics.bases: {info.name} takes records of {info.accepts.bytes_max} bytes, a part of a "
        f"state can have {needed}: raise its max.message.bytes"
    )


def widened(
    topics: Topics,
    settings: Settings,
    telemetry: Telemetry,
    *,
    found: Mapping[Channel, TopicInfo | None] | None = None,
) -> Width:
    """Give the outputs as many partitions as the events have, if we may make topics.

    Args:
        topics: describes and widens them.
        settings: `topics.create` says whether the topics are ours.
        telemetry: told of each topic that gets partitions.
        found: what `topics` described just now.

    Raises: Retryable; Misconfigured: the topics may not be described.
    """
    found = topics.describe(settings.channels) if found is None else found
    events = found[Channel.EVENTS]
    if events is None:
        return Width(0, f"topics.events: {settings.topics.events} does not exist; create it")
    problems = partition_problems(found, events)
    if problems and settings.topics.create:
        for channel, info in found.items():
            if info is None or info.partitions >= events.partitions or channel in INPUTS:
                continue  # whoever writes labels chooses their partitions
            try:
                topics.widen(channel, partitions=events.partitions)
            except Misconfigured as error:
                problems.append(str(error))
                continue
            telemetry.say(
                LogEvent.TOPIC_WIDENED,
                topic=info.name,
                partitions=events.partitions,
                was=info.partitions,
                why=f"{events.name} has more; a key may be in another partition than before, with "
                "a model that has not seen it",
            )
        found = topics.describe(settings.channels)
        problems = partition_problems(found, events) and problems
    return Width(width(found), "; ".join(problems))


def width(found: Mapping[Channel, TopicInfo | None]) -> int:
    """How many partitions every existing topic has at least."""
    return min((info.partitions for info in found.values() if info is not None), default=0)


def partition_problems(found: Mapping[Channel, TopicInfo | None], events: TopicInfo) -> list[str]:
    """List the topics with fewer partitions than the events: a record goes to its event's."""
    return [
        f"topics.{channel}: {info.name} has {info.partitions} partitions, {events.name} has "
        f"{events.partitions}; add partitions to it, or name another topic"
        for channel, info in found.items()
        if info is not None and channel is not Channel.EVENTS
        and info.partitions < events.partitions
    ]  # fmt: skip
