"""The group's offset is where no worker put it: a tool set it, or the broker lost a newer one."""

from dataclasses import replace

import msgspec
import pytest

from stream.adapters.memory.topic import Partition, Topic
from stream.core.event import Channel
from stream.errors import ExitCode, LogLost, Misconfigured
from stream.ports import Committed
from stream.runtime.sources import OnChange
from stream.telemetry import LogEvent
from tests.instruments.simulation.stage import NO_SNAPSHOTS, SNAPSHOTS, Stage, done, said
from tests.instruments.simulation.test_ahead_scenarios import ahead_stage
from tests.instruments.simulation.test_refusal_scenarios import SLOWER
from tests.instruments.simulation.workload import events
from tests.instruments.simulation.world import NAMES, Options

FOREIGN = ("", "set by ada, ticket 17", "v2;n=3")
"""What other tools write beside an offset; Kafka's own writes nothing."""


def _moved(options: Options, offset: int, metadata: str = "", *, more_n: int = 3) -> Stage:
    """Twelve events were processed; then the offset was set elsewhere, and some more came."""
    stage = done(options)
    stage.committed[0] = Committed(offset, metadata)
    stage.auditor.operator_moved(0, stage.committed[0])
    stage.send(events(more_n, seed=1))
    return stage


def _offsets(stage: Stage) -> list[int]:
    found = [msgspec.json.decode(r.value or b"") for r in stage.published(Channel.PREDICTIONS)]
    return [prediction["offset"] for prediction in found]


@pytest.mark.parametrize("metadata", FOREIGN)
@pytest.mark.parametrize("options", [SNAPSHOTS, NO_SNAPSHOTS])
@pytest.mark.parametrize("offset", [0, 4, 11, 12])
def test_an_offset_that_a_tool_set_back_and_a_rebuild_give_no_event_a_second_outcome(
    options: Options, offset: int, metadata: str
) -> None:
    """The log is folded again, muted up to where the outcomes end; nobody sees a difference."""
    stage = _moved(options, offset, metadata)
    process = stage.start(replace(options, on_change="rebuild"))

    stage.finish(process)

    assert _offsets(stage) == list(range(15))
    warned = said(process, LogEvent.OFFSET_MOVED)
    assert bool(warned) == (offset < 12)
    if warned:
        assert f"events {offset} to 11 have their outcomes already" in str(warned[0]["why"])


@pytest.mark.parametrize("offset", [0, 4, 12, 14])
def test_an_offset_that_a_tool_set_is_refused_first_and_the_text_says_what_there_is(
    offset: int,
) -> None:
    """By default nobody decides for the operator: 78, and nothing is published."""
    stage = _moved(SNAPSHOTS, offset)

    with pytest.raises(Misconfigured, match="another tool set it") as raised:
        stage.world.run(stage.start())

    assert raised.value.exit_code == ExitCode.CONFIG
    assert len(_offsets(stage)) == 12
    text = str(raised.value)
    assert '"rebuild"' in text
    assert ("events 12 to 13 have no outcome" in text) == (offset == 14)
    assert (f"events {offset} to 11 have their outcomes" in text) == (offset < 12)


def test_a_fresh_start_at_an_offset_that_was_set_back_begins_where_the_outcomes_end() -> None:
    """Untrained from there; not one event is predicted twice."""
    stage = _moved(SNAPSHOTS, 4)
    stage.is_audited = False
    process = stage.start(replace(SNAPSHOTS, on_change="fresh"))

    stage.turns(process, until=lambda: stage.committed[0].offset == 15)

    assert _offsets(stage) == list(range(15))
    assert ";g=12;" in stage.committed[0].metadata


