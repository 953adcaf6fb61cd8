"""Whoever can write to Redis costs a worker replay time, and nothing else.

On a real Redis that holds anything under our keys, and on servers that answer anything.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from stream.adapters.redis import RedisSnapshots
from stream.cli import Pipeline
from stream.errors import BadInput
from stream.runtime.commands import snapshots
from stream.sandbox import LocalRedis
from tests.broker.redis_hands import MIB, SEALED, opened, peak_below
from tests.patience import HANGS_AFTER_S, HELD_UP_S

pytestmark = pytest.mark.broker

BASE = "streamfold:{p}:0"


@pytest.fixture
def raw(own_redis: LocalRedis) -> Iterator[Redis]:
    """The attacker's hands."""
    with Redis.from_url(own_redis.url) as client:
        yield client


def manifest(**changes: object) -> bytes:
    """As ours look, with something else in it."""
    told = {
        "write": "w", "chunks": 1, "next_offset": 7, "size_bytes": len(SEALED), "saved_at_ms": 1,
        "topic_id": "",
    }  # fmt: skip
    return json.dumps(told | changes).encode()


def told(store: RedisSnapshots) -> list[int]:
    """Which steps are listed; [] where the store says that there is nothing to be had."""
    try:
        return [entry.n for entry in store.stored(0)]
    except BadInput:
        return []


def loaded(store: RedisSnapshots, n: int) -> bytes | None:
    """By a reader who knows how long it is."""
    return store.load(0, n, lambda _: len(SEALED))


NUMBERS = [10**300, 2**63, 2**64, -1, -(10**300), 1e300, "1", None, True, [1], 2**61]


UNBOUNDED = [
    (field, number)
    for field in ("size_bytes", "chunks", "saved_at_ms", "next_offset")
    for number in NUMBERS
    if (field, number) != ("next_offset", 2**61)  # that is an offset
]


@pytest.mark.parametrize(("field", "number"), UNBOUNDED, ids=str)
def test_a_number_without_bounds_costs_its_snapshot_alone(
    own_redis: LocalRedis, raw: Redis, field: str, number: object
) -> None:
    """It used to end every start with 70, or to hang a load until the watchdog ended it."""
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)
    raw.zadd(f"{BASE}:index", {"n2": 2})
    raw.set(f"{BASE}:n2", manifest(**{field: number}))
    raw.set(f"{BASE}:n2:w:0", SEALED)

    began_s = time.monotonic()
    assert told(store) == [1]
    assert store.load(0, 2, len) is None
    assert loaded(store, 1) == SEALED
    store.remove(0, 2)
    assert time.monotonic() - began_s < HELD_UP_S


def test_of_a_forged_chunk_no_more_is_read_than_was_signed(
    own_redis: LocalRedis, raw: Redis
) -> None:
    """Its start is looked at; what is not signed is not read on, however long it claims to be."""
    store = opened(own_redis.url)
    size_bytes = 400 * MIB
    raw.zadd(f"{BASE}:index", {"n2": 2})
    raw.set(f"{BASE}:n2", manifest(size_bytes=size_bytes))
    raw.setrange(f"{BASE}:n2:w:0", size_bytes - 1, b"x")

    def refuse(start: bytes) -> int:
        assert len(start) == MIB
        raise BadInput("the signature does not fit")

    with peak_below(8), pytest.raises(BadInput, match="signature"):
        store.load(0, 2, refuse)
    with peak_below(8):
        assert store.load(0, 2, lambda _: 3 * MIB) is None


def test_a_chunk_that_is_longer_than_its_snapshot_is_cut(own_redis: LocalRedis, raw: Redis) -> None:
    """What was appended to it is never fetched."""
    store = opened(own_redis.url)
    store.save(0, 2, SEALED, next_offset=2)
    (chunk,) = cast("list[bytes]", raw.keys(f"{BASE}:n2:*:0"))
    raw.setrange(chunk, 200 * MIB, b"x")

    with peak_below(8):
        assert loaded(store, 2) == SEALED


WRONG_TYPES: dict[str, Callable[[Redis, str], object]] = {
    "a string": lambda raw, key: raw.set(key, "text"),
    "a list": lambda raw, key: raw.lpush(key, "a"),
    "a hash": lambda raw, key: raw.hset(key, "a", "b"),
    "a set": lambda raw, key: raw.sadd(key, "1"),
    "a sorted set": lambda raw, key: raw.zadd(key, {"9": 9}),
    "a stream": lambda raw, key: raw.xadd(key, {"a": "b"}),
    "a hyperloglog": lambda raw, key: raw.pfadd(key, "a"),
}


@pytest.mark.parametrize("make", WRONG_TYPES.values(), ids=WRONG_TYPES)
@pytest.mark.parametrize("part", ["index", "n2", "chunk"])
def test_a_key_of_another_type_costs_what_it_was(
    own_redis: LocalRedis, raw: Redis, part: str, make: Callable[[Redis, str], object]
) -> None:
    """No WRONGTYPE ends or stops anybody, and the next save is whole again."""
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)
    store.save(0, 2, SEALED, next_offset=2)
    (chunk,) = cast("list[bytes]", raw.keys(f"{BASE}:n2:*:0"))
    key = str(chunk, "ascii") if part == "chunk" else f"{BASE}:{part}"
    raw.unlink(key)
    make(raw, key)

    seen = told(store)
    assert 1 in seen or part == "index"
    assert loaded(store, 2) in (None, SEALED)
    store.save(0, 2, SEALED, next_offset=2)
    store.save(0, 3, SEALED, next_offset=3)

    assert told(store)[:2] == [3, 2]
    assert loaded(store, 2) == loaded(store, 3) == SEALED


