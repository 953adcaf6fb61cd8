"""The pipeline's topics as an administrator sees them."""

from collections.abc import Collection, Mapping
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
from stream.adapters.kafka.topics import NEEDED, Administrator, info
from stream.core.event import ALWAYS, Channel
from stream.errors import Misconfigured
from stream.ports import Operation, TopicInfo

_UNKNOWN_SETTING = (
    KafkaError.INVALID_CONFIG, KafkaError.POLICY_VIOLATION, KafkaError.INVALID_REQUEST,
)  # fmt: skip
_NO_GROUP = (KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.GROUP_ID_NOT_FOUND)


class KafkaTopics(Administrator):
    """See `stream.ports.Topics`. Raises: Retryable, Misconfigured."""

    _connection: Connection

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._admin = connection.admin()

    def describe(self, channels: Collection[Channel] = ALWAYS) -> dict[Channel, TopicInfo | None]:
        """See `Topics.describe`."""
        return {channel: self._look(channel) for channel in channels}

    def members(self, *, but: str | None = None) -> int:
        """See `Topics.members`."""
        with self._connection.translated("asking for the group's members"):
            try:
                (answer,) = self._admin.describe_consumer_groups(
                    [self._connection.group], request_timeout=ADMIN_TIMEOUT_S
                ).values()
                members = answer.result().members
                return sum(but is None or each.group_instance_id != but for each in members)
            except KafkaException as error:
                if error.args[0].code() in _NO_GROUP:
                    return 0
                raise

    def _look(self, channel: Channel) -> TopicInfo | None:
        """See `Administrator`."""
        name = self._connection.names[channel]
        with self._connection.translated(f"describing {name} (topics.{channel})"):
            try:
                topic = self._ask(name)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    return None
                raise
        return info(
            name,
            topic_id=_as_every_client_writes_it(topic.topic_id),
            partitions=len(topic.partitions),
            configs=self._configs(name),
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

    def _is_unknown_setting(self, error: BaseException | None) -> bool:
        return isinstance(error, KafkaException) and error.args[0].code() in _UNKNOWN_SETTING

    def _make(
        self, name: str, partitions: int, configs: Mapping[str, str], *, is_trial: bool
    ) -> None:
        """See `Administrator`."""
        # -1: the cluster's default
        topic = NewTopic(name, partitions, -1, config=dict(configs))
        with self._connection.translated(f"creating {name}"):
            try:
                (answer,) = self._admin.create_topics(
                    [topic], request_timeout=ADMIN_TIMEOUT_S, validate_only=is_trial
                ).values()
                answer.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

    def _add(self, name: str, partitions: int) -> None:
        """See `Administrator`."""
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

    def denied(self) -> list[str]:
        """See `Topics.denied`; on a cluster without an authorizer everything is permitted.

        librdkafka cannot ask about transactional ids: a missing permission on them is told by the
        worker's start.
        """
        return [*self.refused(NEEDED), *self._denied_of_group()]

    def refused(self, wanted: Collection[tuple[Channel, Operation]]) -> list[str]:
        """See `Topics.refused`."""
        names = self._connection.names
        return [
            self._refusal(channel, operation)
            for channel, operation in wanted
            if not self._may(AclOperation[operation], names[channel])
        ]

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
        return [self._refusal_of_group()]

    def close(self) -> None:
        """See `Topics.close`; librdkafka frees it with the object."""


def _as_every_client_writes_it(topic_id: Any) -> str:
    """Librdkafka's own text of it is base64; snapshots of one client must serve the other."""
    most, least = topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits()
    return str(UUID(int=(most % 2**64) << 64 | least % 2**64))
