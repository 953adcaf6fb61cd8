"""The pipeline's topics as an administrator sees them."""

import time
from collections.abc import Mapping
from typing import Any

from kafka import KafkaAdminClient, errors
from kafka.admin import ACLOperation, ConfigResource, ConfigResourceType

from stream.adapters.kafka_python.connection import Connection
from stream.core.event import Channel
from stream.errors import Misconfigured, Retryable
from stream.ports import TopicInfo

CREATE_S = 15.0
"""How long a new topic may take until every broker knows it."""

_OUTPUTS = (Channel.PREDICTIONS, Channel.ALERTS, Channel.QUARANTINE)


class KafkaTopics:
    """See `stream.ports.Topics`. Raises: Retryable, Misconfigured."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        with connection.translated("connecting"):
            self._admin = KafkaAdminClient(**connection.settings())

    def describe(self) -> dict[Channel, TopicInfo | None]:
        """See `Topics.describe`."""
        names = self._connection.names
        with self._connection.translated("describing the topics"):
            described = {t["name"]: t for t in self._admin.describe_topics(list(names.values()))}
        found: dict[Channel, TopicInfo | None] = {}
        for channel, name in names.items():
            topic = described.get(name)
            code = topic["error_code"] if topic else errors.UnknownTopicOrPartitionError.errno
            if code == errors.TopicAuthorizationFailedError.errno:
                raise Misconfigured(f"topics.{channel}: no permission to describe {name}")
            found[channel] = None if code or not topic else self._info(name, topic)
        return found

    def _info(self, name: str, topic: Mapping[str, Any]) -> TopicInfo:
        topic_id = topic.get("topic_id")
        configs = self._configs(name)
        retention = configs.get("retention.ms")
        return TopicInfo(
            name=name,
            topic_id="" if topic_id is None else str(topic_id),
            partitions=len(topic["partitions"]),
            retention_ms=None if retention is None else int(retention),
            cleanup_policy=configs.get("cleanup.policy"),
        )

    def _configs(self, name: str) -> dict[str, str]:
        """Two settings of a topic; {} where we may not ask (DESCRIBE_CONFIGS is optional)."""
        wanted = {"retention.ms": None, "cleanup.policy": None}
        resource = ConfigResource(ConfigResourceType.TOPIC, name, wanted)
        try:
            with self._connection.translated(f"asking for the settings of {name}"):
                answer = self._admin.describe_configs([resource], config_filter="all")
        except Misconfigured:
            return {}
        settings = answer.get("topic", {}).get(name, {})
        return {k: v["value"] for k, v in settings.items() if isinstance(v, dict) and "value" in v}

    def create(self, channel: Channel, *, partitions: int, retention_ms: int) -> None:
        """See `Topics.create`."""
        name = self._connection.names[channel]
        topic = {
            "num_partitions": partitions,
            "replication_factor": -1,  # the cluster's default
            "configs": {"retention.ms": str(retention_ms), "cleanup.policy": "delete"},
        }
        try:
            with self._connection.translated(f"creating {name}"):
                self._admin.create_topics({name: topic})
        except (Retryable, Misconfigured) as error:
            if not isinstance(error.__cause__, errors.TopicAlreadyExistsError):
                raise
        deadline = time.monotonic() + CREATE_S
        while self.describe()[channel] is None:
            if time.monotonic() > deadline:
                raise Retryable(f"{name} was created, but the brokers do not show it yet")
            time.sleep(0.05)

    def denied(self) -> list[str]:
        """See `Topics.denied`; on a cluster without an authorizer everything is permitted."""
        names = self._connection.names
        wanted = [(Channel.EVENTS, "READ"), *((c, "WRITE") for c in _OUTPUTS)]
        denied = []
        with self._connection.translated("asking for permissions"):
            described = {t["name"]: t for t in self._admin.describe_topics(list(names.values()))}
        for channel, operation in wanted:
            topic = described.get(names[channel], {})
            if topic.get("error_code") == errors.TopicAuthorizationFailedError.errno:
                denied.append(f"topics.{channel}: not permitted to describe {names[channel]}")
                continue
            allowed = _operations(topic.get("authorized_operations"))
            if allowed is not None and ACLOperation[operation] not in allowed:
                denied.append(f"topics.{channel}: not permitted to {operation} {names[channel]}")
        return denied

    def close(self) -> None:
        """See `Topics.close`."""
        self._admin.close()


def _operations(field: Any) -> set[ACLOperation] | None:
    """The operations a broker says are allowed; None where it says nothing."""
    if field is None or (isinstance(field, int) and field < 0):
        return None
    if isinstance(field, int):
        return {op for op in ACLOperation if op > 0 and field & (1 << op)}
    return set(field)
