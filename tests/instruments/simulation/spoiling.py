"""What may become of the snapshots in a Redis: keys get lost, damaged, mixed up, forged."""

import hmac
import json
import re
import struct
from collections.abc import Callable, Mapping
from random import Random
from typing import NoReturn

import msgspec
import zstandard

from stream.core.fold.state import revived
from stream.core.snapshots import pickling
from stream.core.snapshots.seal import MAGIC, Header, Keys, SnapshotRejected, opened, seal, unseal
from tests.instruments.simulation.cache import Cache
from tests.instruments.simulation.cache_audit import base_of
from tests.instruments.simulation.model import Brittle
from tests.instruments.simulation.violation import Violation

FORGERS_KEY = b"x" * 32

_WRITE = re.compile(r":[0-9a-f]{12}:")
"""The name of a write in a key, which tells nobody anything."""

_MANIFEST_PARTS = 4
"""Of a manifest's key, between its colons."""


def explode() -> NoReturn:
    """What a forged snapshot runs when it is unpickled."""
    raise Violation("a snapshot was unpickled whose signature does not fit")


BOMB_PICKLE = b"\x80\x05ctests.simulation.spoiling\nexplode\n)R."


def load(cache: Cache, index: str, n: int) -> bytes | None:
    """A whole snapshot, as an outsider reads it; None if anything of it is gone."""
    base = base_of(index, n)
    raw = cache.get(base)
    if raw is None:
        return None
    try:
        manifest = json.loads(raw)
        names = [f"{base}:{manifest['write']}:{n}" for n in range(int(manifest["chunks"]))]
        size = int(manifest["size_bytes"])
    except (ValueError, KeyError, TypeError):
        return None
    chunks = [cache.get(name) for name in names]
    if None in chunks:
        return None
    sealed = b"".join(chunk for chunk in chunks if chunk is not None)
    return sealed if len(sealed) == size else None


def put(cache: Cache, index: str, n: int, sealed: bytes, *, next_offset: int) -> None:
    """Store bytes as the snapshot of a step, whatever was there."""
    base = base_of(index, n)
    manifest = {
        "write": "spoilt", "chunks": 1, "next_offset": next_offset,
        "size_bytes": len(sealed), "saved_at_ms": 0,
    }  # fmt: skip
    cache.values[base] = json.dumps(manifest).encode(), None
    cache.values[f"{base}:spoilt:0"] = sealed, None
    cache.indexes.setdefault(index, set()).add(n)


def spoil(cache: Cache, rng: Random, *, key: bytes) -> str:
    """Something happens to what is stored. Returns: what."""
    (how,) = rng.choices(tuple(_WAYS), _WEIGHTS)
    cache.changes_n += 1
    what = _WAYS[how](cache, rng, key)
    return f"{how}: {_WRITE.sub(':', what)}"


def _forget_key(cache: Cache, rng: Random, _key: bytes) -> str:
    """A chunk, a manifest: eviction."""
    name = _any_value(cache, rng)
    if name:
        del cache.values[name]
    return name


def _forget_index(cache: Cache, rng: Random, _key: bytes) -> str:
    names = list(cache.indexes)
    if not names:
        return ""
    name = rng.choice(names)
    del cache.indexes[name]
    return name


def _forget_all(cache: Cache, _rng: Random, _key: bytes) -> str:
    cache.clear()
    return "everything"


def _flip(cache: Cache, rng: Random, _key: bytes) -> str:
    name = _any_value(cache, rng)
    if name:
        value, end_s = cache.values[name]
        # The length hangs on pickled sets' order, and so must nothing else: `randrange` would draw
        # more or less often, and only the highest bit spoils whatever byte of a manifest it is in.
        where = int(rng.random() * len(value))
        flipped = bytes((value[where] ^ 0x80,))
        cache.values[name] = value[:where] + flipped + value[where + 1 :], end_s
    return name


