"""Kafka and Redis in containers of a Docker engine on this machine, through testcontainers."""

import os
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from socket import gaierror
from typing import TYPE_CHECKING
from uuid import uuid4

from stream.sandbox.failures import Unavailable
from stream.sandbox.guard import Guard
from stream.sandbox.kafka_settings import KAFKA_VERSION, NO_PROPERTIES, container_variables
from stream.sandbox.ready import (
    LOOPBACK,
    free_port,
    kafka_problem,
    redis_problem,
    wait_until_ready,
)
from stream.sandbox.reaper import CONTAINER_LABEL
from stream.sandbox.server import Servers

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

KAFKA_IMAGE = f"apache/kafka:{KAFKA_VERSION}"
REDIS_IMAGE = "redis:7"
ENGINE_ANSWERS_WITHIN_S = 5
REDIS_READY_WITHIN_S = 15.0
LOG_TAIL_LINES = 20


def require_engine() -> None:
    """Ask the Docker engine for a sign of life.

    Raises: Unavailable: no engine answers, it is not on this machine, or testcontainers is missing.
    """
    if find_spec("testcontainers") is None:
        raise Unavailable(
            "testcontainers is not installed (pip install '.[sandbox]' in the project's folder)"
        )
    from docker.errors import (  # type: ignore[import-untyped]  # noqa: PLC0415  # docker ships no types
        DockerException,
    )
    from testcontainers.core.docker_client import DockerClient  # noqa: PLC0415  # an extra

    try:
        docker = DockerClient(timeout=ENGINE_ANSWERS_WITHIN_S)
        docker.client.ping()
        host = docker.host()
        docker.client.close()
    except (DockerException, OSError) as error:  # requests' errors are OSErrors
        raise Unavailable(f"no Docker engine answers: {_plainly(error)}") from error
    # A sandbox has no passwords, so it must not listen where another machine can reach it.
    if host not in ("localhost", LOOPBACK):
        raise Unavailable(f"the Docker engine that answers is not on this machine but at {host}")


@contextmanager
def servers(
    *, say: Callable[[str], None], jvm: Sequence[str], properties: Mapping[str, str] = NO_PROPERTIES
) -> Iterator[Servers]:
    """A Kafka and a Redis; both are removed at the end.

    Args:
        say: says to people that an image has to be pulled first.
        jvm: the options of Kafka's Java.
        properties: settings of the broker, which override ours.

    Raises: Unavailable: the engine does not run the images. NotReady: one did not come up.
    """
    name = uuid4().hex[:12]
    kafka_port, redis_port = free_port(), free_port()
    with Guard() as guard:
        guard.add("containers", name)
        kafka = _run(
            KAFKA_IMAGE, say=say, name=name, port=(9092, kafka_port),
            variables=container_variables(port=kafka_port, jvm=jvm, properties=properties),
        )  # fmt: skip
        redis = _run(REDIS_IMAGE, say=say, name=name, port=(6379, redis_port))
        # Redis first: it tells soon whether the engine's ports are ours at all. They are not when
        # we run in a container ourselves and only the engine's socket was handed in.
        wait_until_ready(
            what=f"Redis in container {redis.get_container_id()[:12]}",
            problem=lambda: redis_problem(redis_port),
            running=lambda: _running(redis),
            log_tail=lambda: _log_tail(redis),
            timeout_s=REDIS_READY_WITHIN_S,
        )
        wait_until_ready(
            what=f"Kafka in container {kafka.get_container_id()[:12]}",
            problem=lambda: kafka_problem(kafka_port, {}),
            running=lambda: _running(kafka),
            log_tail=lambda: _log_tail(kafka),
        )
        started = {"Kafka": kafka, "Redis": redis}
        try:
            yield Servers(
                bootstrap_servers=f"{LOOPBACK}:{kafka_port}",
                redis_url=f"redis://{LOOPBACK}:{redis_port}/0",
                ended=lambda: next((it for it in started if not _running(started[it])), None),
            )
        finally:
            kafka.stop()
            redis.stop()
            guard.remove("containers", name)


def _run(
    image: str,
    *,
    say: Callable[[str], None],
    name: str,
    port: tuple[int, int],
    variables: Mapping[str, str] | None = None,
) -> "DockerContainer":
    """Start a container, and pull its image first if need be. Raises: Unavailable."""
    from docker.errors import DockerException, ImageNotFound  # noqa: PLC0415  # an extra
    from testcontainers.core.config import testcontainers_config  # noqa: PLC0415
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415

    # Our own guard removes the containers; testcontainers' reaper needs an image of its own.
    testcontainers_config.ryuk_disabled = True
    inside, outside = port
    container = DockerContainer(
        image,
        name=f"streamfold-sandbox-{name}-{inside}",
        labels={CONTAINER_LABEL: name},
        env=None if variables is None else dict(variables),
    )
    # docker-py takes (address, port) too; a bare port would listen on every interface.
    container.ports[f"{inside}/tcp"] = (LOOPBACK, outside)  # type: ignore[assignment]  # see above
    docker = container.get_docker_client().client
    try:
        try:
            docker.images.get(container.image)
        except ImageNotFound:
            say(f"sandbox: pulling {container.image} (once)")
        container.start()
    except (DockerException, OSError) as error:
        raise Unavailable(f"Docker does not run {image}: {_plainly(error)}") from error
    return container


def _running(container: "DockerContainer") -> bool:
    from docker.errors import DockerException  # noqa: PLC0415  # an extra

    try:
        container.reload()
    except (DockerException, OSError):  # it was removed, or the engine is gone: no use either way
        return False
    return container.status == "running"


def _log_tail(container: "DockerContainer") -> list[str]:
    from docker.errors import DockerException  # noqa: PLC0415  # an extra

    try:
        said = b"".join(container.get_logs()).decode(errors="replace")
    except (DockerException, OSError) as error:
        return [f"(the log is gone: {_plainly(error)})"]
    return said.splitlines()[-LOG_TAIL_LINES:]


def _plainly(error: BaseException) -> str:
    """What is wrong, in words for a person: the clients put one exception's repr into another."""
    causes = list(_causes(error))
    for kind, words in _PLAIN_WORDS.items():
        if any(isinstance(cause, kind) for cause in causes):
            return words
    # The engine's own words, without the HTTP around them.
    explanation = next((it for each in causes if (it := getattr(each, "explanation", None))), None)
    if explanation is None:
        explanation = (
            "what DOCKER_HOST and its kin name cannot be asked" if _host_is_set() else "it breaks"
        )
    return " ".join(str(explanation).split())


def _host_is_set() -> bool:
    return any(os.environ.get(f"DOCKER_{name}") for name in ("HOST", "TLS_VERIFY", "CERT_PATH"))


_PLAIN_WORDS = {
    FileNotFoundError: "none runs here",
    PermissionError: "this user may not ask it (see the group `docker`)",
    ConnectionRefusedError: "nothing listens at its address",
    gaierror: "its host's name is not found",
    TimeoutError: f"not within {ENGINE_ANSWERS_WITHIN_S} s",
    ssl.SSLError: "its certificate is not trusted",
    ConnectionError: "it broke the connection",
}
"""Error and what it means here; the one that says most comes first."""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """It, and all that it was made of: causes, and exceptions that stand in another's arguments."""
    pending, seen = [error], set[int]()
    while pending:
        each = pending.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        parts = (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)
        pending += [part for part in parts if isinstance(part, BaseException)]
