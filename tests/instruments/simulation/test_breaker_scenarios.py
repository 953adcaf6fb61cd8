"""The breaker on quarantine: a flood of refusals pauses its partition, and nothing else."""

from dataclasses import replace
from itertools import count
from typing import NoReturn

import pytest

from stream.core.event import Channel, Reason
from stream.core.snapshots.metadata import parse_metadata
from stream.errors import BadInput, Retryable
from stream.runtime.breaker import NEVER, Limit
from stream.telemetry import LogEvent, Metric
from tests.instruments.simulation.faults import Crash
from tests.instruments.simulation.stage import Stage, commanded, said
from tests.instruments.simulation.workload import Fact, event, events
from tests.instruments.simulation.world import Options, Process

LIMIT = Limit(window=10, share=0.5)
OPTIONS = Options(limit=LIMIT)
UNTIL_END = Options(limit=LIMIT, until_end=True)


def _junk(n: int) -> list[Fact]:
    return [Fact(b"oops", Reason.NOT_JSON)] * n


def _is_paused(stage: Stage, partition: int = 0) -> bool:
    committed = stage.committed.get(partition)
    known = None if committed is None else parse_metadata(committed.metadata)
    return known is not None and known.is_paused


def _for_a_while(stage: Stage, process: Process) -> None:
    for _ in range(50):
        stage.turn(process)


def _flooded(n: int = 30, options: Options = OPTIONS) -> tuple[Stage, Process]:
    """Twenty good events, then a flood, at which a worker paused."""
    stage = Stage()
    stage.send([*events(20), *_junk(n)])
    process = stage.start(options)
    stage.turns(process, until=lambda: _is_paused(stage))
    return stage, process


def test_a_flood_pauses_its_partition_before_all_of_it_is_consumed() -> None:
    """Six refusals of ten records are one too many; the record that was it is the last."""
    stage, process = _flooded()

    _for_a_while(stage, process)

    assert stage.committed[0].offset == 26
    assert 0 not in process.log._positions  # nor is it read for nothing
    assert len(stage.published(Channel.QUARANTINE)) == 6
    assert process.telemetry.counters[Metric.PAUSED] == 1


def test_the_pause_is_said_once_and_says_how_to_go_on() -> None:
    """One loud line, after the commit that it speaks of."""
    stage, process = _flooded()

    _for_a_while(stage, process)

    (fields,) = said(process, LogEvent.PARTITION_PAUSED)
    assert (fields["partition"], fields["next_offset"]) == (0, 26)
    assert fields["why"] == "6 of the last 10 records refused (6 not_json)"
    assert "restart the worker" in str(fields["then"])


def test_other_partitions_go_on_and_new_records_of_the_paused_one_wait() -> None:
    """Whether they came in the same poll or later."""
    stage = Stage(partitions_n=2)
    stage.send(_junk(30))
    stage.send(events(5), partition=1)
    process = stage.start(OPTIONS)
    stage.turns(process, until=lambda: _is_paused(stage))

    stage.send(events(5, seed=1))
    stage.send(events(20, seed=2), partition=1)
    _for_a_while(stage, process)

    assert stage.committed[0].offset == 6
    assert stage.committed[1].offset == 25


def test_commands_are_no_records_to_the_breaker() -> None:
    """One before each record of a flood: it is paused at the same record."""
    stage, process = commanded(20, replace(OPTIONS, is_commanded=True, commit_interval_s=0.0))

    for _ in range(6):
        assert not _is_paused(stage)
        stage.world.commands.send("unfreeze", "unfreeze")
        stage.answer(process)
        stage.send(_junk(1))
        stage.finish(process)

    assert _is_paused(stage)


def test_ordinary_dirt_never_pauses() -> None:
    """Half of the records may be refused, for ever; it takes more."""
    stage = Stage()
    for seed in range(20):
        stage.send([*events(5, seed=seed), *_junk(5)])

    stage.finish(stage.start(OPTIONS))

    assert stage.committed[0].offset == 200


@pytest.mark.parametrize("facts", [_junk(40), [event(label=True, x=0.1, bomb="learn")] * 40])
def test_with_a_share_of_one_nothing_ever_pauses(facts: list[Fact]) -> None:
    """All may be refused: whatever the reason."""
    stage = Stage()
    stage.send(facts)

    stage.finish(stage.start(Options(limit=Limit(window=10, share=1.0))))

    assert len(stage.published(Channel.QUARANTINE)) == 40


def test_what_a_model_raises_on_counts_too() -> None:
    """A model's bug is as much a flood as junk."""
    stage = Stage()
    stage.send([event(label=True, x=0.1, bomb="learn")] * 40)
    process = stage.start(OPTIONS)

    stage.turns(process, until=lambda: _is_paused(stage))

    assert stage.committed[0].offset == 6
    (fields,) = said(process, LogEvent.PARTITION_PAUSED)
    assert "6 model_error" in str(fields["why"])


def test_restarts_consume_nothing_while_the_flood_goes_on() -> None:
    """However often a supervisor restarts: the next records are only rehearsed, and it is said."""
    stage, process = _flooded()
    for _ in range(3):
        stage.kill(process)
        process = stage.start(OPTIONS)
        stage.turns(process, until=lambda p=process: bool(said(p, LogEvent.PARTITION_PAUSED)))  # type: ignore[misc]
        _for_a_while(stage, process)

        assert stage.committed[0].offset == 26
        (fields,) = said(process, LogEvent.PARTITION_PAUSED)
        assert fields["why"] == "10 of the next 10 records would be refused again"


