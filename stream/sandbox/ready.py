"""When a server counts as up: it answers what a worker will ask, and not only takes connections."""

import secrets
import socket
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any

from stream.sandbox.failures import NotReady, Unavailable

LOOPBACK = "127.0.0.1"
READY_WITHIN_S = 60.0
ASKED_AGAIN_AFTER_S = 0.1
ANSWER_WITHIN_S = 5.0

# Below the kernel's range for outgoing connections (32768 and up on Linux): there a client that
# reconnects to a killed server's port takes that very port for itself sooner or later.
PORTS = range(20_000, 32_768)
PORT_TRIES = 100

# Size, then ApiVersions (18) version 0, correlation id 0, no client id: every broker answers it,
# also one that wants a password.
API_VERSIONS_REQUEST = struct.pack(">ihhih", 10, 18, 0, 0, -1)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now. Raises: Unavailable."""
    for _ in range(PORT_TRIES):
        port = secrets.choice(PORTS)
        with socket.socket() as candidate:
            try:
                candidate.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise Unavailable(f"no free port found between {PORTS.start} and {PORTS.stop - 1}")


def wait_until_ready(
    *,
    what: str,
    problem: Callable[[], str | None],
    running: Callable[[], bool],
    log_tail: Callable[[], list[str]],
    timeout_s: float = READY_WITHIN_S,
) -> None:
    """Ask again and again until `problem` has none.

    Raises: NotReady: the time is over, or the server does not run any more.
    """
    deadline = time.monotonic() + timeout_s
    while (found := problem()) is not None:
        if not running():
            raise NotReady(f"{what} ended before it was ready", log_tail=log_tail())
        if time.monotonic() > deadline:
            raise NotReady(
                f"{what} was not ready within {timeout_s:g} s ({found})", log_tail=log_tail()
            )
        time.sleep(ASKED_AGAIN_AFTER_S)


def kafka_problem(port: int, options: Mapping[str, Any]) -> str | None:
    """What still keeps a transactional producer from working; None: nothing.

    Args:
        port: where the broker listens on the loopback interface.
        options: security settings in kafka-python's words.
    """
    # First by hand: kafka-python logs every refused connection, and the port of a container is
    # open long before its broker is.
    try:
        with socket.create_connection((LOOPBACK, port), ANSWER_WITHIN_S) as connection:
            connection.sendall(API_VERSIONS_REQUEST)
            if not connection.recv(1):
                return "no answer to ApiVersions"
    except OSError as error:
        return str(error)
    return _transaction_problem(port, options)


def _transaction_problem(port: int, options: Mapping[str, Any]) -> str | None:
    """Try to get a transactional id, as a worker will; None: it works."""
    from kafka import KafkaProducer  # noqa: PLC0415  # slow to import, and only needed here
    from kafka.errors import KafkaError  # noqa: PLC0415

    producer = None
    try:
        producer = KafkaProducer(
            bootstrap_servers=f"{LOOPBACK}:{port}",
            transactional_id=f"sandbox-ready-{secrets.token_hex(8)}",
            bootstrap_timeout_ms=int(ANSWER_WITHIN_S * 1000),
            max_block_ms=int(ANSWER_WITHIN_S * 1000),
            **options,
        )
        producer.init_transactions()
    except KafkaError as error:
        return f"no transaction coordinator: {error}"
    finally:
        if producer is not None:
            producer.close(timeout=1)  # nothing was sent, so there is nothing to flush
    return None


def redis_problem(port: int) -> str | None:
    """What still keeps a Redis from answering; None: nothing."""
    from redis import Redis, RedisError  # noqa: PLC0415  # slow to import, and only needed here
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    client = Redis(
        host=LOOPBACK,
        port=port,
        socket_timeout=ANSWER_WITHIN_S,
        socket_connect_timeout=ANSWER_WITHIN_S,
        retry=Retry(NoBackoff(), 0),  # by default it would ask ten times
    )
    try:
        client.ping()
    except RedisError as error:
        return str(error)
    finally:
        client.close()
    return None
