"""A broker that lets a worker do only what it is permitted; the row's own hands may do all."""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)

from stream.sandbox import LocalKafka
from stream.sandbox.ready import free_port
from tests.instruments.faults.worker import Broke

WORKER = "User:limited"
READ, WRITE, DESCRIBE = ACLOperation.READ, ACLOperation.WRITE, ACLOperation.DESCRIBE
OUTPUTS = ("predictions", "alerts", "quarantine")
LIBRDKAFKAS = {
    "security_protocol": "security.protocol", "sasl_mechanism": "sasl.mechanism",
    "sasl_plain_username": "sasl.username", "sasl_plain_password": "sasl.password",
}  # fmt: skip
"""librdkafka's words for kafka-python's options."""


class Guarded(LocalKafka):
    """One broker with an authorizer and two listeners: one asks for a login, the other does not.

    Attributes:
        open_servers: where anybody is an administrator: for the row, its upstream and its verifier.
    """

    open_servers: str

    @classmethod
    def made(cls, folder: Path) -> "Guarded":
        """One that does not run yet."""
        broker = cls.secured(folder=folder)
        broker.open_servers = f"127.0.0.1:{free_port()}"
        controller = f"127.0.0.1:{broker._controller_port}"
        login = f"SASL_PLAINTEXT://{broker.address},OPEN://{broker.open_servers}"
        broker._properties |= {
            "listeners": f"{login},CONTROLLER://{controller}",
            "advertised.listeners": login,
            "listener.security.protocol.map": "SASL_PLAINTEXT:SASL_PLAINTEXT,OPEN:PLAINTEXT,"
            "CONTROLLER:SASL_PLAINTEXT",
            "super.users": "User:admin;User:ANONYMOUS",
        }
        return broker

    def login(self, client: str) -> dict[str, str]:
        """A worker's environment with which it comes as `WORKER`."""
        options = {
            f"STREAM__KAFKA__OPTIONS__{_word(key, client).upper().replace('.', '_')}": str(value)
            for key, value in self.client_options("limited").items()
        }
        return {"STREAM__KAFKA__BOOTSTRAP_SERVERS": self.bootstrap_servers, **options}

    def permit_worker(self, pipeline: str) -> None:
        """What a worker needs that is never commanded."""
        ids = ResourcePattern(
            ResourceType.TRANSACTIONAL_ID, f"{pipeline}-", ACLResourcePatternType.PREFIXED
        )
        topics = [(READ, _topic(pipeline, "events"))]
        topics += [(WRITE, _topic(pipeline, channel)) for channel in OUTPUTS]
        topics += [(READ, _topic(pipeline, channel)) for channel in OUTPUTS]
        group = ResourcePattern(ResourceType.GROUP, pipeline)
        self._allow([*topics, (READ, group), (WRITE, ids)])

    def permit(self, pipeline: str, channel: str, *operations: ACLOperation) -> None:
        """Permit something on a topic."""
        self._allow([(operation, _topic(pipeline, channel)) for operation in operations])

    def forbid(self, pipeline: str, channel: str, *operations: ACLOperation) -> None:
        """Take a permission away. Raises: Broke: it was not there."""
        filters = [
            ACLFilter(WORKER, "*", operation, ACLPermissionType.ALLOW, _topic(pipeline, channel))
            for operation in operations
        ]
        with closing(self.hands()) as admin:
            answers = admin.delete_acls(filters)
        if not answers:
            raise Broke(f"no such permission was there: {filters}")

    def _allow(self, allowed: Iterable[tuple[ACLOperation, ResourcePattern]]) -> None:
        acls = [
            ACL(WORKER, "*", operation, ACLPermissionType.ALLOW, resource)
            for operation, resource in allowed
        ]
        with closing(self.hands()) as admin:
            admin.create_acls(acls)

    def hands(self) -> KafkaAdminClient:
        """An administrator's client."""
        return KafkaAdminClient(bootstrap_servers=self.open_servers)


def _topic(pipeline: str, channel: str) -> ResourcePattern:
    return ResourcePattern(ResourceType.TOPIC, f"{pipeline}.{channel}")


def _word(key: str, client: str) -> str:
    return LIBRDKAFKAS[key] if client == "confluent" else key