def test_an_index_of_a_hundred_thousand_hides_ours_and_is_cleared(
    own_redis: LocalRedis, raw: Redis
) -> None:
    """No look takes long, and what is saved is found again after as many saves as it takes."""
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)
    for start in range(0, 100_000, 10_000):
        raw.zadd(f"{BASE}:index", {f"rubbish {n}": 1e18 for n in range(start, start + 10_000)})
    began_s = time.monotonic()

    assert told(store) == []
    for _ in range(120):
        store.save(0, 2, SEALED, next_offset=2)
        if told(store) == [2, 1]:
            break

    assert told(store) == [2, 1]
    assert time.monotonic() - began_s < HANGS_AFTER_S


def test_an_index_with_a_member_of_megabytes_is_not_read(own_redis: LocalRedis, raw: Redis) -> None:
    """It is told of, and the next save begins a new one."""
    store = opened(own_redis.url)
    raw.zadd(f"{BASE}:index", {b"x" * (64 * MIB): 5, b"n1": float("inf"), b"n2": float("-inf")})

    with peak_below(8), pytest.raises(BadInput, match="is no index of ours"):
        store.stored(0)
    store.save(0, 3, SEALED, next_offset=3)
    assert told(store) == [3]


def test_a_manifest_of_megabytes_is_not_read(own_redis: LocalRedis, raw: Redis) -> None:
    """Neither by a look, nor by who saves over it."""
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)
    raw.zadd(f"{BASE}:index", {"n2": 2})
    raw.set(f"{BASE}:n2", b"{" * (64 * MIB))

    with peak_below(8):
        assert told(store) == [1]
        store.save(0, 2, SEALED, next_offset=2)
    assert loaded(store, 2) == SEALED


# -- anything at all -------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["index", "n1", "n2", "n3", "n2:w:0", "n2:w:1", "n3:spoilt:0", "2", "n007", "n-1", f"n{2**63}"]
)
MEMBERS = st.one_of(
    st.sampled_from(
        [
            "n1",
            "n2",
            "n3",
            "2",
            "n007",
            "n-1",
            "n2.5",
            f"n{2**63}",
            f"n{2**64}",
            "n" + "9" * 400,
            "",
        ]
    ),
    st.text(max_size=8),
)
SCORES = st.one_of(st.floats(allow_nan=False), st.integers(-(2**70), 2**70))
JSONS = st.fixed_dictionaries(
    {},
    optional={
        "write": st.one_of(st.sampled_from(["w", "spoilt", "", "a:b", "W"]), st.integers()),
        "chunks": st.one_of(st.integers(), st.sampled_from([0, 1, 2, 10**4, 10**300, None])),
        "next_offset": st.one_of(st.integers(), st.sampled_from([0, 2, 2**63, 10**300, None])),
        "size_bytes": st.one_of(st.integers(), st.sampled_from([0, 3, len(SEALED), 10**300])),
        "saved_at_ms": st.one_of(st.integers(), st.floats(), st.text(max_size=3)),
        "topic_id": st.one_of(st.text(max_size=80), st.none()),
    },
).map(lambda value: json.dumps(value).encode())
VALUES = st.one_of(st.binary(max_size=64), JSONS, st.just(SEALED))
WRITES = st.one_of(
    st.tuples(st.just("set"), NAMES, VALUES),
    st.tuples(st.just("zadd"), NAMES, st.dictionaries(MEMBERS, SCORES, min_size=1, max_size=6)),
    st.tuples(st.just("other"), NAMES, st.sampled_from(list(WRONG_TYPES))),
)


def attack(raw: Redis, how: str, name: str, value: Any) -> None:
    """One command of the attacker's, on a key of ours."""
    key = f"{BASE}:{name}"
    if how == "set":
        raw.set(key, value)
        return
    raw.unlink(key) if raw.type(key) != b"zset" or how != "zadd" else None
    raw.zadd(key, value) if how == "zadd" else WRONG_TYPES[value](raw, key)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(writes=st.lists(WRITES, max_size=12))
def test_whatever_stands_in_redis_is_survived(
    own_redis: LocalRedis, raw: Redis, tmp_path: Path, writes: list[tuple[str, str, Any]]
) -> None:
    """Each call gives what it should or one of the port's errors; what is saved then is there."""
    raw.flushall()
    pipeline = house_of(own_redis, tmp_path)
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)
    for how, name, value in writes:
        attack(raw, how, name, value)

    for n in told(store):
        loaded(store, n)
    for command in (snapshots.show_list, snapshots.inspect):
        command(pipeline, partition=0, offset=None, as_json=True)
    store.save(0, 4, SEALED, next_offset=4)
    assert loaded(store, 4) == SEALED
    assert 4 in told(store)
    for n in told(store):
        store.remove(0, n)
    assert told(store) == []
    store.close()


def house_of(server: LocalRedis, folder: Path) -> Pipeline:
    """As the commands get it."""
    path = folder / "stream.toml"
    path.write_text(
        f'pipeline = "p"\nmodel.factory = "stream.models:logistic_regression"\n'
        f'redis.url = "{server.url}"\nsnapshots.signing_key = "{"k" * 32}"\n'
    )
    return Pipeline.of(path)
