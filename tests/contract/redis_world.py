"""The snapshots in a real Redis under contract: one server a session, keys of one's own."""

from collections.abc import Sequence
from typing import ClassVar, Self
from uuid import uuid4

import pytest

from stream.adapters.redis import RedisSnapshots
from stream.sandbox import LocalRedis
from tests.contract.worlds import SystemClock


class RedisStoreWorld:
    """Pipelines of its own on the Redis that all tests share."""

    marks: ClassVar[Sequence[pytest.MarkDecorator]] = (pytest.mark.broker,)

    def __init__(self, server: LocalRedis) -> None:
        self._server = server
        self._own = uuid4().hex[:8]
        self._made: list[RedisSnapshots] = []

    @classmethod
    def open(cls, request: pytest.FixtureRequest) -> Self:
        """See `StoreWorld.open`."""
        return cls(request.getfixturevalue("redis_server"))

    def close(self) -> None:
        """See `StoreWorld.close`."""
        for store in self._made:
            store.close()

    def store(self, pipeline: str) -> RedisSnapshots:
        """See `StoreWorld.store`."""
        store = RedisSnapshots(
            self._server.url, pipeline=f"{self._own}-{pipeline}", clock=SystemClock()
        )
        self._made.append(store)
        return store
