"""A change of settings never costs the model; another river or Python has it on trial first."""

import re
from dataclasses import replace

import msgspec
import pytest

from stream.core.event import Channel
from stream.core.recipe import Recipe, versions
from stream.core.snapshots.metadata import Metadata, parse_metadata
from stream.core.spec import DetectorSpec, EventShape, Limits, ModelSpec
from stream.errors import ExitCode, Fenced, LogLost, Misconfigured
from stream.runtime.sources import OnChange
from stream.telemetry import LogEvent
from tests.instruments.simulation import model as model_module
from tests.instruments.simulation.stage import NO_SNAPSHOTS, SNAPSHOTS, Stage, away, said
from tests.instruments.simulation.workload import LIMITS, events
from tests.instruments.simulation.world import RECIPE, Options, Process

ADWIN = DetectorSpec(name="adwin", type="ADWIN", params={"clock": 1})
DETECTORS = replace(RECIPE, detectors=(ADWIN,))
TWO = replace(RECIPE, detectors=(*RECIPE.detectors, ADWIN))
LARGER = replace(RECIPE, limits=replace(LIMITS, distinct_features_max=200))
CHANGES = {"another detector": DETECTORS, "one more": TWO, "limits": LARGER}
BEFORE_N, AFTER_N = 40, 30


def before(options: Options = SNAPSHOTS, *, recipe: Recipe = RECIPE) -> Stage:
    """A log that a worker of this recipe processed before it was killed."""
    stage = Stage()
    stage.is_audited = False
    stage.send(events(BEFORE_N))
    fold(stage, replace(options, recipe=recipe), BEFORE_N)
    return stage


def fold(stage: Stage, options: Options, to: int) -> Process:
    """A worker that processes the log up to an offset, and is killed."""
    process = stage.start(options)
    ours = f";f={options.recipe.fingerprint()};"
    stage.turns(process, until=lambda: _is_at(stage, to) and ours in stage.committed[0].metadata)
    stage.kill(process)
    return process


def _is_at(stage: Stage, offset: int) -> bool:
    return 0 in stage.committed and stage.committed[0].offset == offset


def predictions(stage: Stage) -> list[bytes | None]:
    """All that were published."""
    return [record.value for record in stage.published(Channel.PREDICTIONS)]


def unchanged() -> list[bytes | None]:
    """What is published if nobody changes anything."""
    stage = before()
    stage.send(events(AFTER_N, seed=9))
    fold(stage, SNAPSHOTS, BEFORE_N + AFTER_N)
    return predictions(stage)


def known(stage: Stage) -> Metadata:
    """What is committed."""
    found = parse_metadata(stage.committed[0].metadata)
    assert found is not None
    return found


@pytest.mark.parametrize("on_change", ["refuse", "rebuild", "fresh", "keep"])
@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_a_change_of_settings_keeps_the_model_bit_for_bit(
    changed: Recipe, on_change: OnChange
) -> None:
    """Whatever `model.on_change` says: it is about the learner's own recipe."""
    stage = before()
    n, learned = known(stage).n, known(stage).learned
    stage.send(events(AFTER_N, seed=9))
    options = replace(SNAPSHOTS, recipe=changed, on_change=on_change)
    process = fold(stage, options, BEFORE_N + AFTER_N)

    assert predictions(stage) == unchanged()
    (said_of_it,) = said(process, LogEvent.RECIPE_CHANGED)
    assert said_of_it["on_change"] == "keep"
    assert said_of_it["what"]
    after = known(stage)
    assert (after.genesis, after.genesis_n, after.has_base) == (BEFORE_N, n, True)
    assert (after.n, after.learned) == (n + AFTER_N, learned + AFTER_N)
    assert (after.generation.number, after.generation.replaced) == (2, (RECIPE.fingerprint(),))


def test_what_did_not_change_goes_on_and_what_did_begins_anew() -> None:
    """A detector that both recipes have keeps its state: it alerts where it would have alone."""
    stage, alone = before(recipe=TWO), before(recipe=RECIPE)
    for each in (stage, alone):
        each.send(events(60, seed=3))
        fold(each, replace(SNAPSHOTS, recipe=RECIPE), BEFORE_N + 60)

    def alerts(of: Stage) -> list[tuple[str, int]]:
        told = [msgspec.json.decode(r.value or b"") for r in of.published(Channel.ALERTS)]
        return [(each["name"], each["offset"]) for each in told if each["name"] == "ph"]

    assert alerts(stage) == alerts(alone)
    assert alerts(alone)