def test_a_rebuild_does_not_pass_over_events_that_have_no_outcome() -> None:
    """An offset that was set ahead stops it with 65, and what it says helps."""
    stage = _moved(SNAPSHOTS, 14)
    refused = stage.start(replace(SNAPSHOTS, on_change="rebuild"))

    with pytest.raises(
        LogLost, match=r"events 12 to 13 have no outcome.* set it back to 12"
    ) as why:
        stage.world.run(refused)

    assert why.value.exit_code == ExitCode.BAD_INPUT
    stage.kill(refused)
    stage.committed[0] = Committed(12, "")
    stage.auditor.operator_moved(0, stage.committed[0])
    stage.finish(stage.start(replace(SNAPSHOTS, on_change="rebuild")))
    assert _offsets(stage) == list(range(15))


def test_a_fresh_start_passes_over_them_and_says_which() -> None:
    """Whoever sets the offset ahead and says "fresh" wants just that; it is warned all the same."""
    stage = _moved(SNAPSHOTS, 14)
    stage.is_audited = False
    process = stage.start(replace(SNAPSHOTS, on_change="fresh"))

    stage.turns(process, until=lambda: stage.committed[0].offset == 15)

    assert _offsets(stage) == [*range(12), 14]
    (warned,) = said(process, LogEvent.OFFSET_MOVED)
    assert "events 12 to 13 have no outcome" in str(warned["why"])


@pytest.mark.parametrize("on_change", ["rebuild", "fresh"])
def test_an_offset_set_ahead_over_markers_only_misses_nothing(on_change: OnChange) -> None:
    """Between the last event and the next one lie offsets that hold no record."""
    stage = done(NO_SNAPSHOTS)
    stage.send(events(3, seed=1), is_committed=False)  # aborted: no consumer ever sees them
    end = stage.log().stable_end
    stage.committed[0] = Committed(end, "")
    stage.is_audited = False
    stage.send(events(2, seed=2))
    process = stage.start(replace(NO_SNAPSHOTS, on_change=on_change))

    stage.turns(process, until=lambda: len(_offsets(stage)) == 14)

    assert not said(process, LogEvent.OFFSET_MOVED)


@pytest.mark.parametrize("options", [SNAPSHOTS, NO_SNAPSHOTS])
def test_an_older_offset_with_our_own_metadata_is_muted_up_to_the_outcomes_end(
    options: Options,
) -> None:
    """A broker that lost the newer one, or a tool that keeps metadata: proved, then caught up."""
    stage = Stage()
    stage.send(events(5))
    first = stage.start(options)
    stage.finish(first)
    older = stage.committed[0]
    stage.send(events(7, seed=3))
    stage.finish(first)
    stage.kill(first)
    stage.committed[0] = older
    stage.auditor.operator_moved(0, older)
    stage.send(events(3, seed=4))
    process = stage.start(options)

    stage.finish(process)

    assert _offsets(stage) == list(range(15))
    (warned,) = said(process, LogEvent.OFFSET_MOVED)
    assert "events 5 to 11 have their outcomes already" in str(warned["why"])


def test_an_older_offset_of_another_recipe_gives_no_second_outcome_either() -> None:
    """A rebuild under the new recipe is muted up to the outcomes' end."""
    stage = Stage()
    stage.is_audited = False
    stage.send(events(5))
    first = stage.start(NO_SNAPSHOTS)
    stage.turns(first, until=lambda: 0 in stage.committed and stage.committed[0].offset == 5)
    older = stage.committed[0]
    stage.send(events(7, seed=3))
    stage.turns(first, until=lambda: stage.committed[0].offset == 12)
    stage.kill(first)
    stage.committed[0] = older
    process = stage.start(replace(NO_SNAPSHOTS, recipe=SLOWER, on_change="rebuild"))

    stage.turns(process, until=lambda: stage.committed[0].offset == 12)
    stage.send(events(1, seed=4))
    stage.turns(process, until=lambda: stage.committed[0].offset == 13)

    assert _offsets(stage) == list(range(13))


