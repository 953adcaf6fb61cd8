"""A fault at every step that a worker takes which is given commands: each is done exactly once."""

import pytest

from tests.instruments.simulation.each_step import crash_at_each, fail_at_each, overtaken_at_each
from tests.instruments.simulation.stage import Stage
from tests.instruments.simulation.test_crash_points import STEPS as EACH
from tests.instruments.simulation.workload import event, events
from tests.instruments.simulation.world import Options, Process

STEPS = ("look", *EACH)
OPTIONS = Options(
    commit_interval_s=0.0, fold_s_max=0.003, replay_budget_s=0.006, keep=1, is_commanded=True
)


def _half_done() -> Stage:
    """Somebody did the first commands, and died; more of them wait, with more events."""
    stage = Stage(partitions_n=2)
    stage.world.watcher = stage.auditor.check
    for partition in range(2):
        stage.send(events(4, seed=partition), partition=partition)
    first = stage.start(OPTIONS)
    stage.finish(first)
    commands = stage.world.commands
    commands.send("reset", "freeze")
    commands.send("pause", partition=1)
    stage.answer(first)
    stage.send([event(label=True, x=0.5), event(label=True, x=0.1, bomb="learn")])
    stage.turns(first, until=lambda: stage.committed[0].offset == 6)
    stage.kill(first)
    commands.send("unfreeze", command_id="twice")
    commands.append(b"oops")
    commands.send("promote")
    commands.send("freeze", within_ms=10, age_ms=1_000)
    commands.send("unfreeze", command_id="twice")
    commands.send("reset", "resume", partition=1)
    for partition in range(2):
        stage.send(events(3, seed=5 + partition), partition=partition)
    return stage


def _finish(stage: Stage, process: Process) -> None:
    """Let a process work until all is done, commands too."""
    stage.answer(process)
    stage.finish(process)


def _end_well(stage: Stage) -> None:
    """Nothing is left over: all commands are answered, each once, as the auditor sees."""
    successor = stage.start(OPTIONS)
    _finish(stage, successor)
    stage.world.stop(successor)
    assert stage.is_done()
    assert not stage.world.broker.open_transactions()
    told = [each["what"] for partition in range(2) for each in stage.ledger(partition)]
    assert sorted(told) == sorted(
        ["reset", "freeze", "unfreeze", "refused", "refused", "pause", "reset", "resume"]
    )


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_does_no_command_twice_and_forgets_none(step: str) -> None:
    """Whoever takes over knows by the journal what was done, and by the offset what was not."""
    crash_at_each(step, OPTIONS, half_done=_half_done, finish=_finish, end_well=_end_well)


@pytest.mark.parametrize("step", STEPS)
def test_a_failure_at_any_step_does_no_command_twice_and_forgets_none(step: str) -> None:
    """The same process goes on, in doubt about what it did."""
    fail_at_each(step, OPTIONS, half_done=_half_done, finish=_finish, end_well=_end_well)


@pytest.mark.parametrize("step", STEPS)
def test_a_zombie_at_any_step_does_no_command_twice(step: str) -> None:
    """Paused while another took over and did all of it, it goes on and harms nobody."""
    overtaken_at_each(step, OPTIONS, half_done=_half_done, finish=_finish, end_well=_end_well)
