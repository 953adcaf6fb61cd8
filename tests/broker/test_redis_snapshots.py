"""Snapshots in a real Redis that is full, read-only, hung, strict, or was meddled with."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from stream.adapters import redis as adapter
from stream.adapters.redis import CALL_TIMEOUT_S, CHUNK_BYTES, UNFINISHED_S, RedisSnapshots
from stream.errors import BadInput, Misconfigured, Retryable
from stream.runtime.clock import SystemClock
from stream.sandbox import LocalRedis
from tests.contract.worlds import loaded
from tests.patience import HELD_UP_S, eventually

pytestmark = pytest.mark.broker

SEALED = b"0123456789abcdef" * 64
TWO_CHUNKS = b"0123456789abcdef" * (CHUNK_BYTES // 16 + 1)


def opened(
    url: str, pipeline: str = "p", *, call_timeout_s: float = CALL_TIMEOUT_S
) -> RedisSnapshots:
    """A store as a worker opens it."""
    return RedisSnapshots(
        url, pipeline=pipeline, clock=SystemClock(), call_timeout_s=call_timeout_s
    )


def keys(client: Redis) -> set[str]:
    """Every key there is."""
    return {key.decode() for key in client.scan_iter()}


def steps(store: RedisSnapshots) -> list[int]:
    """What the index of partition 0 shows."""
    return [entry.n for entry in store.stored(0)]


@pytest.fixture
def raw(own_redis: LocalRedis) -> Iterator[Redis]:
    """The operator's hands."""
    with Redis.from_url(own_redis.url) as client:
        yield client


def test_a_full_redis_is_retryable_and_keeps_no_halves(own_redis: LocalRedis, raw: Redis) -> None:
    """Out of memory: the older snapshots stay, the failed one leaves nothing, later it works."""
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)
    before = keys(raw)
    used = int(raw.info("memory")["used_memory"])
    raw.config_set("maxmemory", used + CHUNK_BYTES + (1 << 20))
    raw.config_set("maxmemory-policy", "noeviction")

    with pytest.raises(Retryable, match="OutOfMemory"):
        store.save(0, 2, TWO_CHUNKS * 2, next_offset=2)

    assert keys(raw) == before
    assert steps(store) == [1]
    assert loaded(store, 0, 1) == SEALED
    raw.config_set("maxmemory", 0)
    store.save(0, 2, TWO_CHUNKS * 2, next_offset=2)
    assert steps(store) == [2, 1]


def test_a_redis_that_may_evict_is_told_of(own_redis: LocalRedis, raw: Redis) -> None:
    """`ping` says what an operator should change, and nothing when all is well."""
    store = opened(own_redis.url)
    raw.config_set("maxmemory-policy", "noeviction")
    assert store.ping() is None

    raw.config_set("maxmemory-policy", "allkeys-lru")

    assert "allkeys-lru" in (store.ping() or "")


def test_a_read_only_replica_is_retryable(own_redis: LocalRedis, raw: Redis) -> None:
    """After a fail-over the old master refuses to write; reading goes on."""
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)
    raw.replicaof("127.0.0.1", "1")

    with pytest.raises(Retryable, match="ReadOnly"):
        store.save(0, 2, SEALED, next_offset=2)
    with pytest.raises(Retryable, match="ReadOnly"):
        store.remove(0, 1)

    assert loaded(store, 0, 1) == SEALED
    raw.replicaof("NO", "ONE")
    store.save(0, 2, SEALED, next_offset=2)
    assert steps(store) == [2, 1]


def test_a_hung_redis_is_retryable_within_the_timeout(own_redis: LocalRedis) -> None:
    """No call waits longer than its timeout, on an old connection or a new one; later it works."""
    old = opened(own_redis.url, call_timeout_s=0.5)
    old.save(0, 1, SEALED, next_offset=1)
    own_redis.pause()

    for store in (old, opened(own_redis.url, call_timeout_s=0.5)):
        began_s = time.monotonic()
        with pytest.raises(Retryable):
            store.stored(0)
        with pytest.raises(Retryable):
            store.save(0, 2, SEALED, next_offset=2)
        assert time.monotonic() - began_s < 2 * 0.5 + HELD_UP_S

    own_redis.resume()
    eventually(lambda: steps(old)[-1] == 1, "an answer")


def test_a_paused_client_is_retryable(own_redis: LocalRedis, raw: Redis) -> None:
    """CLIENT PAUSE, as in a fail-over by hand: the real timeout ends the call."""
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)
    raw.client_pause(30_000)

    began_s = time.monotonic()
    with pytest.raises(Retryable):
        loaded(store, 0, 1)

    assert CALL_TIMEOUT_S - 0.5 < time.monotonic() - began_s < CALL_TIMEOUT_S + HELD_UP_S


def test_a_redis_that_is_away_is_retryable_and_comes_back(own_redis: LocalRedis) -> None:
    """Nobody has to make a new client when Redis was restarted, empty as it is then."""
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)
    own_redis.kill()
    with pytest.raises(Retryable, match="not reachable"):
        loaded(store, 0, 1)

    own_redis.start()

    assert loaded(store, 0, 1) is None
    store.save(0, 2, SEALED, next_offset=2)
    assert steps(store) == [2]