def test_outcomes_of_events_that_another_log_had_do_not_mute_these() -> None:
    """The events topic was made again, the offset set to its start: its events are new ones."""
    stage = done(NO_SNAPSHOTS)
    stage.is_audited = False
    stage.world.broker.topics[NAMES[Channel.EVENTS]] = Topic(
        "another", -1, "delete", [Partition(0)]
    )
    stage.workload.cut(0, 0)
    later = [msgspec.structs.replace(e, timestamp_ms=e.timestamp_ms + 1) for e in events(15)]
    stage.send(later)
    stage.committed[0] = Committed(0, "")
    process = stage.start(replace(NO_SNAPSHOTS, on_change="fresh"))

    stage.turns(process, until=lambda: stage.committed[0].offset == 15)

    assert _offsets(stage) == [*range(12), *range(15)]


def test_where_to_begin_may_be_chosen_before_anything_ran() -> None:
    """An offset that a tool set first: "fresh" begins there, and there is nothing to be missed."""
    stage = Stage()
    stage.is_audited = False
    stage.send(events(8))
    stage.committed[0] = Committed(5, "")
    process = stage.start(Options(on_change="fresh"))

    stage.turns(process, until=lambda: stage.committed[0].offset == 8)

    assert _offsets(stage) == [5, 6, 7]
    (warned,) = said(process, LogEvent.OFFSET_MOVED)
    assert warned["why"] == "no event before 5 has an outcome"


def test_a_rebuild_without_metadata_needs_the_whole_log_too() -> None:
    """The oldest outcome tells that the fold began before the log does."""
    stage = _moved(NO_SNAPSHOTS, 8)
    stage.log().truncate(3)

    with pytest.raises(LogLost, match="cannot rebuild, the log starts at 3 and the fold at 0"):
        stage.world.run(stage.start(replace(NO_SNAPSHOTS, on_change="rebuild")))


def test_a_rebuild_of_a_fold_that_began_at_the_end_begins_there_again() -> None:
    """With `topics.start = "latest"` the first outcome tells where that was."""
    stage = Stage(genesis=4)
    stage.send(events(4))
    latest = replace(NO_SNAPSHOTS, start="latest")
    first = stage.start(latest)
    stage.turns(first, until=lambda: 0 in stage.committed)
    stage.send(events(5, seed=1))
    stage.finish(first)
    stage.kill(first)
    stage.committed[0] = Committed(6, "")
    stage.auditor.operator_moved(0, stage.committed[0])
    stage.send(events(3, seed=2))

    stage.finish(stage.start(replace(latest, on_change="rebuild")))

    assert _offsets(stage) == list(range(4, 12))


def test_at_least_once_a_rebuild_after_a_tool_repeats_nothing_that_is_there() -> None:
    """What is whole is not given again; a crash's own repeats are another matter."""
    stage = ahead_stage()
    options = Options(may_repeat=True)
    stage.send(events(12))
    first = stage.start(options)
    stage.turns(first, until=lambda: 0 in stage.committed and stage.committed[0].offset == 12)
    stage.kill(first)
    stage.committed[0] = Committed(4, "")
    stage.send(events(2, seed=1))

    process = stage.start(replace(options, on_change="rebuild"))
    stage.turns(process, until=lambda: stage.committed[0].offset == 14)

    assert _offsets(stage) == list(range(14))


def test_at_least_once_an_outcome_that_a_crash_left_out_is_given() -> None:
    """Two topics at a time are durable in any order: the end is where the first one is missing."""
    stage = ahead_stage()
    options = Options(may_repeat=True)
    stage.send(events(12))
    first = stage.start(options)
    stage.turns(first, until=lambda: 0 in stage.committed and stage.committed[0].offset == 12)
    stage.kill(first)
    entries = stage.log(Channel.PREDICTIONS)._entries
    values = [b"" if record is None else record.value or b"" for record, _ in entries]
    at = next(n for n, value in enumerate(values) if b'"offset":9,' in value)
    entries[at] = (None, None)  # as if its batch had never arrived
    stage.committed[0] = Committed(4, "")

    process = stage.start(replace(options, on_change="rebuild"))
    stage.turns(process, until=lambda: stage.committed[0].offset == 12)

    assert set(_offsets(stage)) == set(range(12))
