"""What commands did comes back with a partition's state, wherever that is taken from."""

from base64 import b64decode, b64encode
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from stream.core.event import Channel
from stream.core.recipe import versions
from stream.core.snapshots.metadata import parse_metadata
from stream.errors import LogLost, Misconfigured, StreamError
from stream.ports import Committed
from stream.runtime.unseen import UNSEEN_S_MAX
from stream.telemetry import LogEvent
from tests.instruments.simulation.stage import NO_SNAPSHOTS, Stage, commanded, said
from tests.instruments.simulation.workload import events
from tests.instruments.simulation.world import NAMES, Options, Process

OPTIONS = Options(is_commanded=True, commit_interval_s=0.0)
NOTHING_STORED = replace(NO_SNAPSHOTS, is_commanded=True, commit_interval_s=0.0)
OFTEN = replace(OPTIONS, replay_budget_s=0.001)


def _told(stage: Stage, partition: int = 0) -> Any:
    known = parse_metadata(stage.committed[partition].metadata)
    assert known is not None
    return known


def _commanded(options: Options = NOTHING_STORED, *commands: str) -> tuple[Stage, Process]:
    """Events before, between and behind some commands, and a worker that did all of it."""
    stage, process = commanded(6, options)
    for seed, what in enumerate(commands or ("freeze", "unfreeze", "reset", "freeze"), 1):
        stage.world.commands.send(what)
        stage.answer(process)
        if what != "pause":
            stage.send(events(4, seed=seed))
            stage.finish(process)
    return stage, process


def _kill(stage: Stage, process: Process, options: Options = NOTHING_STORED) -> None:
    """It is gone; and where nothing is stored, so is what a reset keeps."""
    stage.kill(process)
    if options.replay_budget_s == NOTHING_STORED.replay_budget_s:
        stage.world.cache.values.clear()
        stage.world.cache.indexes.clear()
        stage.auditor.is_cache_spoiled = True


def _refused(stage: Stage, error: type[StreamError], why: str) -> None:
    """Whoever starts now stops, and says why."""
    process = stage.start(NOTHING_STORED)
    with pytest.raises(error, match=why):
        stage.for_a_while(process)
    stage.kill(process)


def _next(stage: Stage, options: Options, n: int = 5) -> Process:
    """Another owner goes on with more events; the auditor looks at each outcome."""
    process = stage.start(options)
    stage.send(events(n, seed=77))
    stage.finish(process)
    return process


@pytest.mark.parametrize("options", [NOTHING_STORED, OFTEN], ids=["from the log", "snapshots"])
def test_a_restore_folds_events_and_journal_and_gives_the_same(options: Options) -> None:
    """Learning stays stopped, the model is the younger one, and each number goes on."""
    stage, process = _commanded(options)
    before = _told(stage)
    _kill(stage, process, options)

    _next(stage, options)

    after = _told(stage)
    assert (after.n, after.journal_n) == (before.n + 5, before.journal_n)
    assert after.learned == before.learned == 4


def test_an_operators_pause_outlives_a_restart_and_is_not_rehearsed_away() -> None:
    """The breaker tries the next records of what it has paused; of this it does not."""
    stage, process = _commanded(OPTIONS, "pause")
    stage.kill(process)
    stage.send(events(5, seed=8))
    second = stage.start(OPTIONS)

    stage.for_a_while(second)
    assert stage.auditor.lag() == {0: 5}
    assert not said(second, LogEvent.PARTITION_RESUMED)
    stage.world.commands.send("resume")

    stage.finish(second)


def _hide(stage: Stage) -> Any:
    """A dead worker's transaction is open in the journal: what follows cannot be seen."""
    broker = stage.world.broker
    producer = broker.producer("somebody dead")
    transaction = broker.begin(producer)
    broker.append(NAMES[Channel.JOURNAL], 0, value=b"never", transaction=transaction)
    return producer


def test_a_replay_waits_for_a_record_of_the_journal_that_cannot_be_seen_yet() -> None:
    """It is no event: to go on without it would be another fold."""
    stage, process = commanded(6, NOTHING_STORED)
    producer = _hide(stage)
    stage.world.commands.send("freeze")
    stage.answer(process)
    stage.kill(process)
    second = stage.start(NOTHING_STORED)
    stage.send(events(5, seed=1))

    stage.for_a_while(second)
    assert stage.auditor.lag() == {0: 5}
    stage.world.broker.abort(producer)

    stage.finish(second)
    assert stage.auditor.learned(0) == 6


