"""Whoever can write to the store can't run code here, nor change a number: on every adapter.

A worker's restore meets each forgery before an honest older snapshot. It must refuse it before
anything is unpickled, say and count that, and go on from the honest one.
"""

import hmac
import os
import pickle
import struct
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, cast

import msgspec
import pytest
import zstandard

from stream.adapters.memory import MemoryBroker, MemoryReader
from stream.core.event import Channel, Record
from stream.core.fold.task import Task
from stream.core.recipe import Recipe
from stream.core.snapshots import pickling
from stream.core.snapshots.seal import MAGIC, Header, Keys, key_id, seal
from stream.core.spec import DetectorSpec, EventShape, Limits, ModelSpec
from stream.errors import BadInput, Retryable
from stream.ports import Committed, Measure, SnapshotStore, StoredSnapshot
from stream.runtime import candidates
from stream.runtime.restore import Restore
from stream.runtime.sources import Sources
from stream.telemetry import LogEvent, Metric
from tests.contract.worlds import StoreWorld, SystemClock
from tests.instruments.simulation.doubles import Diary

KEY, OLDER, FOREIGN = b"key-" * 8, b"older-key-" * 4, b"foreign-" * 4
PIPELINE = "hostile"
NAMES = {channel: f"{PIPELINE}.{channel.value}" for channel in Channel}
RECIPE = Recipe(
    pipeline=PIPELINE,
    events_topic=NAMES[Channel.EVENTS],
    model=ModelSpec(factory="stream.models:logistic_regression"),
    detectors=(DetectorSpec(name="adwin", type="ADWIN"),),
    shape=EventShape(),
    limits=Limits(),
    hash_seed=0,
)
HONEST, NEWEST, COMMITTED = 10, 20, 30


