"""Where a state may not come back from, and what another recipe does."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from stream.adapters.memory.broker import Faults, no_faults
from stream.core.event import Channel
from stream.core.recipe import Recipe
from stream.core.spec import ModelSpec
from stream.errors import ExitCode, LogLost, Misconfigured, Retryable
from stream.runtime.sources import OnChange
from stream.telemetry import LogEvent
from tests.instruments.simulation.stage import (
    NO_SNAPSHOTS,
    SNAPSHOTS,
    STORE_AWAY,
    Stage,
    away,
    done,
    said,
)
from tests.instruments.simulation.workload import events
from tests.instruments.simulation.world import RECIPE, Options

SLOWER = replace(RECIPE, model=ModelSpec(factory=RECIPE.model.factory, params={"rate": 0.1}))


@pytest.mark.parametrize("steps", [(), STORE_AWAY])
def test_another_recipe_is_refused_and_told(steps: tuple[str, ...]) -> None:
    """Exit 78 with what changed; a store that is away only makes the text poorer."""
    stage = done(SNAPSHOTS)
    stage.world.faults = away(*steps)

    with pytest.raises(Misconfigured, match="on_change") as raised:
        stage.world.run(stage.start(Options(recipe=SLOWER)))

    assert raised.value.exit_code == ExitCode.CONFIG
    if steps:
        assert f"{RECIPE.fingerprint()} -> {SLOWER.fingerprint()}" in str(raised.value)
    else:
        assert "model.params.rate: unset -> 0.1" in str(raised.value)


def _predictions(stage: Stage, since: int) -> list[dict[str, object]]:
    found = [msgspec.json.decode(r.value or b"") for r in stage.published(Channel.PREDICTIONS)]
    return [prediction for prediction in found if prediction["offset"] >= since]


def _is_under(stage: Stage, recipe: Recipe) -> Callable[[], bool]:
    return lambda: f";f={recipe.fingerprint()};" in stage.committed[0].metadata


def _under(
    recipe: Recipe, on_change: OnChange, *, faults: Faults = no_faults
) -> list[dict[str, object]]:
    """The predictions that a changed recipe makes of the events after the change."""
    stage = done(SNAPSHOTS)
    stage.is_audited = False
    stage.world.faults = faults
    options = replace(SNAPSHOTS, recipe=recipe, on_change=on_change)
    process = stage.start(options)
    stage.turns(process, until=_is_under(stage, recipe))

    assert stage.committed[0].offset == 12, "the change is durable before anything else"
    stage.send(events(3, seed=9))
    stage.turns(process, until=lambda: stage.committed[0].offset == 15)
    (changed,) = said(process, LogEvent.RECIPE_CHANGED)
    assert changed["what"] == "model.params.rate: unset -> 0.1"
    return _predictions(stage, since=12)


def test_another_recipe_can_be_rebuilt_from_the_log() -> None:
    """As if the fold had always been under the new one."""
    always = Stage()
    always.is_audited = False
    always.send([*events(12), *events(3, seed=9)])
    process = always.start(Options(recipe=SLOWER))
    always.turns(process, until=lambda: 0 in always.committed and always.committed[0].offset == 15)

    assert _predictions(always, since=12) == _under(SLOWER, "rebuild")


def test_another_recipe_can_begin_fresh() -> None:
    """As if the log began at the committed offset."""
    predictions = _under(SLOWER, "fresh")

    assert [p["learned"] for p in predictions] == [0, 1, 2]
    assert predictions[0]["probabilities"] == {"false": 0.5, "true": 0.5}


def test_a_fresh_start_is_restored_from_its_own_snapshots_only() -> None:
    """Of two folds of one recipe the genesis tells which is the committed one."""
    stage = done(SNAPSHOTS)
    stage.is_audited = False
    for recipe in (SLOWER, RECIPE):
        options = replace(SNAPSHOTS, recipe=recipe, on_change="fresh")
        process = stage.start(options)
        stage.turns(process, until=_is_under(stage, recipe))
        stage.kill(process)

    restored = stage.start(replace(SNAPSHOTS, on_change="refuse"))
    stage.turns(restored, until=lambda: bool(said(restored, LogEvent.TASK_RESTORED)))

    (fields,) = said(restored, LogEvent.TASK_RESTORED)
    assert (fields["origin"], fields["learned"]) == ("untrained model at 12", 0)


def test_a_fresh_fold_s_newest_snapshot_stays_beside_those_of_a_longer_one() -> None:
    """Else each would be removed by the save that made it, until it is as long as the older."""
    stage = done(SNAPSHOTS, n=40)
    stage.is_audited = False
    stage.send(events(9, seed=5))
    process = stage.start(replace(SNAPSHOTS, recipe=SLOWER, on_change="fresh"))
    stage.turns(process, until=lambda: stage.committed[0].offset == 49)
    saved = [fields["next_offset"] for fields in said(process, LogEvent.SNAPSHOT_SAVED)]
    stage.kill(process)

    restored = stage.start(replace(SNAPSHOTS, recipe=SLOWER))
    stage.turns(restored, until=lambda: bool(said(restored, LogEvent.TASK_RESTORED)))

    (fields,) = said(restored, LogEvent.TASK_RESTORED)
    assert fields["origin"] == f"snapshot at {saved[-1]}"


def test_a_rebuild_needs_the_whole_log() -> None:
    """Half of a history is another history."""
    stage = done(SNAPSHOTS)
    stage.log().truncate(3)

    with pytest.raises(LogLost, match="cannot rebuild, the log starts at 3"):
        stage.world.run(stage.start(Options(recipe=SLOWER, on_change="rebuild")))


def test_a_rebuild_whose_replay_fails_half_way_is_whole_all_the_same() -> None:
    """No digest would tell that something was skipped: the committed one is of another recipe."""
    reads = []

    def fail(step: str) -> None:
        if step == "read":
            reads.append(step)
            if len(reads) == 2:
                raise Retryable("away")

    assert _under(SLOWER, "rebuild", faults=fail) == _under(SLOWER, "rebuild")
    assert len(reads) > 2


def test_a_committed_offset_beyond_the_logs_end_stops_loudly() -> None:
    """The log was cut or made again: its next records are not those that follow the state."""
    stage = done(SNAPSHOTS)
    stage.committed[0] = msgspec.structs.replace(stage.committed[0], offset=99)

    with pytest.raises(LogLost, match="offset 99 was committed, the log ends at 12") as raised:
        stage.world.run(stage.start())

    assert raised.value.exit_code == ExitCode.BAD_INPUT


@pytest.mark.parametrize("options", [SNAPSHOTS, NO_SNAPSHOTS])
def test_a_group_whose_offsets_were_lost_stops_loudly(options: Options) -> None:
    """Beginning again would publish every prediction twice; with or without snapshots."""
    stage = done(options)
    del stage.committed[0]

    with pytest.raises(LogLost, match="no offset is committed") as raised:
        stage.world.run(stage.start())

    assert raised.value.exit_code == ExitCode.BAD_INPUT
    assert len(_predictions(stage, 0)) == 12


def test_a_committed_offset_before_the_logs_start_stops_loudly() -> None:
    """Events were deleted that nobody had processed."""
    stage = done(SNAPSHOTS)
    stage.send(events(5))
    stage.log().truncate(15)

    with pytest.raises(LogLost, match="offset 12 is next, the log starts at 15"):
        stage.world.run(stage.start())


def test_retention_that_overtakes_a_running_worker_stops_it_loudly() -> None:
    """Skipping what is gone would be silent loss."""
    stage = Stage()
    stage.send(events(3))
    process = stage.start()
    stage.finish(process)
    stage.send(events(5))
    stage.log().truncate(6)

    with pytest.raises(LogLost, match="3 is gone"):
        stage.world.run(process)


def test_a_log_without_snapshots_that_lost_its_start_stops_loudly() -> None:
    """Nothing can bring that state back."""
    stage = done(NO_SNAPSHOTS)
    stage.log().truncate(3)

    with pytest.raises(LogLost, match="the log starts at 3"):
        stage.world.run(stage.start())


def test_a_state_that_does_not_give_the_committed_digest_stops_loudly() -> None:
    """The log or the snapshot is not what it was: nothing may be published on top of it."""
    stage = done(SNAPSHOTS)
    committed = stage.committed[0]
    digest = committed.metadata.split(";")[2]
    wrong = committed.metadata.replace(digest, "h=0123456789abcdef")
    stage.committed[0] = msgspec.structs.replace(committed, metadata=wrong)
    before = stage.published(Channel.PREDICTIONS)
    stage.send(events(2))

    with pytest.raises(LogLost, match=r"gives digest .* committed was 0123456789abcdef"):
        stage.world.run(stage.start())

    assert stage.published(Channel.PREDICTIONS) == before
