"""A sealed snapshot comes back whole, or is rejected before any of it is believed."""

import hmac
import pickle
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.core.snapshots.seal import (
    MAGIC,
    START_BYTES_MAX,
    Header,
    Keys,
    SnapshotRejected,
    key_id,
    opened,
    seal,
    unseal,
)
from stream.errors import Misconfigured

KEY = b"k" * 32
HEADER = Header(
    pipeline="power",
    topic="power.events",
    topic_id="t-1",
    partition=3,
    next_offset=46,
    n=3,
    learned=1,
    digest="00ff" * 4,
    genesis=40,
    fingerprint="deadbeef",
    recipe={"river": "0.26.1"},
    raw_bytes=0,
    taken_at_ms=99,
    key_id=key_id(KEY),
)
PAYLOAD = bytes(range(256)) * 8


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def forged(head: bytes, body: bytes, key: bytes = KEY) -> bytes:
    """A snapshot of any parts, with an honest signature."""
    start = MAGIC + struct.pack(">I", len(head)) + head
    signed = start + hmac.digest(key, b"streamfold snapshot start" + start, "sha256") + body
    return signed + hmac.digest(key, signed, "sha256")


def head_of(**changes: Any) -> bytes:
    """A header's bytes; it may leave the body's length to `forged`."""
    return msgspec.json.encode(msgspec.structs.replace(HEADER, **changes))


def whole(body: bytes, key: bytes = KEY, **changes: Any) -> bytes:
    """A snapshot of any body, whose header tells its length."""
    return forged(head_of(body_bytes=len(body), **changes), body, key)


@settings(max_examples=50, deadline=None)
@given(payload=st.binary(max_size=5000), key=st.binary(min_size=32, max_size=40))
def test_what_was_sealed_comes_back(payload: bytes, key: bytes) -> None:
    """Header and payload, under any key and of any size."""
    header, back = unseal(seal(HEADER, payload, key), Keys(key))

    assert back == payload
    assert header == msgspec.structs.replace(
        HEADER,
        raw_bytes=len(payload),
        key_id=key_id(key),
        format=2,
        codec="zstd",
        body_bytes=header.body_bytes,
    )


def test_any_flipped_bit_is_rejected() -> None:
    """Wherever it is: magic, length, header, payload or signature."""
    sealed = bytearray(seal(HEADER, PAYLOAD, KEY))
    for index in range(len(sealed)):
        for bit in (0, 7):
            sealed[index] ^= 1 << bit
            with pytest.raises(SnapshotRejected):
                unseal(bytes(sealed), Keys(KEY))
            sealed[index] ^= 1 << bit
    assert unseal(bytes(sealed), Keys(KEY))[1] == PAYLOAD


def test_any_truncation_is_rejected() -> None:
    """A chunk that is gone, or bytes too many."""
    sealed = seal(HEADER, PAYLOAD, KEY)
    for end in range(len(sealed)):
        with pytest.raises(SnapshotRejected):
            unseal(sealed[:end], Keys(KEY))
    with pytest.raises(SnapshotRejected):
        unseal(sealed + b"\0", Keys(KEY))


def test_another_key_is_rejected() -> None:
    """Also one that differs in a single bit; the key's name does not betray it."""
    sealed = seal(HEADER, PAYLOAD, KEY)
    with pytest.raises(SnapshotRejected, match="signature"):
        unseal(sealed, Keys(b"k" * 31 + b"j"))
    assert KEY not in sealed
    assert key_id(KEY).encode() in sealed
    assert key_id(KEY) != key_id(b"j" * 32)


def test_an_older_key_verifies_and_the_new_one_signs() -> None:
    """A rotation: both are known for a while, and the header tells which one signed."""
    old, new, third = b"o" * 32, b"n" * 32, b"t" * 32
    before = seal(HEADER, PAYLOAD, Keys(old).signing)
    after = seal(HEADER, PAYLOAD, Keys(new, (old,)).signing)

    assert unseal(before, Keys(new, (third, old)))[0].key_id == key_id(old)
    assert unseal(after, Keys(new, (old,)))[0].key_id == key_id(new)
    for sealed, keys in ((before, Keys(new)), (after, Keys(old)), (after, Keys(old, (third,)))):
        with pytest.raises(SnapshotRejected, match=f"another key than {keys.ids()}"):
            unseal(sealed, keys)


def test_a_header_names_the_key_that_signed() -> None:
    """One that names another was not written by us."""
    body = zstandard.compress(b"four")
    with pytest.raises(SnapshotRejected, match="and says deadbeef"):
        unseal(whole(body, raw_bytes=4, key_id="deadbeef"), Keys(KEY))


def test_keys_are_never_shown() -> None:
    """Their names are."""
    keys = Keys(b"secret" * 6, (b"older-secret" * 3,))

    assert "secret" not in repr(keys) + str(keys) + keys.ids()
    assert keys.ids() == f"{key_id(b'secret' * 6)}, {key_id(b'older-secret' * 3)}"


