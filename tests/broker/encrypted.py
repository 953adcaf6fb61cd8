"""Servers as an operator guards them: TLS with a throw-away CA, SCRAM, permissions, passwords.

Redis as it can be had here knows no TLS of its own; a front ends it before Redis, as stunnel and
many providers do. What a worker sees of both is the same.
"""

import asyncio
import re
import secrets
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from redis import Redis

from stream.adapters import redis as adapter
from stream.core.event import Channel
from stream.sandbox import LocalKafka, LocalRedis, Unavailable
from stream.sandbox.ready import LOOPBACK, free_port

_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass(frozen=True)
class Authority:
    """A CA, and a server certificate of its own for the loopback address, but not for its name."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> "Authority":
        """Make both with openssl. Raises: Unavailable."""
        if shutil.which("openssl") is None:
            raise Unavailable("no `openssl` on PATH")
        folder.mkdir(parents=True)
        (folder / "extensions").write_text(f"subjectAltName=IP:{LOOPBACK}\n")
        for command in (
            ["req", "-x509", *_EC, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA"],
            ["req", *_EC, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=server"],
            ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-days",
             "2", "-CAcreateserial", "-extfile", "extensions", "-out", "certificate.pem"],
        ):  # fmt: skip
            subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
        parts = ("key.pem", "certificate.pem", "ca.pem")
        (folder / "chain.pem").write_text("".join((folder / part).read_text() for part in parts))
        return cls(folder)

    @property
    def ca(self) -> Path:
        """What clients trust."""
        return self.folder / "ca.pem"

    @property
    def chain(self) -> Path:
        """Key and certificates of the server, in one file."""
        return self.folder / "chain.pem"


class EncryptedKafka:
    """A broker whose users come by TLS and SCRAM-SHA-512; its administrator by a door of its own.

    The user `worker` may do nothing until it is permitted.
    """

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.port = free_port()
        self.password = f"kafka-canary-{secrets.token_hex(16)}"
        self._authority = authority
        self.broker = LocalKafka.secured(folder=folder)
        plain, tls = self.broker.address, f"{LOOPBACK}:{self.port}"
        controller = f"{LOOPBACK}:{self.broker._controller_port}"
        self.broker._properties |= {
            "listeners": f"SASL_PLAINTEXT://{plain},USERS://{tls},CONTROLLER://{controller}",
            "advertised.listeners": f"SASL_PLAINTEXT://{plain},USERS://{tls}",
            "listener.security.protocol.map": "SASL_PLAINTEXT:SASL_PLAINTEXT,USERS:SASL_SSL,"
            "CONTROLLER:SASL_PLAINTEXT",
            "listener.name.users.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.users.scram-sha-512.sasl.jaas.config": _SCRAM,
            "listener.name.users.ssl.keystore.type": "PEM",
            "listener.name.users.ssl.keystore.location": str(authority.chain.absolute()),
        }

    def admin(self) -> KafkaAdminClient:
        """The administrator's hands."""
        return KafkaAdminClient(**self.administrators())

    def administrators(self) -> dict[str, Any]:
        """What the administrator connects with."""
        return {"bootstrap_servers": self.broker.address, **self.broker.client_options("admin")}

    def options(self) -> dict[str, str]:
        """What a worker's `[kafka.options]` hold, the password aside."""
        return {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": "worker",
            "ssl_cafile": str(self._authority.ca.absolute()),
        }

    def let_worker_in(self) -> None:
        """Give the user `worker` its password."""
        with closing(self.admin()) as admin:
            admin.alter_user_scram_credentials(
                [
                    UserScramCredentialUpsertion(
                        "worker", ScramMechanism.SCRAM_SHA_512, self.password.encode()
                    )
                ]
            )

    def permit(self, pipeline: str) -> None:
        """All that a pipeline's user needs; to read the outputs is for `stream status`."""
        ids = ResourcePattern(
            ResourceType.TRANSACTIONAL_ID, f"{pipeline}-", ACLResourcePatternType.PREFIXED
        )
        topics = {c: ResourcePattern(ResourceType.TOPIC, f"{pipeline}.{c}") for c in Channel}
        outputs = [topic for c, topic in topics.items() if c is not Channel.EVENTS]
        self._allow(
            *((ACLOperation.READ, topic) for topic in topics.values()),
            *((ACLOperation.WRITE, topic) for topic in outputs),
            (ACLOperation.READ, ResourcePattern(ResourceType.GROUP, pipeline)),
            (ACLOperation.WRITE, ids),
        )

    def permit_quarantine(self, pipeline: str) -> None:
        """What `stream quarantine list` needs besides."""
        group = ResourcePattern(ResourceType.GROUP, f"{pipeline}.redrive")
        self._allow((ACLOperation.READ, group))

    def permit_redrive(self, pipeline: str) -> None:
        """And what `stream quarantine redrive` does."""
        id_ = f"{pipeline}.redrive-redrive"
        self._allow(
            (ACLOperation.WRITE, ResourcePattern(ResourceType.TOPIC, f"{pipeline}.events")),
            (ACLOperation.WRITE, ResourcePattern(ResourceType.TRANSACTIONAL_ID, id_)),
        )

    def _allow(self, *allowed: tuple[ACLOperation, ResourcePattern]) -> None:
        acls = [
            ACL("User:worker", "*", operation, ACLPermissionType.ALLOW, resource)
            for operation, resource in allowed
        ]
        with closing(self.admin()) as admin:
            admin.create_acls(acls)


@dataclass
class EncryptedRedis:
    """A Redis behind TLS; one user a pipeline, as the adapter's documentation says."""

    server: LocalRedis
    authority: Authority
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: f"redis-canary-{secrets.token_hex(16)}")
    _admins: str = field(default_factory=lambda: secrets.token_hex(16))

    def lock(self) -> None:
        """Nobody comes in without a password any more."""
        with Redis.from_url(self.server.url) as client:
            client.execute_command("ACL", "SETUSER", "default", f">{self._admins}")

    def raw(self) -> Redis:
        """The operator's hands, past the front."""
        return Redis(host=LOOPBACK, port=self.server.port, password=self._admins)

    def permit(self, pipeline: str) -> None:
        """Make the user that the adapter documents."""
        command = re.search(r"ACL SETUSER (.*?\+hello)", adapter.__doc__ or "", re.DOTALL)
        assert command is not None
        rules = command[1].replace("PASSWORD", self.password).replace("PIPELINE", pipeline)
        with self.raw() as client:
            client.execute_command("ACL", "SETUSER", *rules.split())

    def url(self, *, ca: Path | None = None, host: str = LOOPBACK) -> str:
        """As `redis.url` has it."""
        trusted = ca or self.authority.ca
        place = f"{host}:{self.port}/0?ssl_ca_certs={trusted.absolute()}"
        return f"rediss://streamfold:{self.password}@{place}"


@contextmanager
def tls_front(port: int, behind: int, authority: Authority) -> Iterator[None]:
    """TLS on `port`, plain to `behind`; both on the loopback address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.chain)
    loop = asyncio.new_event_loop()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            return  # whichever side went, the other is told by the close
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(LOOPBACK, behind)
        await asyncio.gather(pump(reader, outer), pump(inner, writer))

    loop.run_until_complete(asyncio.start_server(serve, LOOPBACK, port, ssl=context))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10.0)
