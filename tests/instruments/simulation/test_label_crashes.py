"""A fault at every step that a worker takes which folds labels: each is learned exactly once."""

import pytest

from stream.core.event import Channel, Reason
from tests.instruments.simulation.each_step import crash_at_each, fail_at_each, overtaken_at_each
from tests.instruments.simulation.label_stage import kinds, options, seen, spec, stage, tell
from tests.instruments.simulation.stage import Stage
from tests.instruments.simulation.test_crash_points import STEPS as EACH
from tests.instruments.simulation.workload import FIRST_MS

STEPS = ("look", *EACH)
OF = spec(wait_ms=20_000, on_expiry="negative")
OPTIONS = options(OF, fold_s_max=0.003, replay_budget_s=0.006, keep=1)


def _half_done() -> Stage:
    """Somebody folded the first labels, and died; more of them wait, with more events."""
    world = stage(OF)
    world.auditor.labels.is_quiet = False
    world.world.watcher = world.auditor.check
    world.send([seen(f"e{n}", n) for n in range(4)])
    tell(world, "e0", True, 1)
    first = world.start(OPTIONS)
    world.finish(first)
    world.kill(first)
    world.world.labels.send(None, b"oops", timestamp_ms=FIRST_MS, reason=Reason.NOT_JSON)
    tell(world, "e1", False, 6)
    tell(world, "e0", False, 7)
    world.send([seen("e4", 5), *(seen(None, 30 + n, label=True) for n in range(3))])
    tell(world, "e9", True, 31)
    return world


def _end_well(world: Stage) -> None:
    """Nothing is left over: each event has its label, or is over without one, once."""
    successor = world.start(OPTIONS)
    world.finish(successor)
    world.world.stop(successor)
    assert world.is_done()
    assert not world.world.broker.open_transactions()
    ended = [name for name, kind in kinds(world) if kind in ("labeled", "expired")]
    assert sorted(ended) == ["e0", "e1", "e2", "e3", "e4"]
    assert len(world.published(Channel.QUARANTINE)) == 1


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_learns_no_label_twice_and_forgets_none(step: str) -> None:
    """Whoever takes over knows by the journal what was folded, and by the metadata what was not."""
    crash_at_each(step, OPTIONS, half_done=_half_done, finish=Stage.finish, end_well=_end_well)


@pytest.mark.parametrize("step", EACH)
def test_a_failure_at_any_step_learns_no_label_twice_and_forgets_none(step: str) -> None:
    """The same process goes on."""
    fail_at_each(step, OPTIONS, half_done=_half_done, finish=Stage.finish, end_well=_end_well)


@pytest.mark.parametrize("step", STEPS)
def test_whoever_is_overtaken_at_any_step_changes_nothing(step: str) -> None:
    """Another one folds the labels meanwhile, and is the one whose outcomes count."""
    overtaken_at_each(step, OPTIONS, half_done=_half_done, finish=Stage.finish, end_well=_end_well)