@given(value=st.binary(max_size=200))
def test_random_bytes_are_rejected(value: bytes) -> None:
    """Whatever is in the store, only a rejection comes out."""
    for stored in (value, MAGIC + value, forged(value, b""), forged(b"", value)):
        with pytest.raises(SnapshotRejected):
            unseal(stored, Keys(KEY))


def test_nothing_is_read_before_the_signature_fits(tmp_path: Path) -> None:
    """A payload that would run code, a bomb and a broken header: all are refused unread."""
    mark = tmp_path / "it ran"
    payload = pickle.dumps(Bomb(mark))
    sealed = seal(HEADER, payload, b"other" * 8)
    with pytest.raises(SnapshotRejected, match="signature"):
        unseal(sealed, Keys(KEY))
    with pytest.raises(SnapshotRejected, match="signature"):
        unseal(forged(b"no header", b"no zstd", b"other" * 8), Keys(KEY))
    assert unseal(sealed, Keys(b"other" * 8))[1] == payload
    assert not mark.exists()
    pickle.loads(payload)  # noqa: S301  # the bomb is real
    assert mark.exists()


@pytest.mark.parametrize("told", [0, 1000, (1 << 28) + 1])
def test_nothing_is_inflated_beyond_what_the_header_says(told: int) -> None:
    """A bomb with an honest signature gets no memory, whatever its own frame claims."""
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    with pytest.raises(SnapshotRejected, match="the header says"):
        unseal(whole(bomb, raw_bytes=told), Keys(KEY))


def test_a_frame_that_hides_its_size_is_rejected() -> None:
    """Ours always tell it."""
    hidden = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 20))
    for told in (0, 1000, 1 << 20):
        with pytest.raises(SnapshotRejected):
            unseal(whole(hidden, raw_bytes=told), Keys(KEY))


@pytest.mark.parametrize(
    "sealed",
    [
        forged(b"", b""),
        forged(b"{}", zstandard.compress(b"")),
        forged(b"\xff\xfe", b""),
        forged(b'{"pipeline": "\xff"}', b""),
        forged(b"[" * 100_000, b""),
        whole(b"", raw_bytes=3),
        whole(b"no frame", raw_bytes=3),
        whole(zstandard.compress(b"four"), raw_bytes=3),
        whole(zstandard.compress(b"four")[:-1], raw_bytes=4),
        whole(zstandard.compress(b"four") + b"more", raw_bytes=4),
        whole(zstandard.compress(b"four") * 2, raw_bytes=4),
        whole(zstandard.compress(b"four"), raw_bytes=4, format=1),
        whole(zstandard.compress(b"four"), raw_bytes=4, codec="lz4"),
        whole(zstandard.compress(b"four"), raw_bytes=-1),
        forged(head_of(raw_bytes=4, body_bytes=7), zstandard.compress(b"four")),
        forged(head_of(raw_bytes=4, body_bytes=-7), zstandard.compress(b"four")),
        forged(head_of(raw_bytes=4, body_bytes=10**300), zstandard.compress(b"four")),
    ],
    ids=range(17),
)
def test_signed_nonsense_is_rejected_too(sealed: bytes) -> None:
    """A later format, a writer's bug: rejected with what is wrong, never another exception."""
    with pytest.raises(SnapshotRejected):
        unseal(sealed, Keys(KEY))


def test_the_start_alone_tells_how_long_a_snapshot_is() -> None:
    """Before more of it is read; nobody can claim another length without the key."""
    sealed = seal(HEADER, PAYLOAD, KEY)
    body_at = opened(sealed, Keys(KEY)).body_at

    found = opened(sealed[:body_at], Keys(KEY))

    assert found.sealed_bytes == len(sealed)
    assert found.header.body_bytes == len(sealed) - body_at - 32
    for index in range(4, body_at):
        flipped = sealed[:index] + bytes((sealed[index] ^ 1,)) + sealed[index + 1 : body_at + 32]
        with pytest.raises(SnapshotRejected):
            opened(flipped, Keys(KEY))


def test_neither_signature_stands_for_the_other() -> None:
    """The one of the start is none of a whole, whatever is put behind it."""
    sealed = seal(HEADER, PAYLOAD, KEY)
    body_at = opened(sealed, Keys(KEY)).body_at
    for spliced in (sealed[:body_at], sealed[: body_at - 32] + sealed[-32:] + sealed[body_at:]):
        with pytest.raises(SnapshotRejected):
            unseal(spliced, Keys(KEY))


def test_a_recipe_that_no_reader_would_read_is_refused_when_it_is_sealed() -> None:
    """So long a header is not looked for."""
    header = msgspec.structs.replace(HEADER, recipe={"model.params": "x" * START_BYTES_MAX})
    with pytest.raises(Misconfigured, match="has room for"):
        seal(header, PAYLOAD, KEY)


def test_an_empty_payload_is_a_payload() -> None:
    """Zero bytes go through, though zstandard has words of its own for them."""
    assert unseal(seal(HEADER, b"", KEY), Keys(KEY))[1] == b""
