"""What must be so of the snapshots in Redis, at every moment; told from the keys alone."""

import struct
from collections.abc import Callable, Mapping

import msgspec

from tests.instruments.simulation.cache import Cache

Committed = Mapping[int, Mapping[int, tuple[int, int]]]
"""Partition -> every offset that was ever committed -> records folded, events learned by then."""

_HEADER_AT = 8

_read = msgspec.json.Decoder().decode


class CacheAudit:
    """Looks at every snapshot that the index tells of, at its header once."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._newest: dict[str, int] = {}
        self._known: dict[tuple[str, int], tuple[bytes, list[str]]] = {}

    def find_problem(self, committed: Committed) -> str | None:
        """A snapshot that is told of must be whole, and of a state that was committed."""
        for index, offsets in self._cache.indexes.items():
            newest = max(offsets, default=0)
            if newest < self._newest.get(index, 0):
                return f"{index}: the newest snapshot, {self._newest[index]}, was removed"
            self._newest[index] = newest
            for offset in offsets:
                problem = self._look_at(index, offset, committed)
                if problem is not None:
                    return problem
        return None

    def _look_at(self, index: str, offset: int, committed: Committed) -> str | None:
        cache = self._cache
        raw = cache.get(index.removesuffix("index") + str(offset))
        known = self._known.get((index, offset))
        if known is not None and known[0] == raw:
            missing = [chunk for chunk in known[1] if chunk not in cache.values]
            return f"{index} {offset} is told of and lacks {missing}" if missing else None
        partition = int(index.split(":")[-2])
        where = f"partition {partition}: a snapshot at {offset}"
        if offset not in committed[partition]:
            return f"{where}, a state that is not committed"
        if raw is None:
            return None  # its removal began
        manifest = _read(raw)
        sealed = _whole(cache, index, offset, manifest)
        if sealed is None:
            return f"{where} is told of and not whole"
        (length,) = struct.unpack_from(">I", sealed, 4)
        header = _read(sealed[_HEADER_AT : _HEADER_AT + length])
        said = header["next_offset"], header["n"], header["learned"]
        if said != (offset, *committed[partition][offset]):
            return f"{where} says of itself {said}, not {committed[partition][offset]}"
        chunks = _chunks(index.removesuffix("index") + str(offset), manifest)
        self._known[index, offset] = raw, chunks
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
                manifest = _read(raw)
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
            keys = [] if raw is None else [base, *_chunks(base, _read(raw))]
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
