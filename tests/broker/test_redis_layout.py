"""Keys in Redis that an earlier layout of ours left."""

import pytest
from redis import Redis

from stream.adapters.redis import RedisSnapshots
from stream.runtime.clock import SystemClock
from stream.sandbox import LocalRedis
from tests.contract.worlds import loaded

pytestmark = pytest.mark.broker

SEALED = b"0123456789abcdef" * 64


def test_what_an_earlier_layout_left_is_neither_read_nor_touched(own_redis: LocalRedis) -> None:
    """Its keys were named by offsets: the same numbers, and of something else."""
    manifest = b'{"write": "w", "chunks": 1, "size_bytes": 3, "saved_at_ms": 0, "topic_id": ""}'
    raw = Redis.from_url(own_redis.url)
    store = RedisSnapshots(own_redis.url, pipeline="p", clock=SystemClock())
    for n in "12":
        raw.set(f"streamfold:{{p}}:0:{n}", manifest)
        raw.set(f"streamfold:{{p}}:0:{n}:w:0", b"old")
        raw.zadd("streamfold:{p}:0:index", {n: int(n)})

    assert store.stored(0) == []
    assert store.load(0, 1, len) is None
    store.remove(0, 1)
    store.save(0, 2, SEALED, next_offset=1)

    assert [(entry.n, entry.next_offset) for entry in store.stored(0)] == [(2, 1)]
    assert loaded(store, 0, 2) == SEALED
    assert raw.exists("streamfold:{p}:0:1", "streamfold:{p}:0:2:w:0") == 2