def test_a_dropped_connection_is_not_even_noticed(own_redis: LocalRedis, raw: Redis) -> None:
    """A server that closed an idle connection costs one silent second try."""
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)

    raw.client_kill_filter(_type="normal", skipme=True)

    assert loaded(store, 0, 1) == SEALED


def test_a_wrong_or_missing_password_is_misconfigured(own_redis: LocalRedis, raw: Redis) -> None:
    """A password is the operator's to mend, and no message shows it."""
    raw.config_set("requirepass", "right-5d1f")
    wrong = f"redis://:wrong-8c2e@{own_redis.address}/0"
    for url in (own_redis.url, wrong):
        with pytest.raises(Misconfigured) as failure:
            opened(url).stored(0)
        assert "wrong-8c2e" not in str(failure.value)

    store = opened(f"redis://:right-5d1f@{own_redis.address}/0")
    store.save(0, 1, SEALED, next_offset=1)
    assert steps(store) == [1]


def test_a_broken_url_is_misconfigured_and_not_shown() -> None:
    """A password with a slash breaks a URL in pieces; none of them gets into the message."""
    for url in ("http://127.0.0.1/0", "redis://:secret-1/secret-2@127.0.0.1:6379/0"):
        with pytest.raises(Misconfigured, match=r"redis\.url") as failure:
            opened(url)
        assert "secret" not in str(failure.value)


def test_the_documented_user_may_do_all_a_worker_does_and_no_more(
    own_redis: LocalRedis, raw: Redis
) -> None:
    """The ACL in the adapter's docstring is enough, for its own pipeline only."""
    assert adapter.__doc__ is not None
    command = re.search(r"ACL SETUSER (.*?\+hello)", adapter.__doc__, re.DOTALL)
    assert command is not None
    rules = command[1].replace("PASSWORD", "pw").replace("PIPELINE", "mine").split()
    raw.execute_command("ACL", "SETUSER", *rules)  # type: ignore[no-untyped-call]  # redis-py
    url = f"redis://streamfold:pw@{own_redis.address}/0"
    store = opened(url, "mine")

    store.save(0, 41, TWO_CHUNKS, next_offset=41)
    store.save(0, 41, TWO_CHUNKS, next_offset=41)
    store.save(0, 42, SEALED, next_offset=42)
    assert steps(store) == [42, 41]
    assert loaded(store, 0, 41) == TWO_CHUNKS
    store.remove(0, 41)
    assert store.ping() is None

    assert steps(store) == [42]
    with pytest.raises(Misconfigured, match="ACL"):
        opened(url, "other").save(0, 1, SEALED, next_offset=1)
    with pytest.raises(Misconfigured, match="ACL"):
        opened(url, "mine-too").stored(0)


def test_a_lost_chunk_is_a_lost_snapshot(own_redis: LocalRedis, raw: Redis) -> None:
    """Whatever part is evicted, `load` says None, and the older snapshot is there."""
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)
    store.save(0, 2, TWO_CHUNKS, next_offset=2)
    for n in "10":
        raw.unlink(*(key for key in keys(raw) if re.search(rf":0:n2:.*:{n}$", key)))
        assert loaded(store, 0, 2) is None
    # A start that is not there is shown to nobody: it would look damaged.
    assert store.load(0, 2, lambda start: pytest.fail(str(start))) is None
    assert steps(store) == [2, 1]
    assert loaded(store, 0, 1) == SEALED


def test_a_lost_manifest_hides_its_snapshot(own_redis: LocalRedis, raw: Redis) -> None:
    """An entry of the index without its manifest is not listed."""
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)
    store.save(0, 2, SEALED, next_offset=2)

    raw.unlink("streamfold:{p}:0:n2")

    assert steps(store) == [1]
    assert loaded(store, 0, 2) is None
    store.remove(0, 2)


def test_a_lost_index_is_an_empty_store(own_redis: LocalRedis, raw: Redis) -> None:
    """Without the index nothing is listed, and what is saved next is."""
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)

    raw.unlink("streamfold:{p}:0:index")

    assert steps(store) == []
    store.save(0, 2, SEALED, next_offset=2)
    assert steps(store) == [2]


def test_a_flushed_redis_is_an_empty_store(own_redis: LocalRedis, raw: Redis) -> None:
    """A flush in the middle of the work is no error."""
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)

    raw.flushall()

    assert steps(store) == []
    assert loaded(store, 0, 1) is None
    store.remove(0, 1)
    store.save(0, 2, SEALED, next_offset=2)
    assert steps(store) == [2]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\x00\xff",
        b"{}",
        b"[1, 2]",
        b'{"write": "w", "chunks": 1, "next_offset": 2, "size_bytes": "many", "saved_at_ms": 0}',
        b'{"write": "w", "chunks": 100000000, "next_offset": 2, "size_bytes": 7, "saved_at_ms": 0}',
        b'{"write": "w", "chunks": -1, "next_offset": 2, "size_bytes": 7, "saved_at_ms": 0}',
    ],
)
def test_a_damaged_manifest_is_a_lost_snapshot(
    own_redis: LocalRedis, raw: Redis, damage: bytes
) -> None:
    """Nothing that stands there is an error, takes long, or keeps from saving it again."""
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)
    store.save(0, 2, SEALED, next_offset=2)

    raw.set("streamfold:{p}:0:n2", damage)

    assert loaded(store, 0, 2) is None
    assert steps(store)[-1] == 1
    store.save(0, 2, SEALED, next_offset=2)
    assert loaded(store, 0, 2) == SEALED
    store.remove(0, 2)
    assert steps(store) == [1]