@pytest.mark.parametrize("changed", [DETECTORS, TWO], ids=["another detector", "one more"])
def test_with_an_empty_store_the_log_gives_the_model_again(changed: Recipe) -> None:
    """No snapshot tells what was changed, so the replay is under today's settings, and compared."""
    stage = before(NO_SNAPSHOTS)
    stage.send(events(AFTER_N, seed=9))
    fold(stage, replace(NO_SNAPSHOTS, recipe=changed), BEFORE_N + AFTER_N)

    assert predictions(stage) == unchanged()
    assert known(stage).genesis_n == BEFORE_N


def test_after_retention_an_empty_store_and_another_change_it_goes_on_from_the_base() -> None:
    """The log no longer holds what made the model, and nothing else does but the base."""
    stage = before(NO_SNAPSHOTS)
    fold(stage, replace(NO_SNAPSHOTS, recipe=DETECTORS), BEFORE_N)
    stage.send(events(AFTER_N, seed=9)[:10])
    fold(stage, replace(NO_SNAPSHOTS, recipe=DETECTORS), BEFORE_N + 10)
    stage.log().truncate(BEFORE_N)
    stage.send(events(AFTER_N, seed=9)[10:])
    process = fold(stage, replace(NO_SNAPSHOTS, recipe=TWO), BEFORE_N + AFTER_N)

    (restored,) = said(process, LogEvent.TASK_RESTORED)
    assert restored["origin"] == f"base at {BEFORE_N}"
    assert predictions(stage) == unchanged()
    assert known(stage).generation.number == 3
    fold_again = stage.start(replace(NO_SNAPSHOTS, recipe=TWO))
    stage.turns(fold_again, until=lambda: bool(said(fold_again, LogEvent.TASK_RESTORED)))
    assert said(fold_again, LogEvent.TASK_RESTORED)[0]["origin"] == f"base at {BEFORE_N + 10}"


def test_a_change_there_and_back_and_there_again_goes_on_from_the_last_base() -> None:
    """Without an event in between, two folds begin at one step with one recipe."""
    stage = before(NO_SNAPSHOTS)
    first = stage.start(replace(SNAPSHOTS, recipe=DETECTORS))
    stage.turns(first, until=lambda: bool(said(first, LogEvent.SNAPSHOT_SAVED)))
    stage.kill(first)
    fold(stage, replace(SNAPSHOTS, recipe=RECIPE), BEFORE_N)
    fold(stage, replace(SNAPSHOTS, recipe=DETECTORS), BEFORE_N)
    assert known(stage).generation.number == 4
    stage.send(events(AFTER_N, seed=9))
    fold(stage, replace(SNAPSHOTS, recipe=DETECTORS), BEFORE_N + AFTER_N)

    assert predictions(stage) == unchanged()


def test_a_base_that_is_gone_is_told() -> None:
    """Neither a snapshot nor the base: the log alone does not make this state."""
    stage = before(NO_SNAPSHOTS)
    fold(stage, replace(NO_SNAPSHOTS, recipe=DETECTORS), BEFORE_N)
    stage.log(Channel.BASES).truncate(stage.log(Channel.BASES).end)

    with pytest.raises(LogLost, match="bases topic, of step 40"):
        stage.world.run(stage.start(replace(NO_SNAPSHOTS, recipe=DETECTORS)))