def _garble(cache: Cache, rng: Random, _key: bytes) -> str:
    """A manifest that can be read and is not true."""
    names = [name for name in cache.values if len(name.split(":")) == _MANIFEST_PARTS]
    if not names:
        return ""
    name = rng.choice(names)
    raw, end_s = cache.values[name]
    try:
        said = json.loads(raw)
        wrong = {
            "write": "spoilt", "chunks": said["chunks"] + rng.choice((-1, 1)),
            "size_bytes": said["size_bytes"] + rng.choice((-1, 1)),
            "next_offset": said["next_offset"] + rng.choice((-1, 1)),
        }  # fmt: skip
    except (ValueError, KeyError, TypeError):
        return ""
    what = rng.choice(tuple(wrong))
    cache.values[name] = json.dumps(said | {what: wrong[what]}).encode(), end_s
    return f"{what} of {name}"


def _cut(cache: Cache, rng: Random, _key: bytes) -> str:
    name = _any_value(cache, rng)
    if name:
        value, end_s = cache.values[name]
        cache.values[name] = value[: int(rng.random() * len(value))], end_s
    return name


def _swap(cache: Cache, rng: Random, _key: bytes) -> str:
    """Two values change places, of whatever partitions and steps."""
    one, other = _any_value(cache, rng), _any_value(cache, rng)
    if one and other:
        values = cache.values
        values[one], values[other] = values[other], values[one]
    return f"{one} and {other}"


def _misplace(cache: Cache, rng: Random, key: bytes) -> str:
    """A whole snapshot lies under another's step or partition, signature and all."""
    found = _any_snapshot(cache, rng)
    if found is None:
        return ""
    index, n, sealed = found
    target, at = rng.choice([(i, m) for i, steps in cache.indexes.items() for m in steps])
    try:
        header = opened(sealed, Keys(key)).header
    except SnapshotRejected:
        return ""
    put(cache, target, at, sealed, next_offset=header.next_offset)
    return f"{index} {n} under {target} {at}"


def _forge(cache: Cache, rng: Random, key: bytes) -> str:
    """Signed by somebody else: code of theirs, or a state that would do and is not true."""
    found = _any_snapshot(cache, rng)
    if found is None:
        return ""
    index, n, sealed = found
    try:
        header, payload = unseal(sealed, Keys(key))
    except SnapshotRejected:
        return ""
    if rng.random() < 0.3:
        put(cache, index, n, seal(header, BOMB_PICKLE, FORGERS_KEY), next_offset=header.next_offset)
    else:
        try:
            state = revived(payload)
        except Exception:  # noqa: BLE001  # a planted bug lets through what was flipped before
            return ""
        model = state.line_up.serving.model
        if isinstance(model, Brittle):
            model.bias += 1.0
        else:
            model.intercept += 1.0
        forged = _sealed_as_ours(header, pickling.dumps(state))
        put(cache, index, n, forged, next_offset=header.next_offset)
    return f"{index} {n}"


def _sealed_as_ours(header: Header, payload: bytes) -> bytes:
    """As `seal` does it, with the name of our key and without the key."""
    body = zstandard.ZstdCompressor().compress(payload)
    told = msgspec.structs.replace(header, raw_bytes=len(payload), body_bytes=len(body))
    head = msgspec.json.encode(told)
    start = b"".join((MAGIC, struct.pack(">I", len(head)), head))
    words = b"streamfold snapshot start"
    sealed = start + hmac.digest(FORGERS_KEY, words + start, "sha256") + body
    return sealed + hmac.digest(FORGERS_KEY, sealed, "sha256")


_WAYS: Mapping[str, Callable[[Cache, Random, bytes], str]] = {
    "forget": _forget_key,
    "forget index": _forget_index,
    "forget all": _forget_all,
    "flip": _flip,
    "garble": _garble,
    "cut": _cut,
    "swap": _swap,
    "misplace": _misplace,
    "forge": _forge,
}
_WEIGHTS = (2, 1, 1, 2, 2, 2, 2, 6, 8)
"""What is gone shows little, and hides what else could be wrong with it."""


def _any_value(cache: Cache, rng: Random) -> str:
    names = [name for name, (value, _) in cache.values.items() if value]
    return rng.choice(names) if names else ""


def _any_snapshot(cache: Cache, rng: Random) -> tuple[str, int, bytes] | None:
    """Mostly a newest one: the others are rarely looked at."""
    names = [index for index, steps in cache.indexes.items() if steps]
    if not names:
        return None
    index = rng.choice(names)
    steps = sorted(cache.indexes[index])
    n = steps[-1] if rng.random() < 0.7 else rng.choice(steps)
    sealed = load(cache, index, n)
    return None if sealed is None else (index, n, sealed)
