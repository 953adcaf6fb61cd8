"""A sealed snapshot: header, payload, signature.

Layout, all integers big-endian::

    b"SFS2" | u32 header length | header (JSON) | 32 bytes HMAC-SHA256
            | payload (zstandard) | 32 bytes HMAC-SHA256

Each signature is of all bytes before it, and is checked before any of them is parsed, decompressed
or unpickled: whoever can write to the store must not be able to run code here. The first one is
there to read no more of a payload than the writer has written: `opened` looks at a snapshot's first
bytes alone, and its header tells how long the whole is. The header names what
the state is a fold of, so that a snapshot under another's key, of another topic or of another
recipe is recognised and never loaded. It names the key that signed, too, for people: which keys
fit is found by trying ours, so that no byte is believed that is not signed yet.
"""

import hashlib
import hmac
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
import zstandard
from msgspec import UNSET, UnsetType

from stream.errors import BadInput, Misconfigured

MAGIC = b"SFS2"
START_BYTES_MAX = 1 << 20
"""Of a snapshot's start, up to where its payload begins: all that is read of it unverified."""

GONE = "parts of it are gone, or it is not as long as its header was signed for"
"""Of what a store gave None for."""

_MAC_BYTES = 32
_LENGTH = struct.Struct(">I")
_START = len(MAGIC) + _LENGTH.size
_FORMAT = 2
_CODEC = "zstd"
_LEVEL = 1  # a snapshot is written once a few seconds and read rarely: speed over size

T = TypeVar("T")


# To make one takes 20 times as long as to use it on a small state; no two threads may share one.
_compressors: list[zstandard.ZstdCompressor] = []
_decompressors: list[zstandard.ZstdDecompressor] = []


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is a snapshot of.

    Attributes:
        next_offset: first offset not yet folded in.
        n: records folded, whatever their outcome; learned: events learned from.
        digest: the running digest of outcomes, 16 hex digits.
        genesis: the offset at which the fold began.
        genesis_n: the number of steps before it began; they go on being counted.
        has_base: it began with the state that `PIPELINE.bases` holds of that step; else untrained.
        pinned: steps whose snapshots are not to be removed.
        segments: names of what belongs to the payload and is stored apart; there may be none.
        recipe: the readable parts of the fingerprint, to say *what* changed.
        raw_bytes: length of the payload once decompressed; nothing is inflated beyond it.
        body_bytes: length of the payload as it is stored; nothing is read beyond it.
        taken_at_ms: wall clock, for people.
    """

    format: int = _FORMAT
    pipeline: str
    topic: str
    topic_id: str
    partition: int
    next_offset: int
    n: int
    learned: int
    digest: str
    genesis: int
    genesis_n: int = 0
    has_base: bool = False
    fingerprint: str
    recipe: dict[str, str]
    pinned: tuple[int, ...] = ()
    segments: tuple[str, ...] | UnsetType = UNSET
    codec: str = _CODEC
    raw_bytes: int
    body_bytes: int = 0
    taken_at_ms: int
    key_id: str = ""


class SnapshotRejected(BadInput):
    """Stored bytes that are no snapshot of ours: damaged, forged, or of something else."""


def key_id(key: bytes) -> str:
    """A name for a signing key that does not betray it."""
    return hashlib.sha256(b"streamfold key id" + key).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a pipeline's snapshots, each of at least 32 bytes.

    Attributes:
        signing: signs, and verifies.
        older: only verify, so that a key can be changed without a replay.
    """

    signing: bytes = field(repr=False)
    older: tuple[bytes, ...] = field(default=(), repr=False)

    def __iter__(self) -> Iterator[bytes]:
        """All keys that verify, the newest first."""
        yield from (self.signing, *self.older)

    def ids(self) -> str:
        """The names of all keys, for people."""
        return ", ".join(map(key_id, self))


