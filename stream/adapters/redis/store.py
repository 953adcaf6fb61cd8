"""The snapshots' store in Redis: see the package's docstring for its keys."""

import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress

import msgspec
import redis

from stream.adapters.redis.connection import connected
from stream.adapters.redis.metered import Allowance
from stream.adapters.redis.words import (
    BYTES_S,
    CALL_TIMEOUT_S,
    CHUNK_BYTES,
    INDEX_MAX,
    LOOK_BYTES_MAX,
    MANIFEST_BYTES_MAX,
    UNFINISHED_S,
    WORDS_BYTES,
    Manifest,
    bytes_of,
    is_other_type,
    member,
    parsed,
    steps_of,
    translated,
)
from stream.core.snapshots.seal import START_BYTES_MAX
from stream.errors import BadInput, Misconfigured
from stream.ports import Clock, Measure, StoredSnapshot


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
        self._call_timeout_s = call_timeout_s
        self._allowance = Allowance(clock)
        self._spoilt: set[int] = set()
        self._crowded: set[int] = set()
        self._redis, self._at = connected(
            url, call_timeout_s=call_timeout_s, allowance=self._allowance
        )

    def ping(self) -> str | None:
        """Try a write. Returns: what an operator should know of the store; None: all is well.

        Raises: Retryable, Misconfigured, BadInput.
        """
        tried = f"{self._prefix}check:{self._name_of_write()}"
        with self._asking(LOOK_BYTES_MAX, self._call_timeout_s):
            self._redis.ping()
            self._redis.set(tried, b"1", ex=UNFINISHED_S)
            self._redis.unlink(tried)
        try:
            with self._asking(LOOK_BYTES_MAX, self._call_timeout_s):
                policy = self._redis.config_get("maxmemory-policy").get("maxmemory-policy")
        except Misconfigured:
            return None  # an ACL may forbid CONFIG, and rightly so
        if policy not in (None, "noeviction"):
            return f"maxmemory-policy is {policy}: snapshots may be evicted; use noeviction"
        return None

    def stored(self, partition: int) -> list[StoredSnapshot]:
        """See `SnapshotStore.stored`; entries without a manifest of ours are left out."""
        try:
            with self._asking(LOOK_BYTES_MAX, self._call_timeout_s):
                steps = steps_of(self._members(partition))
                manifests = self._manifests(partition, steps)
        except BadInput as error:
            self._spoilt.add(partition)
            raise BadInput(
                f"{self._index(partition)} in Redis is no index of ours ({error}); the next "
                "snapshot begins a new one"
            ) from error
        return [
            StoredSnapshot(
                n, found.next_offset, found.size_bytes, found.saved_at_ms, found.topic_id
            )
            for n, found in zip(steps, manifests, strict=True)
            if found is not None
        ]

    def load(self, partition: int, n: int, measure: Measure) -> bytes | None:
        """See `SnapshotStore.load`."""
        with self._asking(START_BYTES_MAX + WORDS_BYTES * 16, self._call_timeout_s):
            manifest = parsed(self._start_of(self._manifest(partition, n)))
            if manifest is None:
                return None
            parts = self._read(self._chunks(partition, n, manifest))
            next(parts)
            wanted = min(START_BYTES_MAX, manifest.size_bytes)
            start = parts.send(wanted)
        if len(start) < wanted:
            return None  # a newer one took its place meanwhile, and a writer removed it
        size_bytes = measure(start)
        if size_bytes != manifest.size_bytes:
            return None
        if size_bytes == len(start):
            return start
        # By now a writer of ours has signed how long it is.
        bytes_n = size_bytes + WORDS_BYTES * (1 + manifest.chunks)
        with self._asking(bytes_n, self._call_timeout_s + size_bytes / BYTES_S):
            sealed = parts.send(size_bytes)
        return sealed if len(sealed) == size_bytes else None

    def save(
        self, partition: int, n: int, sealed: bytes, *, next_offset: int, topic_id: str = ""
    ) -> None:
        """See `SnapshotStore.save`."""
        size = self._chunk_bytes
        pieces = [sealed[i : i + size] for i in range(0, len(sealed), size)]
        manifest = Manifest(
            write=self._name_of_write(),
            chunks=len(pieces),
            next_offset=next_offset,
            size_bytes=len(sealed),
            saved_at_ms=self._clock.now_ms(),
            topic_id=topic_id,
        )
        chunks = self._chunks(partition, n, manifest)
        is_told = False
        with self._asking(LOOK_BYTES_MAX, self._call_timeout_s * 4 + len(sealed) / BYTES_S):
            try:
                for chunk, piece in zip(chunks, pieces, strict=True):
                    self._redis.set(chunk, piece, ex=UNFINISHED_S)
                before, is_new = self._tell(partition, n, manifest, chunks)
                is_told = True
                self._enter(partition, n)
                if is_new:
                    self._persist(self._manifest(partition, n), *chunks)
            except redis.ResponseError:
                # A full Redis must not stay full of halves. (Out of reach, they expire.)
                if chunks and not is_told:
                    with suppress(redis.RedisError):
                        self._redis.unlink(*chunks)
                raise
            if before is not None and (theirs := self._chunks(partition, n, before)):
                self._redis.unlink(*theirs)

    def remove(self, partition: int, n: int) -> None:
        """See `SnapshotStore.remove`: index last, so that what is left of it can be found."""
        whole = self._manifest(partition, n)
        with self._asking(LOOK_BYTES_MAX, self._call_timeout_s * 4):
            raw = self._start_of(whole)
            if raw:
                manifest = parsed(raw)
                chunks = [] if manifest is None else self._chunks(partition, n, manifest)
                # One command: nobody sees a half, and no half is left.
                self._redis.unlink(whole, *chunks)
            self._redis.zrem(self._index(partition), member(n))

    def close(self) -> None:
        """See `SnapshotStore.close`."""
        self._redis.close()

    # -- keys --------------------------------------------------------------------------------------

    def _index(self, partition: int) -> str:
        return f"{self._prefix}{partition}:index"

    def _manifest(self, partition: int, n: int) -> str:
        return f"{self._prefix}{partition}:{member(n)}"

    def _chunks(self, partition: int, n: int, manifest: Manifest) -> list[str]:
        whole = self._manifest(partition, n)
        return [f"{whole}:{manifest.write}:{piece}" for piece in range(manifest.chunks)]

    def _name_of_write(self) -> str:
        return uuid.uuid4().hex[:12]

    # -- reading -----------------------------------------------------------------------------------

    def _members(self, partition: int) -> list[bytes]:
        members = self._redis.zrevrange(self._index(partition), 0, INDEX_MAX)
        if len(members) > INDEX_MAX:
            self._crowded.add(partition)
        return [each for each in members if isinstance(each, bytes)]

    def _manifests(self, partition: int, steps: list[int]) -> list[Manifest | None]:
        if not steps:
            return []
        asked = self._redis.pipeline(transaction=False)
        for n in steps:
            asked.getrange(self._manifest(partition, n), 0, MANIFEST_BYTES_MAX - 1)
        return [parsed(bytes_of(told)) for told in asked.execute(raise_on_error=False)]

    def _start_of(self, key: str) -> bytes:
        return self._range(key, 0, MANIFEST_BYTES_MAX)

    def _range(self, key: str, start: int, stop: int) -> bytes:
        """Read a piece of a key's string; b"": there is none, or the key holds no string."""
        try:
            told: object = self._redis.getrange(key, start, stop - 1)
        except redis.ResponseError as error:
            told = error
        return bytes_of(told)

    def _read(self, chunks: list[str]) -> Generator[bytes, int, None]:
        """Is sent how many bytes are wanted, counted from the start; yields so many, or all."""
        data = bytearray()
        at, left = 0, iter(chunks)
        chunk = next(left, None)
        wanted = yield b""
        while True:
            if chunk is None or len(data) >= wanted:
                wanted = yield bytes(data)
                continue
            piece = self._range(chunk, at, at + min(wanted - len(data), CHUNK_BYTES))
            data += piece
            at += len(piece)
            if not piece:
                # Its end, or it is gone, and so is what comes after.
                at, chunk = 0, next(left, None) if at else None

    # -- writing -----------------------------------------------------------------------------------

    def _tell(
        self, partition: int, n: int, manifest: Manifest, chunks: list[str]
    ) -> tuple[Manifest | None, bool]:
        """Write the manifest. Returns: what stood there, and whether it was nothing of ours."""
        whole, value = self._manifest(partition, n), msgspec.json.encode(manifest)
        raw = self._start_of(whole)
        if len(raw) >= MANIFEST_BYTES_MAX:
            self._redis.unlink(whole)  # never written by us, and too long to be read
            raw = b""
        # What the index does not name must not stay: a writer that dies here leaves nothing
        # behind. What it may name already must stay: of the two always one is whole.
        is_new = not raw
        ex = UNFINISHED_S if is_new else None
        if not is_new:
            self._persist(*chunks)
        try:
            before = self._redis.set(whole, value, get=True, ex=ex)
        except redis.ResponseError as error:
            if not is_other_type(error):
                raise
            self._redis.unlink(whole)
            before = self._redis.set(whole, value, get=True, ex=ex)
        return parsed(bytes_of(before)), is_new

    def _enter(self, partition: int, n: int) -> None:
        """Put a snapshot into the index; what is there but no index of ours is replaced."""
        index = self._index(partition)
        if partition in self._spoilt:
            self._redis.unlink(index)
            self._spoilt.discard(partition)
        elif partition in self._crowded:
            self._sweep(partition)
            self._crowded.discard(partition)
        try:
            self._redis.zadd(index, {member(n): n})
        except redis.ResponseError as error:
            if not is_other_type(error):
                raise
            self._redis.unlink(index)
            self._redis.zadd(index, {member(n): n})

    def _sweep(self, partition: int) -> None:
        """Make room in an index that is longer than we look; ours has `snapshots.keep` entries."""
        members = self._members(partition)
        steps = steps_of(members)
        told = zip(steps, self._manifests(partition, steps), strict=True)
        ours = {member(n).encode() for n, manifest in told if manifest is not None}
        foreign = [each for each in members if each not in ours]
        if foreign:
            self._redis.zrem(self._index(partition), *foreign)
        else:
            self._redis.unlink(self._index(partition))

    def _persist(self, *keys: str) -> None:
        for key in keys:
            self._redis.persist(key)

    @contextmanager
    def _asking(self, bytes_n: int, seconds: float) -> Iterator[None]:
        """Bound the block's answers in bytes and time, and turn its errors into ours."""
        with translated(self._at), self._allowance.of(bytes_n, seconds):
            yield
