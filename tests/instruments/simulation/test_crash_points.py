"""A fault at every step that a small workload takes, one run for each: none may be missed."""

import pytest

from stream.core.event import Reason
from tests.instruments.simulation.each_step import crash_at_each, fail_at_each, overtaken_at_each
from tests.instruments.simulation.stage import Stage
from tests.instruments.simulation.workload import Fact, event, events
from tests.instruments.simulation.world import Options, Process

STEPS = (
    "poll", "committed", "bounds", "read", "send", "stored", "load",
    *(
        f"{step}:{when}"
        for step in ("begin", "flush", "offsets", "end", "save", "remove")
        for when in ("before", "after")
    ),
)  # fmt: skip

# Short batches, so that there are many commits, and snapshots after some of them.
OPTIONS = Options(commit_interval_s=0.0, fold_s_max=0.003, replay_budget_s=0.006, keep=1)


def _half_done() -> Stage:
    """Somebody processed the first half, with snapshots, markers and poison, and died."""
    stage = Stage(partitions_n=2)
    stage.world.watcher = stage.auditor.check
    stage.send(events(5, seed=1))
    stage.send(events(2, seed=2), partition=1, is_committed=True)
    first = stage.start(OPTIONS)
    stage.finish(first)
    stage.send([event(label=True, x=0.5), event(label=True, x=0.1, bomb="learn")])
    stage.turns(first, until=lambda: stage.committed[0].offset == 7)
    stage.kill(first)
    stage.send([Fact(b"oops", Reason.NOT_JSON), *events(2, seed=3)])
    stage.send(events(1, seed=4), is_committed=False)
    stage.send(events(2, seed=5), partition=1, is_committed=True)
    return stage


def _end_well(stage: Stage) -> None:
    """Nothing is left over, and a last successor finds nothing to do."""
    successor = stage.start(OPTIONS)
    stage.finish(successor)
    stage.world.stop(successor)
    assert stage.is_done()
    assert not stage.world.broker.open_transactions()


@pytest.mark.parametrize("instance", [None, "w-0"])
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_changes_nothing(step: str, instance: str | None) -> None:
    """Whoever takes over, at once or after the session: each outcome once, and the right one."""
    crash_at_each(
        step,
        OPTIONS,
        half_done=_half_done,
        finish=Stage.finish,
        end_well=_end_well,
        instance=instance,
    )


@pytest.mark.parametrize("step", STEPS)
def test_a_failure_at_any_step_changes_nothing(step: str) -> None:
    """The same process goes on: whatever took effect is found out, and never done twice."""
    fail_at_each(step, OPTIONS, half_done=_half_done, finish=Stage.finish, end_well=_end_well)


@pytest.mark.parametrize("step", STEPS)
def test_a_zombie_at_any_step_changes_nothing(step: str) -> None:
    """Paused while another took over and finished the work, it goes on and harms nobody."""

    def finish(stage: Stage, successor: Process) -> None:
        stage.finish(successor)
        stage.send(events(3, seed=6))
        stage.turns(successor, until=lambda: stage.committed[0].offset > 8)

    overtaken_at_each(step, OPTIONS, half_done=_half_done, finish=finish, end_well=_end_well)
