"""A throw-away Kafka and Redis on this machine, for the demo, for trying things, and for tests.

`start` takes the first of these that can be had, and says which and why:

1. Docker: containers of the public images, through testcontainers.
2. A local JVM with Kafka's jars (fetched by Maven once), and a redis-server.
3. Embedded: no server at all; the caller keeps log and snapshots in one SQLite file.

All of it listens on the loopback interface only, lives in a folder or in containers of its own, and
is gone at the end, also when this process is killed. Tests that torment a server take
`LocalKafka` and `LocalRedis` themselves.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from stream.errors import Retryable
from stream.sandbox import containers, kafka_jars
from stream.sandbox.failures import NotReady, Unavailable
from stream.sandbox.guard import own_folder
from stream.sandbox.kafka_settings import AS_ON_A_LAPTOP, JVM_BRIEF, NO_PROPERTIES
from stream.sandbox.local_kafka import LocalKafka
from stream.sandbox.local_redis import LocalRedis, redis_server
from stream.sandbox.server import Servers

__all__ = ["LocalKafka", "LocalRedis", "NotReady", "Sandbox", "Unavailable", "serve", "start"]

SandboxKind = Literal["docker", "jvm", "embedded"]
Say = Callable[[str], None]

SERVERS_LOOKED_AT_EVERY_S = 1.0


class Sandbox:
    """What `start` brought up; a context manager. `close` removes all of it.

    Attributes:
        kind: what it runs on.
        reason: why it is this kind, in one line.
        bootstrap_servers: Kafka's address; None if embedded.
        redis_url: Redis' address; None if embedded.
        log_path: the SQLite file to use if embedded (it does not exist yet); else None.
    """

    def __init__(
        self, *, kind: SandboxKind, reason: str, servers: Servers, stack: ExitStack
    ) -> None:
        self.kind = kind
        self.reason = reason
        self.bootstrap_servers = servers.bootstrap_servers
        self.redis_url = servers.redis_url
        self.log_path = servers.log_path
        self._servers = servers
        self._stack = stack

    def environment(self) -> Mapping[str, str]:
        """The configuration that leads a worker here, as environment variables."""
        if self.bootstrap_servers is None or self.redis_url is None:
            return {
                "STREAM__KAFKA__CLIENT": "embedded",
                "STREAM__KAFKA__PATH": str(self.log_path),
            }
        return {
            "STREAM__KAFKA__BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "STREAM__REDIS__URL": self.redis_url,
        }

    def ended(self) -> str | None:
        """The name of a server that ended by itself; None: all is well."""
        return self._servers.ended()

    def close(self) -> None:
        """Stop the servers and remove everything; fine to call again. Raises: Internal."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def start(
    *,
    say: Say,
    kafka: Literal["auto", "docker", "jvm", "embedded"] = "auto",
    folder: Path | None = None,
    jvm: Sequence[str] = JVM_BRIEF,
    properties: Mapping[str, str] = NO_PROPERTIES,
) -> Sandbox:
    """Bring up the first kind that can be had, or the one that is asked for.

    Args:
        say: gets each line that a person wants to read.
        kafka: the kind; "auto": Docker, else a local JVM, else embedded.
        folder: where to put the sandbox's own folder; None: the system's temporary folder.
        jvm: the options of Kafka's Java.
        properties: settings of the broker, which override ours.

    Raises: Unavailable, NotReady: the kind that was asked for cannot be had (never with "auto").
    """
    begin = partial(_start, say=say, folder=folder, jvm=jvm, properties=properties)
    if kafka != "auto":
        return begin(kafka, reason="as asked")
    refused: list[str] = []
    kinds: tuple[SandboxKind, ...] = ("docker", "jvm")
    for kind in kinds:
        try:
            reason = "; ".join(refused) or "a Docker engine answers"
            return begin(kind, reason=reason)
        except (Unavailable, NotReady) as error:
            refused.append(str(error))
    return begin("embedded", reason="; ".join(refused))


def serve(
    *,
    say: Say,
    stop: threading.Event,
    kafka: Literal["auto", "docker", "jvm", "embedded"] = "auto",
    folder: Path | None = None,
) -> None:
    """Bring up a sandbox, say how to reach it, and keep it until `stop` is set.

    As on a laptop, its Kafka makes a topic at its first use.

    Raises: Unavailable, NotReady: as `start`. Retryable: a server ended by itself.
    """
    with start(say=say, kafka=kafka, folder=folder, properties=AS_ON_A_LAPTOP) as sandbox:
        for name, value in sandbox.environment().items():
            say(f"export {name}={value}")
        say("sandbox: up; Ctrl-C removes it")
        while not stop.wait(SERVERS_LOOKED_AT_EVERY_S):
            if (ended := sandbox.ended()) is not None:
                raise Retryable(f"the sandbox's {ended} ended by itself; start the sandbox again")
    say("sandbox: removed")


def _start(
    kind: SandboxKind,
    *,
    reason: str,
    say: Say,
    folder: Path | None,
    jvm: Sequence[str],
    properties: Mapping[str, str],
) -> Sandbox:
    """Start the servers of one kind; if anything fails, what was started is taken down again."""
    with ExitStack() as stack:
        if kind == "docker":
            containers.require_engine()
            say(f"sandbox: Kafka and Redis in Docker containers ({reason})")
            servers = stack.enter_context(
                containers.servers(say=say, jvm=jvm, properties=properties)
            )
        elif kind == "jvm":
            kafka_jars.require()
            redis_server()
            say(f"sandbox: Kafka in a local JVM, Redis as a local process ({reason})")
            servers = stack.enter_context(_local(say, folder, jvm, properties))
        else:
            say(f"sandbox: no servers, log and snapshots in one SQLite file ({reason})")
            servers = Servers(log_path=stack.enter_context(own_folder(folder)) / "log.sqlite3")
        return Sandbox(kind=kind, reason=reason, servers=servers, stack=stack.pop_all())


@contextmanager
def _local(
    say: Say, folder: Path | None, jvm: Sequence[str], properties: Mapping[str, str]
) -> Iterator[Servers]:
    """Run Kafka and Redis as local processes in one folder for the time of the block."""
    with own_folder(folder) as own:
        kafka = LocalKafka(folder=own / "kafka", say=say, jvm=jvm, properties=properties)
        redis = LocalRedis(folder=own / "redis")
        servers = (kafka, redis)
        try:
            redis.start()  # the cheap one first: without it the other is not worth the wait
            kafka.start()
            yield Servers(
                bootstrap_servers=kafka.bootstrap_servers,
                redis_url=redis.url,
                ended=lambda: next((it.name for it in servers if not it.running), None),
            )
        finally:
            for server in servers:
                server.kill()  # nobody needs what it would write in leaving