def test_a_base_of_many_records_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forest of 20 MB has twenty; here the first holds little more than the header."""
    monkeypatch.setattr("stream.runtime.bases.CHUNK_BYTES", 1_200)
    monkeypatch.setattr("stream.runtime.bases.BATCH_BYTES", 1_200)
    stage = before(NO_SNAPSHOTS)
    fold(stage, replace(NO_SNAPSHOTS, recipe=DETECTORS), BEFORE_N)
    assert len(stage.published(Channel.BASES)) > 1
    stage.log().truncate(BEFORE_N)
    stage.send(events(AFTER_N, seed=9))
    fold(stage, replace(NO_SNAPSHOTS, recipe=DETECTORS), BEFORE_N + AFTER_N)

    assert predictions(stage) == unchanged()


@pytest.mark.parametrize("step", ["send", "flush:before", "end:before", "end:after", "offsets"])
def test_a_crash_around_the_base_changes_nothing(step: str) -> None:
    """It is written again, or named by nobody; predictions are those of no change at all."""
    stage = before()
    stage.send(events(AFTER_N, seed=9))
    failing = stage.start(replace(SNAPSHOTS, recipe=DETECTORS))
    stage.world.faults = away(step)
    for _ in range(30):
        stage.turn(failing)
    stage.kill(failing)
    stage.world.faults = away()
    fold(stage, replace(SNAPSHOTS, recipe=DETECTORS), BEFORE_N + AFTER_N)

    assert predictions(stage) == unchanged()


PARTS = [part for part in versions() if part != "fold"]


@pytest.mark.parametrize("part", PARTS)
def test_another_version_is_kept_after_a_trial_if_asked_for(part: str) -> None:
    """It repeats what it published, and goes on."""
    earlier = replace(RECIPE, versions=versions() | {part: "0.0.1"})
    stage = before(recipe=earlier)
    stage.send(events(AFTER_N, seed=9))
    process = fold(stage, replace(SNAPSHOTS, on_change="keep"), BEFORE_N + AFTER_N)

    assert predictions(stage) == unchanged()
    (told,) = said(process, LogEvent.RECIPE_CHANGED)
    assert str(told["what"]).startswith(f"{part}: 0.0.1 -> ")
    assert known(stage).has_base


def test_a_version_that_answers_otherwise_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first event that differs is named, and nothing is published."""
    stage = before(recipe=replace(RECIPE, versions=versions() | {"river": "0.0.1"}))
    published = predictions(stage)
    chance = model_module.Brittle._chance
    monkeypatch.setattr(model_module.Brittle, "_chance", lambda s, x: 0.99 * chance(s, x))

    with pytest.raises(Misconfigured, match="cannot be kept") as raised:
        stage.world.run(stage.start(replace(SNAPSHOTS, on_change="keep")))

    assert re.search(r"does not repeat itself: event \d+ was .*\"rebuild\"", str(raised.value))
    assert raised.value.exit_code == ExitCode.CONFIG
    assert predictions(stage) == published