def test_nobody_waits_for_a_record_of_the_journal_that_a_snapshot_has() -> None:
    """What lies behind it needs no journal."""
    stage, process = commanded(6, OFTEN)
    _hide(stage)
    stage.world.commands.send("freeze")
    stage.send(events(4, seed=1))
    stage.answer(process)
    stage.finish(process)
    stage.world.stop(process)

    _next(stage, OFTEN)


def test_a_record_of_the_journal_that_never_comes_is_lost() -> None:
    """No broker keeps a transaction open for so long."""
    stage, process = commanded(6, NOTHING_STORED)
    _hide(stage)
    stage.world.commands.send("freeze")
    stage.answer(process)
    stage.kill(process)
    second = stage.start(NOTHING_STORED)
    for _ in range(5):
        stage.turn(second)
    stage.clock.sleep(UNSEEN_S_MAX)

    with pytest.raises(LogLost, match="record 1 of the journal is gone"):
        stage.for_a_while(second)


def test_a_truncated_journal_is_named_where_no_snapshot_lies_behind_it() -> None:
    """With what to do."""
    stage, process = _commanded()
    _kill(stage, process)
    stage.log(Channel.JOURNAL).truncate(1)
    stage.auditor.commands.expect_truncated(0, 1)

    _refused(stage, LogLost, r"record 1 of the journal is gone.*retention\.ms")


@pytest.mark.parametrize("keeps_n", [0, 1])
def test_a_snapshot_behind_all_of_a_lost_journal_is_enough(keeps_n: int) -> None:
    """Nothing of the journal is needed then, and nothing else is lost."""
    stage, process = _commanded(OFTEN)
    stage.world.stop(process)
    log = stage.log(Channel.JOURNAL)
    log.truncate(log.end - 2 * keeps_n)
    stage.auditor.commands.expect_truncated(0, _told(stage).journal_n - keeps_n)

    _next(stage, OFTEN)


def _moved(stage: Stage, committed: Committed) -> None:
    stage.committed[0] = committed
    stage.auditor.operator_moved(0, committed)


@pytest.mark.parametrize("is_event_behind", [True, False])
def test_an_older_offset_with_what_was_beside_it_is_no_harm(*, is_event_behind: bool) -> None:
    """Commands at that very offset came later: it is proved without them, and goes on with them."""
    stage, process = commanded(6, NOTHING_STORED)
    stage.world.commands.send("unfreeze")
    stage.answer(process)
    older = stage.committed[0]
    stage.world.commands.send("freeze", "reset")
    stage.answer(process)
    if is_event_behind:
        stage.send(events(4, seed=1))
        stage.finish(process)
    _kill(stage, process)
    _moved(stage, older)

    _next(stage, NOTHING_STORED)

    assert [told["what"] for told in stage.ledger()] == ["unfreeze", "freeze", "reset"]


@pytest.mark.parametrize("is_last", [True, False])
def test_an_offset_without_what_was_beside_it_is_rebuilt_with_the_commands(
    *, is_last: bool
) -> None:
    """A tool has set it: steps are numbered on, and none of the commands is forgotten."""
    stage, process = _commanded()
    if is_last:
        stage.world.commands.send("reset")
        stage.answer(process)
    _kill(stage, process)
    _moved(stage, Committed(stage.committed[0].offset - 2, "a tool"))
    _refused(stage, Misconfigured, "another tool set it")

    _next(stage, replace(NOTHING_STORED, on_change="rebuild"))


def test_a_lost_offset_is_found_again_with_the_commands() -> None:
    """Outcomes tell where to set it; what was paused there stays so."""
    stage, process = _commanded(NOTHING_STORED, "reset", "freeze", "pause")
    end = stage.committed[0].offset
    _kill(stage, process)
    del stage.committed[0]
    _refused(stage, LogLost, f"to {end} and")
    _moved(stage, Committed(end, ""))
    stage.send(events(5, seed=9))

    second = stage.start(replace(NOTHING_STORED, on_change="rebuild"))
    stage.for_a_while(second)
    assert stage.auditor.lag() == {0: 5}
    stage.world.commands.send("resume")

    stage.finish(second)


@pytest.mark.parametrize("options", [NOTHING_STORED, OFTEN], ids=["from the log", "snapshots"])
def test_settings_change_and_the_commanded_model_goes_on(options: Options) -> None:
    """A base holds what commands did; what comes later is numbered on."""
    stage, process = _commanded(options)
    stage.kill(process)
    limits = replace(options.recipe.limits, features_max=1_000)
    changed = replace(options, recipe=replace(options.recipe, limits=limits))

    process = _next(stage, changed)
    stage.world.commands.send("unfreeze")
    stage.answer(process)
    _kill(stage, process)

    _next(stage, changed)


