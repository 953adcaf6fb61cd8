"""Another program, river, Python or machine under a committed state: never in silence."""

from dataclasses import replace

import pytest

from stream.core.event import Channel
from stream.core.recipe import Recipe, versions
from stream.errors import ExitCode, Misconfigured
from stream.telemetry import LogEvent, Metric
from tests.instruments.simulation.stage import SNAPSHOTS, Stage, said
from tests.instruments.simulation.workload import events
from tests.instruments.simulation.world import RECIPE

PARTS = tuple(versions())
BEFORE_N, AFTER_N = 12, 5


def earlier(part: str) -> Recipe:
    """The same recipe, folded by an earlier version of one part."""
    return replace(RECIPE, versions=versions() | {part: "0.0.1"})


def folded_by(recipe: Recipe) -> Stage:
    """A log that a worker of this recipe processed, with snapshots, before it was killed."""
    stage = Stage()
    stage.send(events(BEFORE_N))
    process = stage.start(replace(SNAPSHOTS, recipe=recipe))
    stage.turns(process, until=lambda: 0 in stage.committed and stage.committed[0].offset == 12)
    stage.kill(process)
    assert stage.snapshots
    return stage


def test_the_parts_are_those_that_decide_bits() -> None:
    """A part that is no longer among them would change in silence."""
    assert PARTS == ("fold", "river", "python", "numpy", "machine", "machine's math")


@pytest.mark.parametrize("part", PARTS)
def test_another_version_is_refused_and_named(part: str) -> None:
    """By default the worker ends with 78, says which part changed, and has published nothing."""
    stage = folded_by(earlier(part))
    stage.send(events(AFTER_N, seed=9))
    published = len(stage.published(Channel.PREDICTIONS))
    process = stage.start(SNAPSHOTS)

    with pytest.raises(Misconfigured, match=f"{part}: 0.0.1 -> ") as raised:
        stage.world.run(process)

    assert raised.value.exit_code == ExitCode.CONFIG
    assert stage.committed[0].offset == BEFORE_N
    assert len(stage.published(Channel.PREDICTIONS)) == published


@pytest.mark.parametrize("part", PARTS)
def test_another_version_rebuilds_from_the_log_and_not_from_its_snapshots(part: str) -> None:
    """The replay is under the new version, from where the fold began; that is said, too."""
    stage = folded_by(earlier(part))
    stage.send(events(AFTER_N, seed=9))
    process = stage.start(replace(SNAPSHOTS, on_change="rebuild"))

    stage.finish(process)

    (changed,) = said(process, LogEvent.RECIPE_CHANGED)
    assert str(changed["what"]).startswith(f"{part}: 0.0.1 -> ")
    (restored,) = said(process, LogEvent.TASK_RESTORED)
    assert restored["origin"] == "untrained model at 0"
    assert process.telemetry.counters[Metric.REPLAYED] == BEFORE_N
    assert RECIPE.fingerprint() in stage.committed[0].metadata


def test_going_back_is_a_change_like_any_other() -> None:
    """Snapshots of both lie side by side; the fold of the one is no state of the other."""
    before = earlier("river")
    stage = folded_by(before)
    changed = stage.start(replace(SNAPSHOTS, on_change="rebuild"))
    stage.send(events(AFTER_N, seed=9))
    stage.finish(changed)
    stage.kill(changed)
    back = stage.start(replace(SNAPSHOTS, recipe=before, on_change="rebuild"))
    stage.send(events(AFTER_N, seed=10))

    stage.turns(back, until=lambda: stage.committed[0].offset == BEFORE_N + 2 * AFTER_N)

    (restored,) = said(back, LogEvent.TASK_RESTORED)
    assert restored["origin"] == "untrained model at 0"
    assert before.fingerprint() in stage.committed[0].metadata
