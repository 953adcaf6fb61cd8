"""The pipeline's topics: those that are missing are made, and the outputs fit the events."""

from collections.abc import Mapping

from stream.config import Settings
from stream.core.event import Channel
from stream.errors import Misconfigured
from stream.ports import TopicInfo, Topics
from stream.telemetry import Event, Telemetry


def ready_topics(topics: Topics, settings: Settings, telemetry: Telemetry) -> TopicInfo:
    """Make the missing topics, if allowed, and hold the outputs to the events' partitions.

    Returns: the events topic.
    Raises: Misconfigured: one is missing or does not fit; Retryable.
    """
    found = topics.describe()
    missing = [channel for channel in Channel if found[channel] is None]
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
        topics.create(channel, partitions=partitions, retention_ms=settings.topics.retention_ms)
        telemetry.say(
            Event.TOPIC_CREATED, topic=settings.topics.name(channel), partitions=partitions
        )
        if channel is Channel.EVENTS:
            events = topics.describe()[Channel.EVENTS]
    if missing:
        found = topics.describe()
    events = found[Channel.EVENTS]
    if events is None:
        raise Misconfigured(f"topics.events: {settings.topics.events} was deleted meanwhile")
    problems = partition_problems(found, events)
    if problems:
        raise Misconfigured(*problems)
    return events


def partition_problems(found: Mapping[Channel, TopicInfo | None], events: TopicInfo) -> list[str]:
    """An output record goes to the partition of its event: there must be as many."""
    return [
        f"topics.{channel}: {info.name} has {info.partitions} partitions, {events.name} has "
        f"{events.partitions}; add partitions to it, or name another topic"
        for channel, info in found.items()
        if info is not None and channel is not Channel.EVENTS
        and info.partitions < events.partitions
    ]  # fmt: skip
