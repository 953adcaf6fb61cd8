"""What an administrator does about the pipeline's topics, whatever the client."""

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Final

from stream.adapters.kafka.cluster import Cluster
from stream.core.event import Channel
from stream.errors import Misconfigured, Retryable
from stream.ports import Operation, TopicInfo
from stream.topic_settings import ANY_TIMESTAMP, Accepts

CREATE_S = 15.0
"""How long a new topic may take until every broker knows it."""

LOOK_EVERY_S = 0.05

NEEDED: Final[Collection[tuple[Channel, Operation]]] = (
    (Channel.EVENTS, "READ"), (Channel.PREDICTIONS, "WRITE"), (Channel.ALERTS, "WRITE"),
    (Channel.QUARANTINE, "WRITE"),
)  # fmt: skip
"""What every worker does with its topics."""


class Administrator(ABC):
    """Makes and widens topics, and waits until the brokers show them."""

    def __init__(self, connection: Cluster) -> None:
        self._connection = connection

    @abstractmethod
    def _look(self, channel: Channel) -> TopicInfo | None:
        """Ask the brokers for one topic and its settings; None: the topic does not exist."""

    @abstractmethod
    def _make(
        self, name: str, partitions: int, configs: Mapping[str, str], *, is_trial: bool
    ) -> None:
        """Ask the brokers to make a topic; it is fine if another process was quicker.

        Raises: Retryable, Misconfigured: caused by the client's error.
        """

    @abstractmethod
    def _add(self, name: str, partitions: int) -> None:
        """Ask for so many partitions; it is fine if there are as many already.

        Raises: Retryable, Misconfigured.
        """

    @abstractmethod
    def _is_unknown_setting(self, error: BaseException | None) -> bool:
        """Whether the client's error says that brokers know, or permit, no such setting."""

    def create(
        self,
        channel: Channel,
        *,
        partitions: int,
        retention_ms: int,
        record_bytes_max: int | None = None,
        is_trial: bool = False,
    ) -> None:
        """See `Topics.create`."""
        name = self._connection.names[channel]
        configs = {"retention.ms": str(retention_ms), "cleanup.policy": "delete"}
        if record_bytes_max is not None:
            configs["max.message.bytes"] = str(record_bytes_max)
        try:
            self._make(name, partitions, {**configs, **ANY_TIMESTAMP}, is_trial=is_trial)
        except (Retryable, Misconfigured) as error:
            if not self._is_unknown_setting(error.__cause__):
                raise
            # An older broker, or one that lets nobody set these: outputs are fitted to it.
            self._make(name, partitions, configs, is_trial=is_trial)
        if is_trial:
            return
        self._wait(channel, 0, f"{name} was created, but the brokers do not show it yet")

    def widen(self, channel: Channel, *, partitions: int) -> None:
        """See `Topics.widen`."""
        name = self._connection.names[channel]
        self._add(name, partitions)
        why = f"{name} got partitions, but the brokers do not show them yet"
        self._wait(channel, partitions, why)

    def _wait(self, channel: Channel, partitions: int, why: str) -> None:
        """Wait until the brokers show a topic with so many partitions. Raises: Retryable."""
        deadline_s = time.monotonic() + CREATE_S
        while (info := self._look(channel)) is None or info.partitions < partitions:
            if time.monotonic() > deadline_s:
                raise Retryable(why)
            time.sleep(LOOK_EVERY_S)

    def _refusal(self, channel: Channel, operation: str) -> str:
        """The line about a permission on a topic that is missing."""
        return f"topics.{channel}: not permitted to {operation} {self._connection.names[channel]}"

    def _refusal_of_group(self) -> str:
        """The line about the missing permission on the consumer group."""
        return f"pipeline: not permitted to READ the consumer group {self._connection.group}"


def info(name: str, *, topic_id: str, partitions: int, configs: Mapping[str, str]) -> TopicInfo:
    """A topic as the ports tell of it; `configs` are its settings, as far as we may know them."""
    retention = configs.get("retention.ms")
    return TopicInfo(
        name=name,
        topic_id=topic_id,
        partitions=partitions,
        retention_ms=None if retention is None else int(retention),
        cleanup_policy=configs.get("cleanup.policy"),
        accepts=Accepts.of(configs),
    )
