"""Segments in the store: written once, verified, and removed when nobody refers to them."""

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

import msgspec
import pytest

from stream.core.event import Channel, Record
from stream.core.fold.task import Task
from stream.core.fold.tasks import task_of
from stream.core.labels import segments as module
from stream.core.labels.labels_spec import LabelsSpec
from stream.core.recipe import Recipe
from stream.core.snapshots.payload import segments_of
from stream.core.snapshots.seal import Header, Keys, seal
from stream.errors import BadInput
from stream.runtime import bases
from stream.runtime.candidates import Candidates
from stream.runtime.commands.snapshots import Found, unsealed
from stream.runtime.identity import Identity
from stream.runtime.retention import Policy
from stream.runtime.segments import ORPHAN_S, Segments
from stream.runtime.storing import How, Storing
from stream.telemetry import LogEvent
from tests.runtime.snapshotting import Snapshots
from tests.runtime.surroundings import KEYS, NAMES, RECIPE, Surroundings, events, step

HOW = How("in line", took_s=0.002, stalled_s=0.001)
LABELLED: Recipe = replace(RECIPE, extras=(LabelsSpec(wait_ms=1_000),))
NEW_KEY = b"n" * 32


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of some twenty events."""
    monkeypatch.setattr(module, "SEGMENT_BYTES", 2_000)


def unlabelled(n: int, *, since: int = 0) -> Iterable[bytes]:
    """Events that wait for a label."""
    return (json.dumps({"features": {"x": float(i)}}).encode() for i in range(since, since + n))


class Room(Surroundings):
    """What stores, and what looks for it again."""

    def __init__(self, *, keep: int = 2) -> None:
        super().__init__()
        self.keep = keep
        self.task = task_of(LABELLED, partition=0)
        self.storing = self.worker()

    def worker(self, key: bytes = KEYS.signing) -> Storing:
        """Another worker's."""
        policy = Policy(replay_budget_s=1.0, keep=self.keep)
        return Storing(self.store, policy=policy, key=key, clock=self.clock, telemetry=self.diary)

    def header(self, task: Task | None = None) -> Header:
        """Of a snapshot of the task as it is."""
        return (task or self.task).header(topic_id=self.topic_id, taken_at_ms=0)

    def save(self, n: int, storing: Storing | None = None) -> None:
        """Store the state after so many more events."""
        step(self.task, unlabelled(n))
        (storing or self.storing).check_and_save(
            self.task, self.header(), self.task.keep_copy(), HOW
        )

    def found(self, keys: Keys = KEYS) -> list[tuple[int, int]]:
        """Step, and the number of segments, of each snapshot that a restore could take."""
        sources = self.sources(recipe=LABELLED, keys=keys)
        candidates = Candidates(sources, 0, self.deadlined)
        every = candidates.up_to(1 << 40, None)
        return [(header.n, len(segments_of(payload))) for header, payload in every]

    @property
    def segments(self) -> set[int]:
        """Where segments are in the store."""
        return {each.n for each in self.store.stored(~0)}


def step_at(task: Task, n: int, *, time_ms: int) -> None:
    """Fold so many events of a time."""
    for value in unlabelled(n):
        task.step(Record(task.partition, task.next_offset, time_ms, None, value))


def test_a_snapshot_writes_the_segments_that_are_new_and_comes_back_with_all() -> None:
    """The first one all, the next ones what came since; the restored fold is the same."""
    at = Room()
    at.save(300)
    first, saves = at.segments, at.calls["save:after"]
    assert len(first) > 5
    at.save(0)
    assert at.calls["save:after"] == saves + 1
    at.save(30)
    assert at.segments > first
    assert at.calls["save:after"] == saves + 2 + len(at.segments - first)

    sources = at.sources(recipe=LABELLED)
    _, payload = next(Candidates(sources, 0, at.deadlined).up_to(1 << 40, None))
    restored = task_of(LABELLED, partition=0, payload=payload)
    assert restored.metadata() == at.task.metadata()
    assert restored.segments() == at.task.segments()
    assert [what for what, _ in at.deadlines].count("loading segments") == 1
    first_bytes, again_bytes, last_bytes = (
        int(str(fields["size_bytes"])) for fields in at.said(LogEvent.SNAPSHOT_SAVED)
    )
    assert first_bytes > again_bytes < last_bytes, "it is said what was written"


@pytest.mark.parametrize("is_damaged", [False, True])
def test_without_one_of_its_segments_a_snapshot_is_damaged_and_an_older_one_is_taken(
    is_damaged: bool,
) -> None:
    """It is said, and counted; the next snapshot writes that segment anew."""
    at = Room(keep=3)
    at.save(100)
    before = at.segments
    at.save(100)
    at.save(1)
    lost = min(at.segments - before)
    if is_damaged:
        held = at.broker.snapshots["rooms", ~0]
        entry, sealed = held[lost]
        held[lost] = entry, sealed[:-1] + bytes((sealed[-1] ^ 1,))
    else:
        at.store.remove(~0, lost)

    assert [n for n, _ in at.found()] == [100]
    rejected = at.said(LogEvent.SNAPSHOT_REJECTED)
    assert len(rejected) == 2
    assert all("its segment" in str(fields["why"]) for fields in rejected)
    at.save(1)
    assert [n for n, _ in at.found()] == [202, 201, 200]


def test_a_segment_of_something_else_is_none_of_ours() -> None:
    """Whoever has the store can move bytes about; each has to be what its name says."""
    at = Room()
    at.save(200)
    held = at.broker.snapshots["rooms", ~0]
    one, other, *_ = held
    held[one] = held[one][0], held[other][1]
    assert at.found() == []
    held.clear()
    at.save(0)
    snapshot = at.broker.snapshots["rooms", 0][200]
    for n in held:
        held[n] = snapshot
    assert at.found() == []


