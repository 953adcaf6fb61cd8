"""How the store talks to Redis: no call waits for long, and each answer is measured."""

from functools import partial
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stream.adapters.redis.metered import Allowance, MeteredSocket
from stream.adapters.redis.words import CONNECT_TIMEOUT_S, address
from stream.errors import Misconfigured


def connected(url: str, *, call_timeout_s: float, allowance: Allowance) -> tuple[redis.Redis, str]:
    """A client that connects at the first call, and where that is (see `address`).

    Raises: Misconfigured: it is no URL of a Redis.
    """
    try:
        client = redis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=call_timeout_s,
            # By default a silent server is asked ten times. Once more is for a connection that
            # was idle for so long that the server or something in between dropped it.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            redis_connect_func=partial(_prepare, allowance),
        )
        return client, address(client.connection_pool.connection_kwargs)
    except ValueError:
        # Not its text: that can hold a piece of the password.
        raise Misconfigured(
            "redis.url: write redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix://PATH"
        ) from None


def _prepare(allowance: Allowance, connection: Any) -> None:
    """Prepare a new connection before its handshake: its answers are measured from here on."""
    connection._sock = MeteredSocket(connection._sock, allowance)  # noqa: SLF001  # no other way in
    try:
        connection.on_connect()
    except BaseException:
        connection.disconnect()  # redis-py would take it for ready
        raise