def seal(header: Header, payload: bytes, key: bytes) -> bytes:
    """Compress and sign.

    Args:
        header: what the state is a fold of; `raw_bytes`, `body_bytes` and `key_id` are filled in.
        payload: the pickled state.
        key: at least 32 bytes.

    Raises: Misconfigured: the recipe is too long for a header.
    """
    with _taken(_compressors, _compressor) as compressor:
        body = compressor.compress(payload)
    head = msgspec.json.encode(
        msgspec.structs.replace(
            header, key_id=key_id(key), raw_bytes=len(payload), body_bytes=len(body)
        )
    )
    start = b"".join((MAGIC, _LENGTH.pack(len(head)), head))
    if len(start) + _MAC_BYTES > START_BYTES_MAX:
        raise Misconfigured(
            f"model.params: the recipe takes {len(head)} bytes of a snapshot's header, which has "
            f"room for {START_BYTES_MAX}; let the factory read so much from a module of its own"
        )
    sealed = b"".join((start, _start_mac(key, start), body))
    return sealed + hmac.digest(key, sealed, "sha256")


@dataclass(frozen=True, slots=True)
class Opened:
    """What a snapshot's first bytes say, once their signature fits.

    Attributes:
        key: the key that signed.
        body_at: where the payload begins.
    """

    header: Header
    key: bytes
    body_at: int

    @property
    def sealed_bytes(self) -> int:
        """How long the whole snapshot is."""
        return self.body_at + self.header.body_bytes + _MAC_BYTES


def opened(start: bytes, keys: Keys) -> Opened:
    """Verify and read the header, from a snapshot's first `START_BYTES_MAX` bytes or all of it.

    Raises: SnapshotRejected: with what is wrong; try an older snapshot.
    """
    if len(start) < _START + 2 * _MAC_BYTES or not start.startswith(MAGIC):
        raise SnapshotRejected("not a snapshot (too short, or another format)")
    (length,) = _LENGTH.unpack_from(start, len(MAGIC))
    signed, body_at = memoryview(start)[: _START + length], _START + length + _MAC_BYTES
    mac = start[_START + length : body_at]
    fitting = (k for k in keys if hmac.compare_digest(_start_mac(k, signed), mac))
    key = next(fitting, None)
    if key is None:
        raise _unsigned(keys)
    try:
        header = msgspec.json.decode(signed[_START:], type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotRejected(f"signed, yet unreadable: {error}") from error
    if (header.format, header.codec) != (_FORMAT, _CODEC):
        raise SnapshotRejected(
            f"of format {header.format} ({header.codec}), which is not known here"
        )
    if header.key_id != key_id(key):
        raise SnapshotRejected(f"signed with key {key_id(key)}, and says {header.key_id}")
    return Opened(header, key, body_at)


def unseal(sealed: bytes, keys: Keys) -> tuple[Header, bytes]:
    """Verify, then decompress. The payload may be unpickled: it was made by a holder of a key.

    Raises: SnapshotRejected: with what is wrong; try an older snapshot.
    """
    found = opened(sealed, keys)
    header = found.header
    signed, mac = memoryview(sealed)[:-_MAC_BYTES], sealed[-_MAC_BYTES:]
    if len(sealed) != found.sealed_bytes or not hmac.compare_digest(
        hmac.digest(found.key, signed, "sha256"), mac
    ):
        raise _unsigned(keys)
    body = signed[found.body_at :]
    try:
        # zstandard believes a frame's own size before any limit that it is given.
        size = zstandard.frame_content_size(body)
        if size != header.raw_bytes:
            raise SnapshotRejected(
                f"{size} bytes once decompressed, the header says {header.raw_bytes}"
            )
        with _taken(_decompressors, zstandard.ZstdDecompressor) as decompressor:
            payload = decompressor.decompress(body, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise SnapshotRejected(f"signed, yet unreadable: {error}") from error
    return header, payload


def _start_mac(key: bytes, start: bytes | memoryview) -> bytes:
    # Of other words than the signature at the end: neither can stand for the other.
    return hmac.digest(key, b"".join((b"streamfold snapshot start", start)), "sha256")


def _unsigned(keys: Keys) -> SnapshotRejected:
    return SnapshotRejected(
        f"the signature does not fit: damaged, or signed with another key than {keys.ids()}"
    )


def _compressor() -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=_LEVEL)


@contextmanager
def _taken(idle: list[T], make: Callable[[], T]) -> Iterator[T]:
    """Take one that nobody uses, or make one; it is given back unless the block failed."""
    try:
        one = idle.pop()
    except IndexError:
        one = make()
    yield one
    idle.append(one)
