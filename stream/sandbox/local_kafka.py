"""A real Kafka broker in a JVM of this machine, which tests may stop, kill, pause and restart."""

import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from stream.sandbox import kafka_classes, kafka_jars, kafka_settings
from stream.sandbox.process import ServerProcess
from stream.sandbox.ready import free_port, kafka_problem
from stream.sandbox.server import LocalServer


def ignore(_line: str) -> None:
    """Say a line to nobody."""


class LocalKafka(LocalServer):
    """One broker: KRaft, no topic made by itself, data kept over restarts.

    Args:
        folder: where its data, settings and log are; made if missing.
        properties: lines of server.properties, which override ours.
        port: where it listens, over every restart; None: a free one.
        say: says to people that the jars have to be fetched first.
        jvm: Java's options.
    """

    name = "Kafka"

    def __init__(
        self,
        *,
        folder: Path,
        properties: Mapping[str, str] = kafka_settings.NO_PROPERTIES,
        port: int | None = None,
        say: Callable[[str], None] = ignore,
        jvm: Sequence[str] = kafka_settings.JVM_BRIEF,
    ) -> None:
        super().__init__(folder=folder, port=port)
        self._controller_port = free_port()
        while self._controller_port == self.port:
            self._controller_port = free_port()
        self._properties = dict(properties)
        self._passwords: dict[str, str] = {}
        self._say = say
        self._jvm = tuple(jvm)

    @classmethod
    def secured(
        cls,
        *,
        folder: Path,
        properties: Mapping[str, str] = kafka_settings.NO_PROPERTIES,
        port: int | None = None,
    ) -> Self:
        """A broker where clients log in (SASL_PLAINTEXT, PLAIN) and need permissions (ACLs).

        There are two users: `admin` may do everything, `limited` nothing until `admin` lets it.
        """
        broker = cls(folder=folder, port=port)
        broker._passwords = {user: secrets.token_hex(16) for user in ("admin", "limited")}
        broker._properties = {
            **kafka_settings.secured(broker.port, broker._controller_port, broker._passwords),
            **properties,
        }
        return broker

    @property
    def bootstrap_servers(self) -> str:
        """`127.0.0.1:PORT`, the same over every restart."""
        return self.address

    def client_options(self, user: str = "admin") -> dict[str, Any]:
        """The options with which `user` logs in, in kafka-python's words; {} if not secured."""
        if not self._passwords:
            return {}
        return {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": user,
            "sasl_plain_password": self._passwords[user],
        }

    def _problem(self) -> str | None:
        return kafka_problem(self.port, self.client_options())

    def _make_process(self) -> ServerProcess:
        """Write the broker's folder and settings, and build the process that will run it."""
        installed = kafka_jars.installation(say=self._say)
        self.folder.mkdir(parents=True, exist_ok=True)
        data = self.folder / "data"
        if not data.exists():
            shutil.copytree(installed / "formatted", data)
        properties = kafka_settings.server_properties(
            port=self.port, controller_port=self._controller_port, data=data
        )
        settings = self.folder / "server.properties"
        settings.write_text(kafka_settings.properties_text({**properties, **self._properties}))
        logging = self.folder / "log4j2.properties"
        logging.write_text(kafka_settings.LOG4J2)
        options = [
            *kafka_classes.sharing(installed / "classes.jsa"),
            *self._jvm,
            f"-Dlog4j2.configurationFile=file:{logging}",
        ]
        command = kafka_jars.command(kafka_jars.java(), installed, options)
        return ServerProcess(
            name="kafka", command=[*command, "kafka.Kafka", str(settings)], folder=self.folder
        )