def test_a_damaged_index_shows_what_is_right_in_it(own_redis: LocalRedis, raw: Redis) -> None:
    """Foreign members are passed over; one that is no index is told of, and made anew."""
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)
    raw.zadd("streamfold:{p}:0:index", {"oops": 5, "n-3": 6, "n1.5": 7, "n\u0663": 8, "n": 9})
    assert steps(store) == [1]
    raw.zadd("streamfold:{p}:0:index", {"n" + "9" * 5_000: 10, f"n{2**63}": 11, "n007": 12})
    assert steps(store) == [1]

    raw.set("streamfold:{p}:0:index", "no index")

    with pytest.raises(BadInput, match=r"0:index in Redis is no index of ours"):
        store.stored(0)
    assert store.load(0, 1, lambda _: len(SEALED)) == SEALED
    store.save(0, 2, SEALED, next_offset=2)
    assert steps(store) == [2]


def test_a_cut_chunk_is_a_lost_snapshot(own_redis: LocalRedis, raw: Redis) -> None:
    """Bytes that do not have the manifest's size are not handed out."""
    store = opened(own_redis.url)
    store.save(0, 1, SEALED, next_offset=1)
    (chunk,) = (key for key in keys(raw) if re.search(r":0:n1:.*:0$", key))

    raw.set(chunk, SEALED[:-1])

    assert loaded(store, 0, 1) is None


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class Dying(Redis):
    """A client whose process dies after a number of commands."""

    commands_left = 1_000

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """The next command, or the end."""
        if self.commands_left == 0:
            raise Killed
        self.commands_left -= 1
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py


@pytest.mark.parametrize("commands", range(1, 8))
def test_a_writer_that_dies_leaves_nothing_for_ever(
    own_redis: LocalRedis, raw: Redis, commands: int
) -> None:
    """Cut off after any command: never half seen, and what the index does not name expires."""
    store = opened(own_redis.url)
    dying = Dying(port=own_redis.port)
    dying.commands_left = commands
    store._redis = dying

    with pytest.raises(Killed):
        store.save(0, 1, TWO_CHUNKS, next_offset=1)

    survivor = opened(own_redis.url)
    # Two chunks, a look for an older manifest, the manifest, the index; then they are made to stay.
    is_indexed = commands >= 5
    assert steps(survivor) == ([1] if is_indexed else [])
    assert loaded(survivor, 0, 1, size_bytes=len(TWO_CHUNKS)) == (
        TWO_CHUNKS if commands >= 4 else None
    )
    if is_indexed:
        survivor.remove(0, 1)
        assert keys(raw) == set()
    else:
        assert all(0 < int(raw.ttl(key)) <= UNFINISHED_S for key in keys(raw))


@pytest.mark.parametrize("commands", [1, 2])
def test_a_removal_that_dies_leaves_nothing_but_a_name(
    own_redis: LocalRedis, raw: Redis, commands: int
) -> None:
    """The bytes go at once; what the index may name in vain is told by nobody as a snapshot."""
    opened(own_redis.url).save(0, 1, TWO_CHUNKS, next_offset=1)
    dying = Dying(port=own_redis.port)
    dying.commands_left = commands
    store = opened(own_redis.url)
    store._redis = dying

    with pytest.raises(Killed):
        store.remove(0, 1)

    assert steps(opened(own_redis.url)) == ([1] if commands == 1 else [])
    assert len(keys(raw)) == (4 if commands == 1 else 1)


def test_saving_again_leaves_no_old_chunks(own_redis: LocalRedis, raw: Redis) -> None:
    """One step saved by several writers keeps the chunks of one of them, for good."""
    for _ in range(3):
        opened(own_redis.url).save(0, 1, TWO_CHUNKS, next_offset=1)

    chunks = [key for key in keys(raw) if key.count(":") == 5]
    assert len(chunks) == 2
    assert all(raw.ttl(key) == -1 for key in chunks)
    opened(own_redis.url).remove(0, 1)
    assert keys(raw) == set()


def test_a_unix_socket_will_do(own_redis: LocalRedis, tmp_path: Path) -> None:
    """`unix://` reaches a Redis without a port."""
    assert own_redis.running  # the fixture skips where there is no Redis
    path = tmp_path / "redis.sock"
    with LocalRedis(folder=tmp_path / "own", arguments=("--unixsocket", str(path))):
        store = opened(f"unix://{path}")
        store.save(0, 1, SEALED, next_offset=1)

        assert loaded(store, 0, 1) == SEALED
