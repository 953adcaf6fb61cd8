"""The topics that are made when they are used, and kept for ever: of bases, and of commands."""

from collections.abc import Callable, Collection, Mapping
from typing import Final

from stream.config import Settings
from stream.core.event import Channel
from stream.errors import Misconfigured, Retryable
from stream.ports import Clock, Operation, TopicInfo, Topics
from stream.telemetry import LogEvent, Telemetry
from stream.topic_settings import KAFKAS_ACCEPTS

USE: Final = {
    Channel.BASES: "a changed recipe keeps its model there",
    Channel.CONTROL: "commands are sent there",
    Channel.JOURNAL: "which commands and labels were folded, and where, is kept there",
    Channel.LEDGER: "what commands did is told there",
}


USED: Final[Collection[tuple[Channel, Operation]]] = (
    (Channel.CONTROL, "READ"), (Channel.JOURNAL, "WRITE"), (Channel.JOURNAL, "READ"),
    (Channel.LEDGER, "WRITE"),
)  # fmt: skip
"""What a worker that is given commands does with their topics."""

OF_LABELS: Final[Collection[tuple[Channel, Operation]]] = (
    (Channel.OUTCOMES, "WRITE"), (Channel.LABELS, "READ"),
)  # fmt: skip
"""What a worker does with the topics that labels have beside the journal, where there are any."""

THERE_S: Final = 60.0
"""So long a topic that was there is taken to be there yet."""

LACKING_S: Final = 5.0
"""So long nobody is asked again: it takes a client of its own, and predictions wait for it."""


class Readiness:
    """Whether there are the topics that commands need; asked seldom.

    Args:
        ready: makes those that are missing. Raises: Retryable, Misconfigured.
        clock: says when it may be asked again.
    """

    def __init__(self, ready: Callable[[Collection[Channel]], None], clock: Clock) -> None:
        self._ready = ready
        self._clock = clock
        self._there_until_s: dict[Channel, float] = {}
        self._lacking: dict[Collection[Channel], tuple[float, Misconfigured | Retryable]] = {}

    def forget(self) -> None:
        """Ask again: something speaks against what was found."""
        self._there_until_s.clear()
        self._lacking.clear()

    def lacks(self, *channels: Channel) -> str:
        """Why there are not these topics, and none may be made; "" if there are.

        Raises: Retryable: nobody can be asked.
        """
        now_s = self._clock.monotonic()
        if all(self._there_until_s.get(channel, 0.0) > now_s for channel in channels):
            return ""
        until_s, problem = self._lacking.pop(channels, (now_s, None))
        if problem is None or until_s <= now_s:
            try:
                self._ready(channels)
            except (Misconfigured, Retryable) as error:
                until_s, problem = self._clock.monotonic() + LACKING_S, error
            else:
                self._there_until_s |= dict.fromkeys(channels, now_s + THERE_S)
                return ""
        self._lacking[channels] = until_s, problem
        if isinstance(problem, Retryable):
            raise problem
        return str(problem)


def ready_kept_topics(
    topics: Topics,
    settings: Settings,
    telemetry: Telemetry,
    *,
    partitions: int,
    channels: Collection[Channel],
) -> None:
    """Make what is missing of these topics, and hold them to the events' partitions.

    Args:
        topics: describes, makes and widens them.
        settings: `topics.create` says whether they are ours.
        telemetry: told of each that is made.
        partitions: how many the events have.
        channels: which of them.

    Raises: Misconfigured: one is missing or too narrow, and may not be made or changed; Retryable.
    """
    found = topics.describe(channels)
    if not settings.topics.create and (problems := missing(found, settings, partitions)):
        raise Misconfigured(*problems)
    for channel, info in found.items():
        if info is None:
            topics.create(
                channel, partitions=partitions, retention_ms=-1,
                record_bytes_max=KAFKAS_ACCEPTS.bytes_max,  # whatever the broker's own limit is
            )  # fmt: skip
            telemetry.say(
                LogEvent.TOPIC_CREATED, topic=settings.topics.name(channel), partitions=partitions
            )
        elif info.partitions < partitions:
            topics.widen(channel, partitions=partitions)


def missing(
    found: Mapping[Channel, TopicInfo | None], settings: Settings, partitions: int
) -> list[str]:
    """What these topics lack, one line each; [] if they have all partitions."""
    problems = []
    for channel, info in found.items():
        if info is not None and info.partitions >= partitions:
            continue
        what = "does not exist" if info is None else f"has only {info.partitions} partitions"
        problems.append(
            f"topics.{channel}: {settings.topics.name(channel)} {what}, and {USE[channel]}; make "
            f"it with {partitions} partitions and retention.ms = -1, or set topics.create = true"
        )
    return problems
