"""Snapshots in Redis: chunks, then a manifest, then the index; whatever is half is never seen.

Keys, all under `streamfold:{PIPELINE}:`; the braces put them into one slot of a cluster::

    P:OFFSET:WRITE:N      chunk N, at most 8 MiB
    P:OFFSET              the manifest: which write's chunks, how many, size, when
    P:index               sorted set of offsets, scored by offset; the last to come and to go

Two writes of one offset do not mix: each has its own chunks, and the manifest names one of them.
Until a snapshot is whole its chunks expire: those of a writer that died must not fill the memory.

Redis 6.2 or newer. All that a user of ours must be permitted, for one pipeline::

    ACL SETUSER streamfold on >PASSWORD resetkeys ~streamfold:{PIPELINE}:* resetchannels
        -@all +get +set +mget +persist +unlink +zadd +zrevrange +zrem +ping +hello
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stream.errors import Misconfigured, Retryable
from stream.ports import Clock, StoredSnapshot

CHUNK_BYTES = 8 << 20
"""One command blocks Redis for all others; 512 MB is its limit for a value."""

CONNECT_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 5.0

UNFINISHED_S = 3_600
"""How long the chunks of an unfinished snapshot are kept; writing one takes seconds."""

_INDEX_MAX = 1_000
_OFFSET_DIGITS_MAX = 19  # of a 64-bit number
_CHUNKS_MAX = 10_000  # 80 GB: a manifest that says more was damaged


class _Manifest(msgspec.Struct, frozen=True):
    write: str
    chunks: int
    size_bytes: int
    saved_at_ms: int


_decode = msgspec.json.Decoder(_Manifest).decode


class RedisSnapshots:
    """See `stream.ports.SnapshotStore`. Connects at the first call.

    Args:
        url: redis://, rediss:// or unix://.
        call_timeout_s: longest wait for one answer; a call of ours has several.
        chunk_bytes: the most that one value holds.
    """

    def __init__(
        self,
        url: str,
        *,
        pipeline: str,
        clock: Clock,
        call_timeout_s: float = CALL_TIMEOUT_S,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self._chunk_bytes = chunk_bytes
        self._prefix = f"streamfold:{{{pipeline}}}:"
        self._clock = clock
        try:
            self._redis = redis.Redis.from_url(
                url,
                socket_connect_timeout=CONNECT_TIMEOUT_S,
                socket_timeout=call_timeout_s,
                # By default a silent server is asked ten times. Once more is for a connection that
                # was idle for so long that the server or something in between dropped it.
                retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            )
        except ValueError:
            # Not its text: that can hold a piece of the password.
            raise Misconfigured(
                "redis.url: write redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix://PATH"
            ) from None

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
            members = cast(
                "list[bytes]", self._redis.zrevrange(self._index(partition), 0, _INDEX_MAX)
            )
            # `int` refuses very long numbers, and anybody may have meddled with the index.
            offsets = [int(m) for m in members if m.isdigit() and len(m) <= _OFFSET_DIGITS_MAX]
            if not offsets:
                return []
            manifests = cast(
                "list[bytes | None]",
                self._redis.mget([self._manifest(partition, o) for o in offsets]),
            )
        found = []
        for offset, raw in zip(offsets, manifests, strict=True):
            manifest = None if raw is None else self._parse(raw)
            if manifest is not None:
                found.append(StoredSnapshot(offset, manifest.size_bytes, manifest.saved_at_ms))
        return found

    def load(self, partition: int, next_offset: int) -> bytes | None:
        """See `SnapshotStore.load`."""
        with _translated():
            raw = self._get(self._manifest(partition, next_offset))
            manifest = None if raw is None else self._parse(raw)
            if manifest is None:
                return None
            chunks = []
            for n in range(manifest.chunks):
                chunk = self._get(self._chunk(partition, next_offset, manifest.write, n))
                if chunk is None:
                    return None
                chunks.append(chunk)
        sealed = b"".join(chunks)
        return sealed if len(sealed) == manifest.size_bytes else None

    def save(self, partition: int, next_offset: int, sealed: bytes) -> None:
        """See `SnapshotStore.save`."""
        size = self._chunk_bytes
        pieces = [sealed[i : i + size] for i in range(0, len(sealed), size)]
        write = self._name_of_write()
        chunks = [self._chunk(partition, next_offset, write, n) for n in range(len(pieces))]
        whole = self._manifest(partition, next_offset)
        manifest = msgspec.json.encode(
            _Manifest(write, len(pieces), len(sealed), self._clock.now_ms())
        )
        is_told = False
        with _translated():
            try:
                for chunk, piece in zip(chunks, pieces, strict=True):
                    self._redis.set(chunk, piece, ex=UNFINISHED_S)
                # What the index does not name must not stay: a writer that dies here leaves nothing
                # behind. What it may name already must stay: of the two always one is whole.
                is_new = self._get(whole) is None
                if not is_new:
                    self._persist(*chunks)
                before = cast(
                    "bytes | None",
                    self._redis.set(whole, manifest, get=True, ex=UNFINISHED_S if is_new else None),
                )
                is_told = True
                self._redis.zadd(self._index(partition), {str(next_offset): next_offset})
                if is_new:
                    self._persist(whole, *chunks)
            except redis.ResponseError:
                # A full Redis must not stay full of halves. (Out of reach, they expire.)
                if chunks and not is_told:
                    with suppress(redis.RedisError):
                        self._redis.unlink(*chunks)
                raise
            if before is not None and (theirs := self._chunks(partition, next_offset, before)):
                self._redis.unlink(*theirs)

    def remove(self, partition: int, next_offset: int) -> None:
        """See `SnapshotStore.remove`: index last, so that what is left of it can be found."""
        whole = self._manifest(partition, next_offset)
        with _translated():
            raw = self._get(whole)
            if raw is not None:
                # One command: nobody sees a half, and no half is left.
                self._redis.unlink(whole, *self._chunks(partition, next_offset, raw))
            self._redis.zrem(self._index(partition), str(next_offset))

    def _name_of_write(self) -> str:
        return uuid.uuid4().hex[:12]

    def _persist(self, *keys: str) -> None:
        for key in keys:
            self._redis.persist(key)

    def _chunks(self, partition: int, next_offset: int, raw: bytes) -> list[str]:
        manifest = self._parse(raw)
        if manifest is None:
            return []
        return [
            self._chunk(partition, next_offset, manifest.write, n)
            for n in range(min(manifest.chunks, _CHUNKS_MAX))
        ]

    def _get(self, key: str) -> bytes | None:
        return cast("bytes | None", self._redis.get(key))

    def close(self) -> None:
        """See `SnapshotStore.close`."""
        self._redis.close()

    def _index(self, partition: int) -> str:
        return f"{self._prefix}{partition}:index"

    def _manifest(self, partition: int, offset: int) -> str:
        return f"{self._prefix}{partition}:{offset}"

    def _chunk(self, partition: int, offset: int, write: str, n: int) -> str:
        return f"{self._prefix}{partition}:{offset}:{write}:{n}"

    @staticmethod
    def _parse(raw: bytes) -> _Manifest | None:
        """A manifest; None if somebody damaged it: then the snapshot is as good as gone."""
        try:
            return _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
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
