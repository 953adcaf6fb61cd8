"""States that are pickled elsewhere while the loop goes on, in named situations."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from stream.core.event import Record
from stream.core.fold.task import Task
from stream.core.learning.undo import Undo
from stream.errors import Retryable
from stream.runtime.life import LIVING
from stream.runtime.snapshotter import UNDO_TOO_LONG, Snapshotter
from stream.telemetry import LogEvent, Metric
from tests.instruments.simulation.stage import NO_SNAPSHOTS, SNAPSHOTS, Stage, said
from tests.instruments.simulation.workload import Fact, event, events
from tests.instruments.simulation.world import Parts

BOMB: Fact = event(True, bomb="learn", x=0.5)
LATE = replace(SNAPSHOTS, are_jobs_late=True)


class _Copy:
    """Pickled at the fork, given when it is asked for."""

    def __init__(self, pickled: Callable[[], bytes], problem: Retryable | None) -> None:
        self._payload, self._problem = pickled(), problem

    def payload(self) -> tuple[bytes, float]:
        if self._problem is not None:
            raise self._problem
        return self._payload, 1.0  # never cheap enough to be taken in line

    def cancel(self) -> None:
        self._problem = Retryable("not wanted any more")


class Forking(Snapshotter):
    """All copies are made by children, and none fails."""

    problem: Retryable | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "fork": self._begin})

    def _begin(self, pickled: Callable[[], bytes]) -> _Copy:
        return _Copy(pickled, self.problem)


class Dying(Forking):
    """Each child dies."""

    problem = Retryable("the child died")


class Refusing(Forking):
    """No process can be had."""

    def _begin(self, pickled: Callable[[], bytes]) -> _Copy:
        assert callable(pickled)
        raise Retryable("no process can be had")


def test_there_is_room_for_what_is_folded_while_a_child_makes_a_copy() -> None:
    """Seconds, for a state of 20 MB; without room the fold would stand still."""
    undo = Undo()
    undo.keep(b"")
    event_of_225_bytes = Record(0, 0, 0, b"one", b"." * 225)
    while undo.length < UNDO_TOO_LONG:
        undo.remember(event_of_225_bytes)
    copy_point = undo.copy_point()

    assert not any(undo.remember(event_of_225_bytes) for _ in range(100_000))
    assert undo.rebase(copy_point, b"")


def test_a_child_s_snapshot_is_of_the_moment_it_was_made() -> None:
    """The loop is further on by the time it is stored; what is restored from it is right."""
    stage = Stage(parts=Parts(snapshotter=Forking))
    stage.send(events(40))
    first = stage.start(LATE)
    while len(stage.snapshots) < 2:
        for _ in range(4):  # a store that takes its time
            stage.world.turn(first)
            stage.auditor.check()
        stage.world.run_job(first)

    assert {fields["how"] for fields in said(first, LogEvent.SNAPSHOT_SAVED)} == {"forked"}
    assert stage.snapshots[-1] < stage.committed[0].offset

    stage.kill(first)
    second = stage.start(LATE)
    stage.finish(second)
    (restored,) = said(second, LogEvent.TASK_RESTORED)
    assert str(restored["origin"]).startswith("snapshot at ")


def test_undoing_goes_back_to_the_child_s_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that raises half changed, before, while and after a copy is made."""
    rebased: list[bool] = []
    rebase = Task.rebase

    def counting(*args: Any) -> bool:
        rebased.append(rebase(*args))
        return rebased[-1]

    monkeypatch.setattr(Task, "rebase", counting)
    stage = Stage(parts=Parts(snapshotter=Forking))
    for seed in range(12):
        stage.send([*events(3, seed=seed), BOMB, *events(2, seed=100 + seed), BOMB, BOMB])
    process = stage.start(LATE)

    stage.finish(process)

    assert process.telemetry.counters[Metric.REJECTED] == 36
    assert True in rebased
    assert False in rebased  # an undo takes a copy of its own, and that is later


def test_a_copy_for_undoing_alone_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before a snapshot is due, what came since the last copy is long."""
    monkeypatch.setattr(Undo, "length", property(lambda undo: len(undo.since) / 5))
    longest = 0
    stage = Stage(parts=Parts(snapshotter=Forking))
    stage.send([*events(60), BOMB])
    process = stage.start(replace(SNAPSHOTS, replay_budget_s=1e9))
    while stage.auditor.lag():
        stage.turn(process)
        for task in process.worker._lives.tasks(LIVING).values():
            longest = max(longest, len(task.serving.way_back.since))

    assert stage.snapshots == []
    assert longest < 30


def test_a_replay_too_holds_few_of_its_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were all kept, up to 64 MB: in half an hour of faults a worker grew with its log."""
    monkeypatch.setattr(Undo, "length", property(lambda undo: len(undo.since) / 100))
    stage = Stage()
    stage.send([*events(300), BOMB, *events(20, seed=1)])
    first = stage.start(NO_SNAPSHOTS)
    stage.finish(first)
    stage.kill(first)
    stage.send(events(1, seed=2))
    kept_n: list[int] = []
    remember = Undo.remember

    def watched(undo: Undo, record: Record) -> bool:
        kept_n.append(len(undo.since))
        return remember(undo, record)

    monkeypatch.setattr(Undo, "remember", watched)
    second = stage.start(NO_SNAPSHOTS)
    stage.finish(second)

    (restored,) = said(second, LogEvent.TASK_RESTORED)
    assert restored["origin"] == "untrained model at 0"
    assert len(kept_n) >= 320
    assert max(kept_n) < 60, max(kept_n)


@pytest.mark.parametrize(
    ("kind", "why"), [(Dying, "the child died"), (Refusing, "no process can be had")]
)
def test_after_a_failed_copy_the_next_is_taken_in_line(kind: type[Forking], why: str) -> None:
    """So a machine where no child can live has its snapshots too, and somebody is told."""
    stage = Stage(parts=Parts(snapshotter=kind))
    stage.send(events(40))
    process = stage.start(LATE)

    stage.finish(process)

    assert stage.snapshots
    assert {fields["how"] for fields in said(process, LogEvent.SNAPSHOT_SAVED)} == {"in line"}
    failed = said(process, LogEvent.COPY_FAILED)
    assert {str(fields["error"]) for fields in failed} == {why}
    assert process.telemetry.counters[Metric.COPIES_FAILED] == len(failed)


def test_a_drain_waits_for_no_child() -> None:
    """The last snapshot is taken in line, whatever is in the making."""
    stage = Stage(parts=Parts(snapshotter=Forking))
    stage.send(events(30))
    process = stage.start(LATE)
    stage.turns(process, until=lambda: process.worker._snapshotter._copying is not None)
    stopped_at = stage.committed[0].offset

    process.stopping.set()
    stage.world.run(process)

    assert stage.snapshots[-1] == stage.committed[0].offset >= stopped_at
