"""What must be so of the snapshots in Redis, at every moment; told from the keys alone."""

import json
import struct
from collections.abc import Callable, Mapping

from tests.simulation.cache import Cache

Committed = Mapping[int, Mapping[int, tuple[int, int]]]
"""Partition -> every offset that was ever committed -> records folded, events learned by then."""

_HEADER_AT = 8


def find_problem(cache: Cache, committed: Committed) -> str | None:
    """A snapshot that is told of must be whole, and of a state that was committed."""
    for index, offsets in cache.indexes.items():
        partition = int(index.split(":")[-2])
        for offset in offsets:
            where = f"partition {partition}: a snapshot at {offset}"
            if offset not in committed[partition]:
                return f"{where}, a state that is not committed"
            raw = cache.get(index.removesuffix("index") + str(offset))
            if raw is None:
                continue  # its removal began
            sealed = _whole(cache, index, offset, json.loads(raw))
            if sealed is None:
                return f"{where} is told of and not whole"
            (length,) = struct.unpack_from(">I", sealed, 4)
            header = json.loads(sealed[_HEADER_AT : _HEADER_AT + length])
            said = header["next_offset"], header["n"], header["learned"]
            if said != (offset, *committed[partition][offset]):
                return f"{where} says of itself {said}, not {committed[partition][offset]}"
    return None


def litter(cache: Cache) -> list[str]:
    """Keys that no snapshot needs and that would stay for ever.

    Those of an offset that two have written are let off: Redis has no command by which the younger
    could take the place of the older, chunks and all, at once.
    """
    needed = set()
    for index, offsets in cache.indexes.items():
        for offset in offsets:
            base = index.removesuffix("index") + str(offset)
            raw = cache.get(base)
            if raw is not None:
                manifest = json.loads(raw)
                needed |= {base, *(_chunks(base, manifest))}
    return [
        key
        for key, (_, end_s) in cache.values.items()
        if end_s is None and key not in needed and cache.written_n[_manifest_key(key)] < 2
    ]


def usable(cache: Cache, partition: int) -> list[int]:
    """Offsets of the snapshots that are there to stay, oldest first."""
    found = []
    for index, offsets in cache.indexes.items():
        if int(index.split(":")[-2]) != partition:
            continue
        for offset in sorted(offsets):
            base = index.removesuffix("index") + str(offset)
            raw = cache.get(base)
            keys = [] if raw is None else [base, *_chunks(base, json.loads(raw))]
            if keys and all(k in cache.values and cache.values[k][1] is None for k in keys):
                found.append(offset)
    return found


def _whole(cache: Cache, index: str, offset: int, manifest: dict[str, int]) -> bytes | None:
    base = index.removesuffix("index") + str(offset)
    chunks: list[bytes] = []
    get: Callable[[str], bytes | None] = cache.get
    for name in _chunks(base, manifest):
        chunk = get(name)
        if chunk is None:
            return None
        chunks.append(chunk)
    sealed = b"".join(chunks)
    return sealed if len(sealed) == manifest["size_bytes"] else None


def _manifest_key(key: str) -> str:
    return ":".join(key.split(":")[:4])


def _chunks(base: str, manifest: dict[str, int]) -> list[str]:
    return [f"{base}:{manifest['write']}:{n}" for n in range(manifest["chunks"])]
