"""What must be so of the snapshots in Redis, at every moment; told from the keys alone."""

import struct
from collections.abc import Callable, Mapping

import msgspec

from tests.instruments.simulation.cache import Cache

Committed = Mapping[int, Mapping[int, set[tuple[int, int]]]]
"""Partition -> every offset that was ever committed -> steps, events learned by then."""

_HEADER_AT = 8

_read = msgspec.json.Decoder().decode


class CacheAudit:
    """Looks at every snapshot that the index tells of, at its header once."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._newest: dict[str, int] = {}
        self._known: dict[tuple[str, int], tuple[bytes, list[str]]] = {}
        self.began: dict[tuple[int, int], int] = {}
        """Partition and step of a base -> records folded by then."""

    def find_problem(self, committed: Committed) -> str | None:
        """A snapshot that is told of must be whole, and of a state that was committed."""
        for index, steps in self._cache.indexes.items():
            newest = max(steps, default=0)
            if newest < self._newest.get(index, 0):
                return f"{index}: the newest snapshot, {self._newest[index]}, was removed"
            self._newest[index] = newest
            for n in steps:
                problem = self._look_at(index, n, committed)
                if problem is not None:
                    return problem
        return None

    def _look_at(self, index: str, n: int, committed: Committed) -> str | None:
        cache = self._cache
        raw = cache.get(base_of(index, n))
        known = self._known.get((index, n))
        if known is not None and known[0] == raw:
            missing = [chunk for chunk in known[1] if chunk not in cache.values]
            return f"{index} {n} is told of and lacks {missing}" if missing else None
        partition = int(index.split(":")[-2])
        where = f"partition {partition}: a snapshot of step {n}"
        if raw is None:
            return None  # its removal began
        manifest = _read(raw)
        offset = manifest["next_offset"]
        if offset not in committed[partition]:
            return f"{where} at {offset}, a state that is not committed"
        sealed = _whole(cache, index, n, manifest)
        if sealed is None:
            return f"{where} is told of and not whole"
        (length,) = struct.unpack_from(">I", sealed, 4)
        header = _read(sealed[_HEADER_AT : _HEADER_AT + length])
        began = self.began.get((partition, header["genesis_n"]), 0)
        said = header["n"] - header["genesis_n"] + began, header["learned"]
        right = committed[partition][offset]
        if header["next_offset"] != offset or said not in right or header["n"] != n:
            return f"{where} at {offset} says of itself {said}, not {right}"
        self._known[index, n] = raw, _chunks(base_of(index, n), manifest)
        return None


def litter(cache: Cache) -> list[str]:
    """Keys that no snapshot needs and that would stay for ever.

    Those of a step that two have written are let off: Redis has no command by which the younger
    could take the place of the older, chunks and all, at once.
    """
    needed = set()
    for index, steps in cache.indexes.items():
        for n in steps:
            base = base_of(index, n)
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
    """Next offsets of the snapshots that are there to stay, oldest first."""
    found = []
    for index, steps in cache.indexes.items():
        if int(index.split(":")[-2]) != partition:
            continue
        for n in steps:
            base = base_of(index, n)
            raw = cache.get(base)
            if raw is None:
                continue
            manifest = _read(raw)
            keys = [base, *_chunks(base, manifest)]
            if all(k in cache.values and cache.values[k][1] is None for k in keys):
                found.append(manifest["next_offset"])
    return sorted(found)


def base_of(index: str, n: int) -> str:
    """The key of the manifest of an index's snapshot, with which its chunks' keys begin."""
    return f"{index.removesuffix('index')}n{n}"


def _whole(cache: Cache, index: str, n: int, manifest: dict[str, int]) -> bytes | None:
    base = base_of(index, n)
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
