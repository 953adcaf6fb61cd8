"""The pipeline's topics as an administrator sees them."""

import time
from typing import Any
from uuid import UUID

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AclOperation,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from stream.adapters.confluent.connection import ADMIN_TIMEOUT_S, Connection
from stream.core.event import Channel
from stream.errors import Misconfigured, Retryable
from stream.ports import TopicInfo
from stream.topic_settings import ANY_TIMESTAMP, Accepts

CREATE_S = 15.0
"""How long a new topic may take until every broker knows it."""

_UNKNOWN_SETTING = (
    KafkaError.INVALID_CONFIG, KafkaError.POLICY_VIOLATION, KafkaError.INVALID_REQUEST,
)  # fmt: skip
_OUTPUTS = (Channel.PREDICTIONS, Channel.ALERTS, Channel.QUARANTINE)


class KafkaTopics:
    """See `stream.ports.Topics`. Raises: Retryable, Misconfigured."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._admin = connection.admin()

    def describe(self) -> dict[Channel, TopicInfo | None]:
        """See `Topics.describe`."""
        return {channel: self._described(channel) for channel in self._connection.names}

    def _described(self, channel: Channel) -> TopicInfo | None:
        """Ask the brokers for one topic and its settings; None: the topic does not exist."""
        name = self._connection.names[channel]
        with self._connection.translated(f"describing {name} (topics.{channel})"):
            try:
                topic = self._ask(name)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    return None
                raise
        configs = self._configs(name)
        retention = configs.get("retention.ms")
        return TopicInfo(
            name=name,
            topic_id=_as_every_client_writes_it(topic.topic_id),
            partitions=len(topic.partitions),
            retention_ms=None if retention is None else int(retention),
            cleanup_policy=configs.get("cleanup.policy"),
            accepts=Accepts.of(configs),
        )

    def _ask(self, name: str, *, permissions: bool = False) -> Any:
        (answer,) = self._admin.describe_topics(
            TopicCollection([name]),
            include_authorized_operations=permissions,
            request_timeout=ADMIN_TIMEOUT_S,
        ).values()
        return answer.result()

    def _configs(self, name: str) -> dict[str, str]:
        """The settings of a topic; {} where we may not ask (DESCRIBE_CONFIGS is optional)."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        try:
            with self._connection.translated(f"asking for the settings of {name}"):
                (answer,) = self._admin.describe_configs(
                    [resource], request_timeout=ADMIN_TIMEOUT_S
                ).values()
                settings = answer.result()
        except Misconfigured:
            return {}
        return {key: entry.value for key, entry in settings.items() if entry.value is not None}

    def create(
        self,
        channel: Channel,
        *,
        partitions: int,
        retention_ms: int,
        record_bytes_max: int | None = None,
    ) -> None:
        """See `Topics.create`."""
        name = self._connection.names[channel]
        configs = {"retention.ms": str(retention_ms), "cleanup.policy": "delete"}
        if record_bytes_max is not None:
            configs["max.message.bytes"] = str(record_bytes_max)
        with self._connection.translated(f"creating {name}"):
            try:
                self._create(name, partitions, {**configs, **ANY_TIMESTAMP})
            except KafkaException as error:
                if error.args[0].code() not in _UNKNOWN_SETTING:
                    raise
                # An older broker, or one that lets nobody set these: outputs are fitted to it.
                self._create(name, partitions, configs)
        deadline_s = time.monotonic() + CREATE_S
        while self._described(channel) is None:
            if time.monotonic() > deadline_s:
                raise Retryable(f"{name} was created, but the brokers do not show it yet")
            time.sleep(0.05)

    def widen(self, channel: Channel, *, partitions: int) -> None:
        """See `Topics.widen`."""
        name = self._connection.names[channel]
        with self._connection.translated(f"adding partitions to {name}"):
            try:
                (answer,) = self._admin.create_partitions(
                    [NewPartitions(name, partitions)], request_timeout=ADMIN_TIMEOUT_S
                ).values()
                answer.result()
            except KafkaException as error:
                # Another worker was quicker, or it always had more.
                if error.args[0].code() != KafkaError.INVALID_PARTITIONS:
                    raise
        deadline_s = time.monotonic() + CREATE_S
        while (info := self._described(channel)) is None or info.partitions < partitions:
            if time.monotonic() > deadline_s:
                raise Retryable(f"{name} got partitions, but the brokers do not show them yet")
            time.sleep(0.05)

    def _create(self, name: str, partitions: int, configs: dict[str, str]) -> None:
        topic = NewTopic(name, partitions, -1, config=configs)  # -1: the cluster's default
        try:
            (answer,) = self._admin.create_topics([topic], request_timeout=ADMIN_TIMEOUT_S).values()
            answer.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise

    def denied(self) -> list[str]:
        """See `Topics.denied`; on a cluster without an authorizer everything is permitted.

        librdkafka cannot ask about transactional ids: a missing permission on them is told by the
        worker's start.
        """
        names = self._connection.names
        wanted = [
            (Channel.EVENTS, AclOperation.READ),
            *((channel, AclOperation.WRITE) for channel in _OUTPUTS),
        ]
        denied = [
            f"topics.{channel}: not permitted to {operation.name} {names[channel]}"
            for channel, operation in wanted
            if not self._may(operation, names[channel])
        ]
        return [*denied, *self._denied_of_group()]

    def _may(self, operation: AclOperation, name: str) -> bool:
        """Whether the ACLs permit an operation on a topic; an absent topic forbids nothing."""
        with self._connection.translated(f"asking for the permissions on {name}"):
            try:
                allowed = self._ask(name, permissions=True).authorized_operations
            except KafkaException as error:
                code = error.args[0].code()
                if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    return False
                if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    return True  # nothing to be permitted on yet
                raise
        return not allowed or operation in allowed

    def _denied_of_group(self) -> list[str]:
        """Report the missing READ permission on the consumer group; []: it is permitted."""
        group = self._connection.group
        with self._connection.translated("asking for the permissions on the group"):
            try:
                (answer,) = self._admin.describe_consumer_groups(
                    [group], include_authorized_operations=True, request_timeout=ADMIN_TIMEOUT_S
                ).values()
                allowed = answer.result().authorized_operations
            except KafkaException as error:
                if error.args[0].code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                    raise
            else:
                if not allowed or AclOperation.READ in allowed:
                    return []
        return [f"pipeline: not permitted to READ the consumer group {group}"]

    def close(self) -> None:
        """See `Topics.close`; librdkafka frees it with the object."""


def _as_every_client_writes_it(topic_id: Any) -> str:
    """Librdkafka's own text of it is base64; snapshots of one client must serve the other."""
    most, least = topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits()
    return str(UUID(int=(most % 2**64) << 64 | least % 2**64))