def test_a_restart_goes_on_when_the_next_records_are_good() -> None:
    """With the cause mended upstream: what junk is left is within the limit."""
    stage, process = _flooded(8)
    stage.send(events(20, seed=1))
    _for_a_while(stage, process)
    assert stage.committed[0].offset == 26  # not by itself: somebody has to look
    stage.kill(process)

    second = stage.start(OPTIONS)
    stage.finish(second)

    assert said(second, LogEvent.PARTITION_RESUMED)
    assert not _is_paused(stage)
    assert len(stage.published(Channel.QUARANTINE)) == 8


def test_a_restart_with_nothing_ahead_goes_on_and_is_paused_no_more() -> None:
    """There is nothing to judge by; the next flood pauses again."""
    stage, process = _flooded(6)
    stage.kill(process)
    second = stage.start(OPTIONS)
    stage.turns(second, until=lambda: not _is_paused(stage))

    stage.send(_junk(20))
    stage.turns(second, until=lambda: _is_paused(stage))

    assert stage.committed[0].offset == 32


def test_a_restart_with_a_share_of_one_lets_the_flood_into_the_quarantine() -> None:
    """The operator's decision: nothing is skipped, each has its outcome."""
    stage, process = _flooded()
    stage.kill(process)

    stage.finish(stage.start(Options(limit=NEVER)))

    assert not _is_paused(stage)
    assert len(stage.published(Channel.QUARANTINE)) == 30


def test_until_end_does_not_wait_for_what_is_paused() -> None:
    """The job ends with bad input (65), after all others are done and everything is committed."""
    stage = Stage(partitions_n=2)
    stage.send(_junk(30))
    stage.send(events(40), partition=1)

    for _ in range(2):
        process = stage.start(UNTIL_END)
        with pytest.raises(BadInput, match="partition 0 at offset 6"):
            stage.world.run(process)
        stage.kill(process)

    assert (stage.committed[0].offset, stage.committed[1].offset) == (6, 40)
    assert len(stage.published(Channel.QUARANTINE)) == 6


def test_until_end_is_done_when_the_pause_came_with_the_last_record() -> None:
    """Everything is committed: that is what was asked for."""
    stage = Stage()
    stage.send(_junk(6))

    stage.world.run(stage.start(UNTIL_END))

    assert stage.committed[0].offset == 6


def test_a_paused_partition_stays_paused_while_commits_are_in_doubt() -> None:
    """Another partition's lost commit brings its state back to life, and not its records."""
    stage = Stage(partitions_n=2)
    stage.send(_junk(30))
    process = stage.start(OPTIONS)
    stage.turns(process, until=lambda: _is_paused(stage))
    failed = [0]

    def fail(step: str) -> None:
        if step == "end:before" and not failed[0]:
            failed[0] += 1
            raise Retryable("away")

    stage.world.faults = fail
    stage.send(events(5), partition=1)
    stage.turns(process, until=lambda: 1 in stage.committed and stage.committed[1].offset == 5)
    _for_a_while(stage, process)

    assert failed == [1]
    assert 0 not in process.log._positions  # or it would read the flood for nothing
    assert stage.committed[0].offset == 6
    assert len(said(process, LogEvent.PARTITION_PAUSED)) == 1


def test_a_rehearsal_that_fails_is_tried_again() -> None:
    """The log was away for a while: the decision only comes later."""
    stage, process = _flooded(8)
    stage.send(events(20, seed=1))
    stage.kill(process)
    left = [4]

    def fail(step: str) -> None:
        if step in ("read", "bounds") and left[0]:
            left[0] -= 1
            raise Retryable("away")

    stage.world.faults = fail
    stage.finish(stage.start(OPTIONS))

    assert left == [0]


def test_a_rehearsal_that_fails_on_its_way_is_tried_again() -> None:
    """Its restore went well, and the log was away just then: it was left paused, and unsaid."""
    stage, process = _flooded(8)
    stage.send(events(20, seed=1))
    stage.kill(process)
    second, left = stage.start(OPTIONS), [1]

    def fail(step: str) -> None:
        if step == "bounds" and left[0] and said(second, LogEvent.TASK_RESTORED):
            left[0] -= 1
            raise Retryable("away")

    stage.world.faults = fail
    stage.finish(second)

    assert left == [0]
    assert said(second, LogEvent.PARTITION_RESUMED)


@pytest.mark.parametrize("fault", ["crash", "doubt"])
@pytest.mark.parametrize("step", ["send", "end:before", "end:after", "committed", "read"])
def test_whatever_fails_on_the_way_it_is_paused_at_the_same_record(fault: str, step: str) -> None:
    """Outputs are the plain loop's at every moment, and no restart consumes the flood."""

    def broken() -> NoReturn:
        raise Crash.at(step) if fault == "crash" else Retryable(step)

    for nth in count(1):
        stage = Stage()
        stage.send([*events(8), *_junk(40)])
        left = [nth]

        def fail(name: str, left: list[int] = left) -> None:
            left[0] -= name == step
            if name == step and not left[0]:
                broken()

        stage.world.faults = fail
        process = stage.start(Options(limit=LIMIT, commit_interval_s=0.0, fold_s_max=0.003))
        try:
            stage.turns(process, until=lambda s=stage: _is_paused(s))  # type: ignore[misc]
        except Crash:
            stage.kill(process)
            process = stage.start(OPTIONS)
            stage.turns(process, until=lambda s=stage: _is_paused(s))  # type: ignore[misc]
        _for_a_while(stage, process)

        # A crash forgets what was counted: then the window begins anew at the committed offset.
        assert 14 <= stage.committed[0].offset <= (14 if fault == "doubt" else 19)
        if left[0] > 0:
            break
    assert nth > 1 or step == "read"
