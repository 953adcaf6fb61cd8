"""Snapshots in Redis: chunks, then a manifest, then the index; whatever is half is never seen.

Keys, all under `streamfold:{PIPELINE}:` (the braces put a pipeline's keys into one slot of a cluster)::

    P:OFFSET:WRITER:N     chunk N, at most 8 MiB
    P:OFFSET              the manifest: which writer's chunks, how many, size, when
    P:index               sorted set of offsets, scored by offset

Two writers of one offset do not mix: each has its own chunks, and the manifest names one of them.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import redis

from stream.errors import Misconfigured, Retryable
from stream.ports import Clock, StoredSnapshot

CHUNK_BYTES = 8 << 20
"""One command blocks Redis for all others; 512 MB is its limit for a value."""

CONNECT_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 5.0
_INDEX_MAX = 1_000


class _Manifest(msgspec.Struct, frozen=True):
    writer: str
    chunks: int
    size_bytes: int
    saved_at_ms: int


_decode = msgspec.json.Decoder(_Manifest).decode


class RedisSnapshots:
    """See `stream.ports.SnapshotStore`. Connects at the first call.

    Args:
        url: redis://, rediss:// or unix://.
    """

    def __init__(self, url: str, *, pipeline: str, clock: Clock) -> None:
        self._prefix = f"streamfold:{{{pipeline}}}:"
        self._writer = uuid.uuid4().hex[:12]
        self._clock = clock
        try:
            self._redis = redis.Redis.from_url(
                url,
                socket_connect_timeout=CONNECT_TIMEOUT_S,
                socket_timeout=CALL_TIMEOUT_S,
                client_name="streamfold",
            )
        except ValueError as error:
            raise Misconfigured(f"redis.url: {error}") from error

    def ping(self) -> str | None:
        """Whether it answers; what an operator should know of it, or None if all is well.

        Raises: Retryable, Misconfigured.
        """
        with _translated():
            self._redis.ping()
        try:
            with _translated():
                policy = self._redis.config_get("maxmemory-policy").get("maxmemory-policy")
        except Misconfigured:
            return None  # an ACL may forbid CONFIG, and rightly so
        if policy not in (None, "noeviction"):
            return f"maxmemory-policy is {policy}: snapshots may be evicted; use noeviction"
        return None

    def stored(self, partition: int) -> list[StoredSnapshot]:
        """See `SnapshotStore.stored`; entries whose manifest is gone are left out."""
        with _translated():
            offsets = [
                int(o) for o in self._redis.zrange(self._index(partition), 0, _INDEX_MAX, desc=True)
            ]
            if not offsets:
                return []
            manifests = self._redis.mget([self._manifest(partition, o) for o in offsets])
        found = []
        for offset, raw in zip(offsets, manifests, strict=True):
            manifest = None if raw is None else self._parse(raw)
            if manifest is not None:
                found.append(StoredSnapshot(offset, manifest.size_bytes, manifest.saved_at_ms))
        return found

    def load(self, partition: int, next_offset: int) -> bytes | None:
        """See `SnapshotStore.load`."""
        with _translated():
            raw = self._redis.get(self._manifest(partition, next_offset))
            manifest = None if raw is None else self._parse(raw)
            if manifest is None:
                return None
            chunks = []
            for n in range(manifest.chunks):
                chunk = self._redis.get(self._chunk(partition, next_offset, manifest.writer, n))
                if chunk is None:
                    return None
                chunks.append(chunk)
        sealed = b"".join(chunks)
        return sealed if len(sealed) == manifest.size_bytes else None

    def save(self, partition: int, next_offset: int, sealed: bytes) -> None:
        """See `SnapshotStore.save`."""
        pieces = [sealed[i : i + CHUNK_BYTES] for i in range(0, len(sealed), CHUNK_BYTES)]
        manifest = _Manifest(self._writer, len(pieces), len(sealed), self._clock.now_ms())
        with _translated():
            for n, piece in enumerate(pieces):
                self._redis.set(self._chunk(partition, next_offset, self._writer, n), piece)
            previous = self._redis.set(
                self._manifest(partition, next_offset), msgspec.json.encode(manifest), get=True
            )
            self._redis.zadd(self._index(partition), {str(next_offset): next_offset})
            if previous is not None:
                self._drop_chunks(partition, next_offset, previous, unless=self._writer)

    def remove(self, partition: int, next_offset: int) -> None:
        """See `SnapshotStore.remove`: index first, so that nobody begins to read it."""
        with _translated():
            self._redis.zrem(self._index(partition), str(next_offset))
            raw = self._redis.get(self._manifest(partition, next_offset))
            self._redis.unlink(self._manifest(partition, next_offset))
            if raw is not None:
                self._drop_chunks(partition, next_offset, raw, unless=None)

    def _drop_chunks(
        self, partition: int, next_offset: int, raw: bytes, *, unless: str | None
    ) -> None:
        manifest = self._parse(raw)
        if manifest is not None and manifest.writer != unless:
            keys = [
                self._chunk(partition, next_offset, manifest.writer, n)
                for n in range(manifest.chunks)
            ]
            self._redis.unlink(*keys)

    def close(self) -> None:
        """See `SnapshotStore.close`."""
        self._redis.close()

    def _index(self, partition: int) -> str:
        return f"{self._prefix}{partition}:index"

    def _manifest(self, partition: int, offset: int) -> str:
        return f"{self._prefix}{partition}:{offset}"

    def _chunk(self, partition: int, offset: int, writer: str, n: int) -> str:
        return f"{self._prefix}{partition}:{offset}:{writer}:{n}"

    @staticmethod
    def _parse(raw: bytes) -> _Manifest | None:
        """A manifest; None if somebody damaged it: then the snapshot is as good as gone."""
        try:
            return _decode(raw)
        except msgspec.DecodeError:
            return None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        raise Misconfigured(f"redis.url: {error}; check the user, its password and ACL") from error
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        raise Retryable(f"Redis is not reachable: {error}") from error
    except redis.RedisError as error:
        # Full, read-only, loading, failing over: all of it may be over at the next try.
        raise Retryable(f"Redis refused: {type(error).__name__}: {error}") from error