class Bomb:
    """Whoever unpickles it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@dataclass(frozen=True)
class Scene:
    """One partition, folded by a plain task, and what a forger may use.

    Attributes:
        header, payload: of the honest state at `NEWEST`.
        bomb: a payload that runs code.
        older: the honest sealed snapshot at `HONEST`.
        mark: exists once the bomb went off.
    """

    header: Header
    payload: bytes
    bomb: bytes
    older: bytes
    mark: Path
    store: SnapshotStore
    sources: Sources
    telemetry: Diary
    committed: Committed

    def sealed(self, payload: bytes | None = None, key: bytes = KEY, **changes: Any) -> bytes:
        """A snapshot as our own code would seal it."""
        header = msgspec.structs.replace(self.header, **changes)
        return seal(header, self.bomb if payload is None else payload, key)

    def restored(self) -> Task:
        """What a worker restores."""
        restore = Restore(self.sources, 0, self.committed, deadlined=lambda *_: nullcontext())
        task = None
        while task is None:
            task = restore.advance(60.0)
        return task

    def rejections(self) -> list[tuple[object, str]]:
        """Where, and why."""
        return [
            (fields["next_offset"], str(fields["why"]))
            for event, fields in self.telemetry.said
            if event is LogEvent.SNAPSHOT_REJECTED
        ]

    def origin(self) -> object:
        """Where the restored state came from."""
        return next(f["origin"] for e, f in self.telemetry.said if e is LogEvent.TASK_RESTORED)


def signed(header: Header, body: bytes, key: bytes) -> bytes:
    """A snapshot of any body, with an honest signature."""
    told = msgspec.structs.replace(header, key_id=key_id(key), body_bytes=len(body))
    head = msgspec.json.encode(told)
    start = MAGIC + struct.pack(">I", len(head)) + head
    every = start + hmac.digest(key, b"streamfold snapshot start" + start, "sha256") + body
    return every + hmac.digest(key, every, "sha256")


@pytest.fixture
def scene(store_world: StoreWorld, tmp_path: Path) -> Scene:
    """Thirty events are committed; an honest snapshot is at ten."""
    broker = MemoryBroker(clock=SystemClock())
    for channel in Channel:
        broker.create(NAMES[channel], partitions=1)
    random, task = Random(4), Task(RECIPE, partition=0)
    topic_id = broker.topic(NAMES[Channel.EVENTS]).topic_id
    states = {}
    for offset in range(COMMITTED):
        x = random.uniform(-1, 1)
        value = msgspec.json.encode({"features": {"x": x}, "label": x > 0})
        broker.append(NAMES[Channel.EVENTS], 0, value=value, timestamp_ms=offset)
        task.step(Record(0, offset, offset, None, value))
        header = task.header(topic_id=topic_id, taken_at_ms=1)
        states[task.next_offset] = header, task.keep_copy()
    store = store_world.store(PIPELINE)
    older = seal(*states[HONEST], KEY)
    store.save(0, HONEST, older, next_offset=HONEST)
    telemetry = Diary("w", lambda _: None)
    sources = Sources(
        recipe=RECIPE,
        reader=MemoryReader(broker, names=NAMES, group=PIPELINE),
        store=store,
        keys=Keys(KEY, (OLDER,)),
        topic_id=topic_id,
        start="earliest",
        on_change="refuse",
        clock=SystemClock(),
        telemetry=telemetry,
    )
    return Scene(
        header=states[NEWEST][0],
        payload=states[NEWEST][1],
        bomb=pickle.dumps(Bomb(tmp_path / "mark")),
        older=older,
        mark=tmp_path / "mark",
        store=store,
        sources=sources,
        telemetry=telemetry,
        committed=Committed(COMMITTED, task.metadata().encode()),
    )


def _flipped(sealed: bytes, at: int) -> bytes:
    at %= len(sealed)
    return sealed[:at] + bytes((sealed[at] ^ 0x10,)) + sealed[at + 1 :]


def _zip_bomb(scene: Scene, told: int) -> bytes:
    body = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    return signed(msgspec.structs.replace(scene.header, raw_bytes=told), body, KEY)


FORGERIES: dict[str, tuple[Callable[[Scene], bytes], str]] = {
    "wrong key": (lambda s: s.sealed(key=FOREIGN), "signature"),
    "no signature": (lambda s: s.sealed()[:-32] + bytes(32), "signature"),
    "empty": (lambda _: b"", "not a snapshot"),
    "another format": (lambda s: b"SFS9" + s.sealed()[4:], "not a snapshot"),
    "a bare pickle": (lambda s: s.bomb, "not a snapshot"),
    "truncated": (lambda s: s.sealed()[:-100], "not as long as"),
    "lengthened": (lambda s: s.sealed() + b"\0", "not as long as"),
    "a bit of the header": (lambda s: _flipped(s.sealed(), 20), "signature"),
    "a bit of the payload": (lambda s: _flipped(s.sealed(), -60), "signature"),
    "a bit of the signature": (lambda s: _flipped(s.sealed(), -1), "signature"),
    "another partition's": (lambda s: s.sealed(partition=1), "something else"),
    "another pipeline's": (lambda s: s.sealed(pipeline="other"), "something else"),
    "another topic's": (lambda s: s.sealed(topic="other.events"), "something else"),
    "of the topic before it was made again": (lambda s: s.sealed(topic_id="t"), "something else"),
    "an older one of ours": (lambda s: s.older, "something else: n is"),
    "of another step at the same offset": (
        lambda s: s.sealed(n=NEWEST - 1),
        "something else: n is",
    ),
    "of the same step at another offset": (
        lambda s: s.sealed(next_offset=NEWEST - 1),
        "something else: next_offset is",
    ),
    "zip bomb, hidden": (lambda s: _zip_bomb(s, 1_000), "the header says 1000"),
    "zip bomb under a foreign key": (
        lambda s: signed(s.header, zstandard.compress(bytes(1 << 28)), FOREIGN),
        "signature",
    ),
    # From here on the forger has the key: the second line holds.
    "pickle bomb with the key": (lambda s: s.sealed(), "names posix.mkdir"),
    "pickle bomb with an older key": (lambda s: s.sealed(key=OLDER), "names posix.mkdir"),
    "a bomb inside a state": (
        lambda s: s.sealed(pickling.dumps([RECIPE.model.params, Bomb(s.mark)])),
        "names posix.mkdir",
    ),
    "a pickle of something else": (lambda s: s.sealed(pickle.dumps({})), "not a state"),
    "no pickle": (lambda s: s.sealed(b"\x80\x05nonsense"), "does not unpickle"),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=list(FORGERIES))
def test_forgeries_are_refused_counted_and_said(
    scene: Scene, forge: tuple[Callable[[Scene], bytes], str]
) -> None:
    """Nothing of them runs; the restored state is the one that was committed."""
    make, why = forge
    scene.store.save(0, NEWEST, make(scene), next_offset=NEWEST)

    task = scene.restored()

    assert not scene.mark.exists()
    ((offset, said),) = scene.rejections()
    assert offset == NEWEST
    assert why in said
    assert scene.telemetry.counters[Metric.SNAPSHOTS_REJECTED] == 1
    assert scene.origin() == f"snapshot at {HONEST}"
    assert task.metadata().encode() == scene.committed.metadata


@pytest.mark.parametrize("key", [KEY, OLDER])
def test_what_we_signed_is_used(scene: Scene, key: bytes) -> None:
    """Also under a key that only verifies by now: a rotation costs no replay."""
    scene.store.save(0, NEWEST, scene.sealed(scene.payload, key), next_offset=NEWEST)

    task = scene.restored()

    assert scene.rejections() == []
    assert scene.origin() == f"snapshot at {NEWEST}"
    assert task.metadata().encode() == scene.committed.metadata


def test_after_a_rotation_without_the_older_key_the_log_is_replayed(scene: Scene) -> None:
    """Slow, said, and right: each snapshot under the key that is gone is passed over."""
    scene.store.save(0, NEWEST, scene.sealed(scene.payload, OLDER), next_offset=NEWEST)
    changed = replace(scene, sources=replace(scene.sources, keys=Keys(FOREIGN)))

    task = changed.restored()

    assert [offset for offset, _ in scene.rejections()] == [NEWEST, HONEST]
    assert scene.telemetry.counters[Metric.REPLAYED] == COMMITTED
    assert task.metadata().encode() == scene.committed.metadata


def test_the_bomb_is_real(scene: Scene) -> None:
    """Unpickled without any defence it goes off."""
    pickle.loads(scene.bomb)  # noqa: S301  # that is the point

    assert scene.mark.exists()


class Spoilt:
    """A store of which some calls raise.

    Attributes:
        raising: the call's name, or the step that is loaded -> what it raises.
    """

    def __init__(self, inner: SnapshotStore, raising: dict[str | int, Exception]) -> None:
        self._inner = inner
        self.raising = raising
        self.loads_n = 0

    def stored(self, partition: int) -> list[StoredSnapshot]:
        """See `SnapshotStore.stored`."""
        if "stored" in self.raising:
            raise self.raising["stored"]
        every = self._inner.stored(partition)
        rubbish = [StoredSnapshot(n, n, 1, 0) for n in self.raising if isinstance(n, int)]
        return sorted([*every, *rubbish], key=lambda s: -s.n)

    def load(self, partition: int, n: int, measure: Measure) -> bytes | None:
        """See `SnapshotStore.load`."""
        self.loads_n += 1
        if n in self.raising:
            raise self.raising[n]
        return self._inner.load(partition, n, measure)


@pytest.mark.parametrize(
    "error", [BadInput("a file is damaged"), Retryable("it does not answer")], ids=["bad", "away"]
)
def test_a_snapshot_that_does_not_come_costs_itself_alone(scene: Scene, error: Exception) -> None:
    """A worker goes on from an older one."""
    store = Spoilt(scene.store, {NEWEST: error})
    changed = replace(scene, sources=replace(scene.sources, store=cast("SnapshotStore", store)))

    task = changed.restored()

    assert scene.origin() == f"snapshot at {HONEST}"
    assert task.metadata().encode() == scene.committed.metadata


def test_an_index_that_is_rubbish_costs_a_replay(scene: Scene) -> None:
    """Said once, and the log is replayed from its beginning."""
    store = Spoilt(scene.store, {"stored": BadInput("no index")})
    changed = replace(scene, sources=replace(scene.sources, store=cast("SnapshotStore", store)))

    task = changed.restored()

    assert scene.telemetry.counters[Metric.REPLAYED] == COMMITTED
    assert task.metadata().encode() == scene.committed.metadata


def test_a_store_full_of_rubbish_is_looked_through_no_longer_than_so(scene: Scene) -> None:
    """Then the log is replayed: nobody fills a store so that a start takes for ever."""
    rubbish: dict[str | int, Exception] = {n: BadInput("no") for n in range(COMMITTED)}
    task_before = scene.committed.metadata
    for limit, expected in (("IN_VAIN_N_MAX", 7), ("IN_VAIN_S_MAX", 0)):
        store = Spoilt(scene.store, rubbish)
        changed = replace(scene, sources=replace(scene.sources, store=cast("SnapshotStore", store)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(candidates, limit, expected)
            task = changed.restored()

        assert store.loads_n == expected
        assert task.metadata().encode() == task_before
