"""The commands `snapshots list` and `inspect`: what is stored, and what its headers say."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import cache, partial

import msgspec

from stream.core.snapshots.seal import GONE, Header, Keys, SnapshotRejected, opened, unseal
from stream.errors import BadInput, Misconfigured
from stream.ports import SnapshotStore
from stream.runtime.commands import screen
from stream.runtime.commands.status import partitions_of, stored_in
from stream.runtime.identity import Identity
from stream.runtime.keys import key_path, snapshot_keys
from stream.runtime.pipeline import Pipeline
from stream.runtime.segments import with_segments

NOTHING = "no snapshots"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One stored snapshot, and what was found out about it.

    Attributes:
        problem: the first thing that is wrong; None: nothing was found.
        header: its header, once the signature was verified.
        skipped: why nothing could be said of it, though nothing is wrong; only after `verify`.
        replayed: how many records were replayed from it; only after `verify`.
        first_difference: the offset of the first event whose replayed outcome is not the published
            one, where the output topics tell.
    """

    partition: int
    n: int
    next_offset: int
    size_bytes: int
    age_s: float
    problem: str | None = None
    header: Header | None = None
    skipped: str | None = None
    replayed: int | None = None
    first_difference: int | None = None


def show_list(
    pipeline: Pipeline, *, partition: int | None, offset: int | None, as_json: bool
) -> None:
    """Say what is stored. Raises: Retryable, Misconfigured; BadInput: nothing at `offset`."""
    partitions = _partitions(pipeline, partition)
    with closing(pipeline.backend.snapshots()) as store:
        found = stored(pipeline, store, partitions, offset=offset)
    if as_json:
        say_json(pipeline, found, ("partition", "n", "next_offset", "size_bytes", "age_s"))
        return
    if not found:
        screen.say(NOTHING)
        return
    screen.table(
        ("partition", "n", "next offset", "age", "size"),
        [
            (
                *map(str, (f.partition, f.n, f.next_offset)),
                screen.age(f.age_s),
                screen.size(f.size_bytes),
            )
            for f in found
        ],
    )


def inspect(
    pipeline: Pipeline, *, partition: int | None, offset: int | None, as_json: bool
) -> None:
    """Say what the headers say, of those whose signature fits. Raises: as `show_list`."""
    partitions = _partitions(pipeline, partition)
    with closing(pipeline.backend.snapshots()) as store:
        every = stored(pipeline, store, partitions, offset=offset)
        # Read at the first call: before the first snapshot there may be no key yet.
        keys = cache(partial(existing_keys, pipeline))
        identity = Identity(
            pipeline.settings.pipeline, pipeline.settings.topics.events, topic_id=None
        )
        found = [unsealed(each, store, keys(), identity)[0] for each in every]
    if as_json:
        names = ("partition", "n", "next_offset", "size_bytes", "age_s", "problem", "header")
        say_json(pipeline, found, names)
        return
    if not found:
        screen.say(NOTHING)
    for each in found:
        screen.say(line(each, "signature ok"))
        if each.header is not None:
            for name, value in msgspec.structs.asdict(each.header).items():
                if name not in ("recipe", "segments"):
                    screen.say(f"  {name}: {value}")
            for name, value in each.header.recipe.items():
                screen.say(f"  recipe, {name}: {value}")


def existing_keys(pipeline: Pipeline) -> Keys:
    """The keys that signed the snapshots; unlike a worker, never makes one.

    Raises: Misconfigured: there is none here. BadInput: it is damaged.
    """
    path = key_path(pipeline.settings, pipeline.environ)
    if pipeline.settings.signing_key_bytes() is None and not path.exists():
        raise Misconfigured(
            f"snapshots.signing_key_file: not set, and this machine has no key of its own "
            f"({path}); run this where the workers run, or set the key that they have"
        )
    return snapshot_keys(pipeline.settings, pipeline.environ, pipeline.telemetry)


def stored(
    pipeline: Pipeline, store: SnapshotStore, partitions: Iterable[int], *, offset: int | None
) -> list[Found]:
    """The stored snapshots by partition, newest first; only those at `offset`, if that is given.

    Raises: BadInput: nothing at `offset`. Retryable, Misconfigured.
    """
    now_ms = pipeline.clock().now_ms()
    found = [
        Found(
            partition=partition,
            n=entry.n,
            next_offset=entry.next_offset,
            size_bytes=entry.size_bytes,
            age_s=max(0.0, (now_ms - entry.saved_at_ms) / 1000),
        )
        for partition in partitions
        for entry in stored_in(pipeline, store, partition)
    ]
    if offset is None:
        return found
    chosen = [each for each in found if each.next_offset == offset]
    if not chosen:
        known = ", ".join(str(each.next_offset) for each in found) or "none"
        raise BadInput(f"no snapshot at offset {offset}; stored are: {known}")
    return chosen


def unsealed(
    found: Found, store: SnapshotStore, keys: Keys, identity: Identity
) -> tuple[Found, bytes]:
    """Load one and add its header, and the problem with it. Raises: Retryable, Misconfigured."""
    try:
        sealed = store.load(
            found.partition, found.n, lambda start: opened(start, keys).sealed_bytes
        )
        if sealed is None:
            raise SnapshotRejected(GONE)
        header, payload = unseal(sealed, keys)
        problem = identity.problem(header, found.partition, found)
        if problem is None:
            payload = with_segments(payload, header, store, keys)
    except BadInput as error:
        return msgspec.structs.replace(found, problem=str(error)), b""
    return msgspec.structs.replace(found, header=header, problem=problem), payload


def line(found: Found, good: str) -> str:
    """One snapshot in one line: `good`, or what is wrong, or why it was skipped."""
    where = f"partition {found.partition} offset {found.next_offset}"
    if found.skipped is not None:
        return f"{where}: {found.skipped}: skipped"
    return f"{where}: {good if found.problem is None else found.problem}"


def say_json(pipeline: Pipeline, found: Iterable[Found], names: Sequence[str]) -> None:
    """Write these attributes of all as one JSON document; `v` is the version of its shape."""
    snapshots = [{name: getattr(each, name) for name in names} for each in found]
    document = {"v": 1, "pipeline": pipeline.settings.pipeline, "snapshots": snapshots}
    screen.say_json(document)


def _partitions(pipeline: Pipeline, partition: int | None) -> range:
    """The partition that is asked for, else all; only for all the log is asked."""
    if partition is not None:
        return range(partition, partition + 1)
    with closing(pipeline.backend.topics()) as topics:
        return partitions_of(topics, pipeline)
