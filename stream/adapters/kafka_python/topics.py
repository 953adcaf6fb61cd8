"""The pipeline's topics as an administrator sees them."""

from collections.abc import Collection, Mapping
from typing import Any

from kafka import errors
from kafka.admin import ConfigResource, ConfigResourceType

from stream.adapters.kafka.topics import NEEDED, Administrator, info
from stream.adapters.kafka_python import codecs
from stream.adapters.kafka_python.connection import Connection, topic_is_there
from stream.core.event import ALWAYS, Channel
from stream.errors import Misconfigured, Retryable
from stream.ports import Operation, TopicInfo
from stream.topic_settings import ACCEPTS_SETTINGS

_UNKNOWN_SETTING = (
    errors.InvalidConfigurationError, errors.PolicyViolationError, errors.InvalidRequestError,
)  # fmt: skip


class KafkaTopics(Administrator):
    """See `stream.ports.Topics`. Raises: Retryable, Misconfigured."""

    _connection: Connection

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._admin = connection.admin()

    def members(self, *, but: str | None = None) -> int:
        """See `Topics.members`."""
        try:
            described = self._connection.of_group(
                "asking for the group's members", lambda group: self._admin.describe_groups([group])
            )
        except Misconfigured as error:
            if isinstance(error.__cause__, errors.GroupAuthorizationFailedError):
                return 0
            raise
        members = described[self._connection.group].get("members") or ()
        return sum(but is None or each.get("group_instance_id") != but for each in members)

    def describe(self, channels: Collection[Channel] = ALWAYS) -> dict[Channel, TopicInfo | None]:
        """See `Topics.describe`."""
        found: dict[Channel, TopicInfo | None] = {}
        described = self._described(channels)
        for channel in channels:
            name = self._connection.names[channel]
            topic = described.get(name)
            with self._connection.translated(f"describing {name} (topics.{channel})"):
                there = topic is not None and topic_is_there(topic)
            found[channel] = self._info(name, topic) if there and topic is not None else None
        return found

    def _look(self, channel: Channel) -> TopicInfo | None:
        return self.describe((channel,))[channel]

    def _described(self, channels: Collection[Channel] = ALWAYS) -> dict[str, dict[str, Any]]:
        names = [self._connection.names[channel] for channel in channels]
        with self._connection.translated("describing the topics"):
            return {topic["name"]: topic for topic in self._admin.describe_topics(names)}

    def _info(self, name: str, topic: Mapping[str, Any]) -> TopicInfo:
        """Turn the client's description of a topic into ours, and ask for the topic's settings."""
        topic_id = topic.get("topic_id")
        return info(
            name,
            topic_id="" if topic_id is None else str(topic_id),
            partitions=len(topic["partitions"]),
            configs=self._configs(name),
        )

    def _configs(self, name: str) -> dict[str, str]:
        """Some settings of a topic; {} where we may not ask (DESCRIBE_CONFIGS is optional)."""
        wanted = dict.fromkeys(("retention.ms", "cleanup.policy", *ACCEPTS_SETTINGS))
        resource = ConfigResource(ConfigResourceType.TOPIC, name, wanted)
        try:
            with self._connection.translated(f"asking for the settings of {name}"):
                answer = self._admin.describe_configs([resource], config_filter="all")
        except Misconfigured:
            return {}
        settings = answer.get("topic", {}).get(name, {})
        return {k: v["value"] for k, v in settings.items() if isinstance(v, dict) and "value" in v}

    def _is_unknown_setting(self, error: BaseException | None) -> bool:
        return isinstance(error, _UNKNOWN_SETTING)

    def _make(
        self, name: str, partitions: int, configs: Mapping[str, str], *, is_trial: bool
    ) -> None:
        """See `Administrator`."""
        topic = {
            "num_partitions": partitions,
            "replication_factor": -1,  # the cluster's default
            "configs": configs,
        }
        try:
            with self._connection.translated(f"creating {name}"):
                self._admin.create_topics({name: topic}, validate_only=is_trial)
        except (Retryable, Misconfigured) as error:
            if not isinstance(error.__cause__, errors.TopicAlreadyExistsError):
                raise

    def _add(self, name: str, partitions: int) -> None:
        try:
            with self._connection.translated(f"adding partitions to {name}"):
                self._admin.create_partitions({name: partitions})
        except (Retryable, Misconfigured) as error:
            if not isinstance(error.__cause__, errors.InvalidPartitionsError):
                raise
            # Another worker was quicker, or it always had more.

    def denied(self) -> list[str]:
        """See `Topics.denied`; on a cluster without an authorizer everything is permitted."""
        return [
            *self.refused(NEEDED), *self._denied_of_group(), *self._denied_of_transactions(),
            *codecs.missing(),
        ]  # fmt: skip

    def refused(self, wanted: Collection[tuple[Channel, Operation]]) -> list[str]:
        """See `Topics.refused`."""
        names = self._connection.names
        described = self._described({channel for channel, _ in wanted})
        denied = []
        for channel, operation in wanted:
            topic = described.get(names[channel], {})
            if topic.get("error_code") == errors.TopicAuthorizationFailedError.errno:
                denied.append(self._refusal(channel, operation))
                continue
            # Absent on brokers before 2.3, and for a topic that does not exist.
            allowed = topic.get("authorized_operations")
            if allowed and operation not in allowed:
                denied.append(self._refusal(channel, operation))
        return denied

    def _denied_of_group(self) -> list[str]:
        """Report the missing READ permission on the consumer group; []: it is permitted."""
        doing = "asking for the permissions on the group"
        try:
            described = self._connection.of_group(
                doing, lambda group: self._admin.describe_groups([group])
            )
        except Misconfigured as error:
            if not isinstance(error.__cause__, errors.GroupAuthorizationFailedError):
                raise
        else:
            allowed = described[self._connection.group].get("authorized_operations")
            if not allowed or "READ" in allowed:
                return []
        return [self._refusal_of_group()]

    def _denied_of_transactions(self) -> list[str]:
        """Ask for an id that nobody has: the kind of refusal tells whether we may use such ids."""
        some = f"{self._connection.group}-check"
        try:
            with self._connection.translated("asking for the permissions on transactions"):
                self._admin.describe_transactions([some])
        except (Misconfigured, Retryable) as error:
            if isinstance(error.__cause__, errors.TransactionalIdNotFoundError):
                return []  # as it should be: nobody has this id, and we may know that
            if not isinstance(error.__cause__, errors.TransactionalIdAuthorizationFailedError):
                raise
            prefix = f"{self._connection.group}-"
            return [f"pipeline: not permitted to WRITE transactional ids that begin with {prefix}"]
        return []

    def close(self) -> None:
        """See `Topics.close`."""
        self._admin.close()