def test_the_last_bits_of_another_machine_are_no_other_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its arithmetic differs there; what follows is a fold of its own."""
    stage = before(recipe=replace(RECIPE, versions=versions() | {"machine's math": "0"}))
    chance = model_module.Brittle._chance
    monkeypatch.setattr(model_module.Brittle, "_chance", lambda s, x: chance(s, x) * (1 + 2.0**-52))
    stage.send(events(AFTER_N, seed=9))
    fold(stage, replace(SNAPSHOTS, on_change="keep"), BEFORE_N + AFTER_N)

    assert predictions(stage) != unchanged()
    assert known(stage).learned == BEFORE_N + AFTER_N
    restored = stage.start(SNAPSHOTS)
    stage.turns(restored, until=lambda: bool(said(restored, LogEvent.TASK_RESTORED)))


def test_outcomes_of_a_recipe_before_a_rebuild_are_no_trial() -> None:
    """The rebuilt model answers otherwise than the one before it did, as was asked for."""
    old = versions() | {"river": "0.0.1"}
    stage = before(NO_SNAPSHOTS, recipe=replace(OTHERS["model.params.rate"], versions=old))
    rebuilt = replace(NO_SNAPSHOTS, recipe=replace(RECIPE, versions=old), on_change="rebuild")
    stage.send(events(AFTER_N, seed=9))
    fold(stage, rebuilt, BEFORE_N + AFTER_N)
    process = fold(stage, replace(NO_SNAPSHOTS, on_change="keep"), BEFORE_N + AFTER_N)

    assert said(process, LogEvent.RECIPE_CHANGED)[0]["on_change"] == "keep"
    assert known(stage).learned == BEFORE_N + AFTER_N


def test_what_cannot_be_tried_is_not_kept_under_another_version() -> None:
    """A snapshot of the committed offset is all there is: no answer of it can be compared."""
    stage = before(NO_SNAPSHOTS, recipe=replace(RECIPE, versions=versions() | {"river": "0.0.1"}))
    saving = stage.start(
        replace(SNAPSHOTS, recipe=replace(RECIPE, versions=versions() | {"river": "0.0.1"}))
    )
    stage.turns(saving, until=lambda: bool(said(saving, LogEvent.SNAPSHOT_SAVED)))
    stage.kill(saving)
    stage.log().truncate(BEFORE_N)

    with pytest.raises(Misconfigured, match="could not be tried"):
        stage.turns(stage.start(replace(SNAPSHOTS, on_change="keep")), until=lambda: False)


OTHERS = {
    "model.params.rate": replace(
        RECIPE, model=ModelSpec(factory=RECIPE.model.factory, params={"rate": 0.1})
    ),
    "model.hash_seed": replace(RECIPE, hash_seed=7),
    "events.missing": replace(RECIPE, shape=EventShape(missing="refuse")),
}


@pytest.mark.parametrize("name", OTHERS)
def test_keep_refuses_what_makes_another_model(name: str) -> None:
    """A kept model would not have the new parameter, whatever the configuration says."""
    stage = before()
    options = replace(SNAPSHOTS, recipe=OTHERS[name], on_change="keep")

    with pytest.raises(Misconfigured, match=rf"{name}.* changed, so partition 0 needs another"):
        stage.world.run(stage.start(options))


# -- a rolling deploy -----------------------------------------------------------------------------


def test_a_worker_with_an_older_recipe_leaves_a_newer_one_s_partition_alone() -> None:
    """It runs since before the change, and gets the partition after it: exit 75."""
    stage = before()
    old = stage.start(SNAPSHOTS)
    stage.turns(old, until=lambda: bool(said(old, LogEvent.TASK_RESTORED)))
    new = stage.start(replace(SNAPSHOTS, recipe=DETECTORS))
    stage.world.broker.group("sim")
    stage.send(events(AFTER_N, seed=9))
    for _ in range(60):
        stage.turn(old)
        stage.turn(new)
    if known(stage).generation.number == 1:  # the older one has it yet
        stage.kill(old)
        old = stage.start(SNAPSHOTS)
        stage.turns(new, until=lambda: known(stage).generation.number == 2)
    stage.kill(new)

    with pytest.raises(Fenced, match="newer recipe") as raised:
        stage.turns(old, until=lambda: False)

    assert raised.value.exit_code == ExitCode.FENCED
    assert known(stage).fingerprint == DETECTORS.fingerprint()


def test_an_older_recipe_comes_back_once_nobody_has_the_newer_one() -> None:
    """Setting a setting back is a change like any other: the model goes on."""
    stage = before()
    fold(stage, replace(SNAPSHOTS, recipe=DETECTORS), BEFORE_N)
    stage.send(events(AFTER_N, seed=9))
    fold(stage, SNAPSHOTS, BEFORE_N + AFTER_N)

    assert predictions(stage) == unchanged()
    generation = known(stage).generation
    assert (generation.number, generation.replaced) == (3, (DETECTORS.fingerprint(),))


def test_an_older_recipe_that_is_started_beside_a_newer_one_has_to_be_told_to_come_back() -> None:
    """A supervisor restarts the old ones of a rolling deploy, too: they must not flip it back."""
    stage = before()
    new = stage.start(replace(SNAPSHOTS, recipe=DETECTORS))
    stage.turns(new, until=lambda: known(stage).generation.number == 2)
    old = stage.start(SNAPSHOTS)
    told = stage.start(replace(SNAPSHOTS, on_change="keep"))
    stage.kill(new)

    with pytest.raises(Fenced):
        stage.world.run(old)
    stage.kill(old)
    stage.turns(told, until=lambda: known(stage).generation.number == 3)
    assert known(stage).fingerprint == RECIPE.fingerprint()


def test_limits_that_cannot_be_read_back_are_replayed_under_today_s() -> None:
    """A later version's snapshot may name limits that this one does not know."""
    recipe = replace(RECIPE, limits=Limits(distinct_features_max=9))

    with pytest.raises(TypeError):
        recipe.as_of({"limits.unheard_of": "3"})


def test_a_base_behind_a_dead_worker_s_transaction_is_waited_for() -> None:
    """It is there and committed; nobody sees it until the brokers have ended the other one."""
    stage = before(NO_SNAPSHOTS)
    broker, bases = stage.world.broker, stage.log(Channel.BASES)
    hiding = broker.producer("somebody who died")
    transaction = broker.begin(hiding)
    broker.append(
        "sim.bases", 0, value=b"half a base", key=None, timestamp_ms=0, transaction=transaction
    )
    fold(stage, replace(NO_SNAPSHOTS, recipe=DETECTORS), BEFORE_N)
    assert bases.stable_end == 0
    restarted = stage.start(replace(NO_SNAPSHOTS, recipe=DETECTORS))
    for _ in range(20):
        stage.turn(restarted)
    assert not said(restarted, LogEvent.TASK_RESTORED)
    broker.abort(hiding)

    stage.turns(restarted, until=lambda: bool(said(restarted, LogEvent.TASK_RESTORED)))
    assert said(restarted, LogEvent.TASK_RESTORED)[0]["origin"] == f"base at {BEFORE_N}"