@pytest.mark.parametrize("options", [NOTHING_STORED, OFTEN], ids=["from the log", "snapshots"])
@pytest.mark.parametrize("n", [0, 6])
def test_another_machine_takes_over_what_was_commanded_last(n: int, options: Options) -> None:
    """Commands behind the last event are nothing that a state could be tried on."""
    recipe = replace(options.recipe, versions=versions() | {"machine's math": "0"})
    stage, process = commanded(n, replace(options, recipe=recipe))
    stage.turns(process, until=lambda: 0 in stage.committed)
    stage.world.stop(process)
    process = stage.start(replace(options, recipe=recipe))
    stage.world.commands.send("freeze", "unfreeze")
    stage.answer(process)
    _kill(stage, process, options)
    stage.is_audited = False

    process = stage.start(replace(options, on_change="keep"))
    stage.send(events(3, seed=5))
    stage.turns(process, until=lambda: stage.committed[0].offset == n + 3)


def test_a_rebuild_with_another_recipe_is_given_the_commands_again() -> None:
    """At the same events, by the new model."""
    stage, process = _commanded()
    before = _told(stage)
    stage.kill(process)
    stage.is_audited = False
    recipe = replace(NOTHING_STORED.recipe, hash_seed=1)
    options = replace(NOTHING_STORED, recipe=recipe, on_change="rebuild")

    for seed in range(2):  # the second one restores what the first one rebuilt
        process = stage.start(options)
        stage.send(events(3, seed=20 + seed))
        stage.turns(process, until=lambda: stage.committed[0].offset == stage.log().end)
        stage.kill(process)

    after = _told(stage)
    assert after.n == 2 * before.n + 6
    assert (after.learned, after.journal_n) == (before.learned, before.journal_n)


def test_a_fresh_model_is_given_what_was_commanded_where_it_begins() -> None:
    """A partition that stands still goes on standing there."""
    stage, process = _commanded(NOTHING_STORED, "reset", "pause")
    stage.kill(process)
    stage.send(events(3, seed=5))
    recipe = replace(NOTHING_STORED.recipe, hash_seed=1)
    stage.auditor.begin_again()

    second = stage.start(replace(NOTHING_STORED, recipe=recipe, on_change="fresh"))
    stage.for_a_while(second)
    assert stage.auditor.lag() == {0: 3}
    stage.world.commands.send("resume")

    stage.finish(second)


def test_a_journal_that_somebody_else_writes_to_is_no_journal() -> None:
    """It stops there, and says so."""
    stage, process = _commanded()
    stage.kill(process)
    stage.world.broker.append(NAMES[Channel.JOURNAL], 0, value=b"oops")
    stage.is_audited = False

    _refused(stage, LogLost, "what is none of its records")


def test_a_journal_of_other_commands_is_found_out() -> None:
    """The digest goes over what each of them did."""
    stage, process = _commanded()
    _kill(stage, process)
    entries = stage.log(Channel.JOURNAL)._entries
    record, transaction = entries[0]
    assert record is not None
    assert record.value is not None
    said_there = msgspec.json.decode(record.value)
    other = b64decode(said_there["steps"][0]["value"]).replace(b"freeze", b"reset")
    said_there["steps"][0]["value"] = b64encode(other).decode()
    entries[0] = msgspec.structs.replace(record, value=msgspec.json.encode(said_there)), transaction
    stage.is_audited = False

    _refused(stage, LogLost, "digest")


def _said_broken(stage: Stage, process: Process) -> bool:
    """What a live worker says of the journal, once all of it must be visible."""
    for _ in range(3):
        stage.turn(process)
    stage.clock.sleep(UNSEEN_S_MAX)
    for _ in range(3):
        stage.turn(process)
    return bool(said(process, LogEvent.JOURNAL_BROKEN))


def test_a_worker_that_lives_says_that_its_journal_is_gone() -> None:
    """Nothing needs it until the snapshots are lost, too; a base makes it needless."""
    stage, process = _commanded(OFTEN)
    assert not _said_broken(stage, process)
    stage.log(Channel.JOURNAL).truncate(1)
    stage.auditor.commands.expect_truncated(0, 1)
    stage.world.commands.send("unfreeze")
    stage.answer(process)
    assert _said_broken(stage, process)
    stage.kill(process)

    second = stage.start(OFTEN)
    assert _said_broken(stage, second)
    stage.kill(second)
    limits = replace(OFTEN.recipe.limits, features_max=1_000)
    third = stage.start(replace(OFTEN, recipe=replace(OFTEN.recipe, limits=limits)))
    assert not _said_broken(stage, third)