def test_what_nobody_refers_to_any_more_is_removed_and_nothing_else() -> None:
    """After the last of its snapshots; first a while goes by, for another one may be writing."""
    at = Room(keep=2)
    at.save(200)
    first = at.segments
    for n in range(6):
        step_at(at.task, 60, time_ms=10_000 * (n + 1))
        at.save(0)
        at.clock.sleep(ORPHAN_S / 2)
        assert [n for n, _ in at.found()] == [each.n for each in at.store.stored(0)]
    assert not first & at.segments
    assert at.said(LogEvent.SNAPSHOT_REJECTED) == []


def test_what_a_worker_left_that_died_in_between_is_taken_by_the_next() -> None:
    """It wrote segments, and no snapshot."""
    at = Room()
    at.save(40)
    dead = task_of(LABELLED, partition=0)
    step(dead, unlabelled(400, since=7))
    Segments(at.store, key=KEYS.signing, clock=at.clock).save(at.header(dead), dead.pickled())
    orphans = at.segments
    at.save(40)
    assert orphans <= at.segments
    at.clock.sleep(ORPHAN_S)
    at.save(0)
    assert len(at.segments) < len(orphans)
    assert at.found()[0][1] == len(at.segments)


def test_another_key_writes_its_own_and_leaves_those_of_the_others_alone() -> None:
    """After a rotation all are written once more; those of the older key go with its snapshots."""
    at, keys = Room(keep=2), Keys(NEW_KEY, (KEYS.signing,))
    at.save(200)
    old = at.segments
    worker = at.worker(NEW_KEY)
    at.save(1, worker)
    assert len(at.segments - old) == len(old)
    at.clock.sleep(ORPHAN_S)
    at.save(1, worker)
    assert len(at.found(keys)) == 2
    for _ in range(3):
        at.clock.sleep(ORPHAN_S)
        at.save(1, worker)
    assert not old & at.segments
    assert len(at.found(Keys(NEW_KEY))) == 2


def test_a_list_that_is_none_costs_no_snapshot() -> None:
    """What somebody made of the list of segments: all are written again."""
    at = Room()
    at.save(200)
    before = at.segments
    at.broker.snapshots["rooms", ~0].clear()
    at.fail["stored"] = [BadInput("no list")]
    at.save(0)
    assert at.segments == before
    assert at.found()[0] == (200, len(before))


def test_the_command_line_sees_that_a_segment_is_gone() -> None:
    """`snapshots inspect` and `verify` say it as of any other damage."""
    at = Room()
    at.save(200)
    (stored,) = at.store.stored(0)
    found = Found(partition=0, n=200, next_offset=200, size_bytes=stored.size_bytes, age_s=0.0)
    identity = Identity.of(LABELLED, at.topic_id)
    opened, payload = unsealed(found, at.store, KEYS, identity)
    assert (opened.problem, len(segments_of(payload))) == (None, len(at.segments))
    at.store.remove(~0, min(at.segments))
    opened, _ = unsealed(found, at.store, KEYS, identity)
    assert "is gone" in str(opened.problem)


def test_a_child_pickles_and_its_parent_stores_the_segments_of_that_moment() -> None:
    """What the fold has made of them meanwhile is not theirs."""
    at = Snapshots(can_fork=True, are_jobs_late=True)
    at.snapshotter.adopt(0, stored_n=0)
    task = task_of(LABELLED, partition=0)
    step(task, unlabelled(200))
    then = task.segments()
    at.due(task)
    step_at(task, 60, time_ms=10_000)
    step_at(task, 60, time_ms=20_000)
    assert not then.keys() <= task.segments().keys()
    at.jobs.run_one()
    at.snapshotter.consider([task])
    sources = at.sources(recipe=LABELLED)
    ((header, payload),) = Candidates(sources, 0, at.deadlined).up_to(1 << 40, None)
    assert (header.n, header.segments) == (200, tuple(then))
    assert segments_of(payload) == then


def test_a_pipeline_without_labels_asks_for_no_segments_and_writes_none() -> None:
    """Its snapshots are what they were: header, payload and places."""
    at = Room()
    task = Task(RECIPE, partition=0)
    step(task, events(5))
    header = at.header(task)
    at.storing.check_and_save(task, header, task.pickled(), HOW)
    assert at.calls == {"save:before": 1, "save:after": 1, "stored": 1}
    assert at.broker.snapshots.keys() == {("rooms", 0)}
    assert b"segments" not in seal(header, b"", KEYS.signing)


def test_a_base_holds_its_segments_itself() -> None:
    """It is kept for ever, in a topic; the store keeps nothing so long."""
    at, task = Room(), task_of(LABELLED, partition=0)
    step(task, unlabelled(200))
    base = bases.Base(at.header(task), task.pickled())
    for output in chain.from_iterable(bases.batches(base, KEYS)):
        at.broker.append(
            NAMES[Channel.BASES], 0, value=output.value, key=output.key, headers=output.headers
        )
    known = msgspec.structs.replace(task.metadata(), genesis=200, genesis_n=200, has_base=True)
    identity = Identity.of(LABELLED, at.topic_id)
    found = bases.load(at.reader, 0, known, keys=KEYS, identity=identity)
    assert found is not None
    restored = task_of(LABELLED, partition=0, payload=found.payload)
    assert restored.segments() == task.segments() != {}
    assert at.segments == set()
