"""`PIPELINE.bases`: the states that folds began with after a change of settings, kept for ever.

So the genesis of a fold is an offset, with the untrained model, or a base. With it the log need not
reach back to what made the state, nor be folded again under settings that are not there any more.

A base is a sealed snapshot in records of at most `CHUNK_BYTES`. It is written before the offset is
committed whose metadata name its step. One that was never named, or is not whole, is passed over.
"""

from collections.abc import Iterator
from typing import NamedTuple

from stream.core.event import Channel, Output, Record
from stream.core.snapshots.metadata import Metadata
from stream.core.snapshots.payload import parted, whole
from stream.core.snapshots.seal import Header, Keys, SnapshotRejected, opened, seal, unseal
from stream.ports import Reader
from stream.runtime import recent
from stream.runtime.identity import Identity

CHUNK_BYTES = 900_000
"""Kafka's own limit for a batch is 1 MiB."""

BATCH_BYTES = 8 << 20
"""So much is published at a time: a transaction has its time-out."""

HEADER = "stream.base"
"""Of a base's record: the step, the recipe's fingerprint, and which part it is, from 0."""

_DIGITS_MAX = 6


class Base(NamedTuple):
    """A state that a fold begins anew with."""

    header: Header
    payload: bytes


def batches(base: Base, keys: Keys) -> Iterator[list[Output]]:
    """The records of a base, as many at a time as one commit should publish.

    Raises: Misconfigured: the recipe is too long for a header.
    """
    header, sealed = base.header, seal(base.header, whole(base.payload), keys.signing)
    chunks = [sealed[at : at + CHUNK_BYTES] for at in range(0, len(sealed), CHUNK_BYTES)]
    key = f"{header.pipeline}/{header.partition}/{header.n}".encode()
    batch_n = BATCH_BYTES // CHUNK_BYTES
    outputs = [
        Output(
            Channel.BASES, header.partition, header.taken_at_ms, key, chunk,
            ((HEADER, f"{header.n}/{header.fingerprint}/{i}".encode()),),
        )
        for i, chunk in enumerate(chunks)
    ]  # fmt: skip
    for at in range(0, len(outputs), batch_n):
        yield outputs[at : at + batch_n]


def load(
    reader: Reader, partition: int, known: Metadata, *, keys: Keys, identity: Identity
) -> Base | None:
    """The base that a committed fold began with; None: there is none that is whole and ours.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    found: Base | None = None
    bounds = reader.bounds(Channel.BASES, partition)
    sealed, wanted_bytes = bytearray(), 0
    for record in recent.records_in(reader, Channel.BASES, partition, bounds.start, bounds.end):
        part, value = _part_of(record, known), record.value or b""
        if part == 0:
            sealed.clear()
            wanted_bytes = _sealed_bytes(value, keys)
        # Another writer's may begin in between; then neither goes on.
        if part is None or part * CHUNK_BYTES != len(sealed):
            continue
        if len(sealed) + len(value) <= wanted_bytes:
            sealed += value
            if len(sealed) == wanted_bytes:
                found = _unsealed(bytes(sealed), known, partition, keys, identity) or found
    return found


def _part_of(record: Record, known: Metadata) -> int | None:
    """Which part of the wanted base a record is; None: it is none of it."""
    name = dict(record.headers).get(HEADER) or b""
    own, _, part = name.decode(errors="replace").rpartition("/")
    is_wanted = own == f"{known.genesis_n}/{known.fingerprint}" and part.isdecimal()
    return int(part) if is_wanted and len(part) <= _DIGITS_MAX else None


def _sealed_bytes(first: bytes, keys: Keys) -> int:
    """How long a base is, by its first part; 0: nobody who has our keys has written it."""
    try:
        return opened(first, keys).sealed_bytes
    except SnapshotRejected:
        return 0


def _unsealed(
    sealed: bytes, known: Metadata, partition: int, keys: Keys, identity: Identity
) -> Base | None:
    """The wanted base, if that is what these bytes are; None: damaged, or another one."""
    try:
        header, payload = unseal(sealed, keys)
    except SnapshotRejected:
        return None
    own = header.n, header.next_offset, header.fingerprint
    is_wanted = own == (known.genesis_n, known.genesis, known.fingerprint)
    if not is_wanted or identity.problem(header, partition, header) is not None:
        return None
    return Base(header, parted(payload))
