"""At least once: outputs do not wait for the commit of their offsets, in named situations."""

from dataclasses import replace
from typing import Any

from stream.core.event import Channel
from stream.runtime.worker import Worker
from tests.instruments.simulation.doubles import PositionedLog
from tests.instruments.simulation.stage import Stage
from tests.instruments.simulation.workload import events
from tests.instruments.simulation.world import Options, Parts

SELDOM = Options(commit_interval_s=1e6, may_repeat=True)


class _Log(PositionedLog):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "exactly_once": False})


class _Worker(Worker):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(
            *args, **{**kwargs, "commit_policy": replace(kwargs["commit_policy"], is_ahead=True)}
        )


def ahead_stage() -> Stage:
    """A stage whose workers send outputs ahead of their offsets."""
    stage = Stage(parts=Parts(worker=_Worker, log=_Log))
    stage.is_audited = False  # the auditor takes a repeat for a mistake
    return stage


def test_outputs_are_visible_long_before_their_offsets_are_committed() -> None:
    """The commit's interval bounds what comes again, not how late an output is."""
    stage = ahead_stage()
    stage.send(events(3))
    process = stage.start(SELDOM)

    stage.turns(process, until=lambda: len(stage.published(Channel.PREDICTIONS)) == 3)

    assert stage.committed[0].offset == 0


def test_after_a_crash_they_come_again_to_the_last_bit() -> None:
    """Every one, in the same order."""
    stage = ahead_stage()
    stage.send(events(3))
    first = stage.start(SELDOM)
    stage.turns(first, until=lambda: len(stage.published(Channel.PREDICTIONS)) == 3)
    stage.kill(first)

    second = stage.start(Options(may_repeat=True))
    stage.turns(second, until=lambda: stage.committed[0].offset == 3)

    values = [record.value for record in stage.published(Channel.PREDICTIONS)]
    assert values[:3] == values[3:]


def test_a_drain_commits_what_was_published() -> None:
    """So a clean end repeats nothing."""
    stage = ahead_stage()
    stage.send(events(3))
    process = stage.start(SELDOM)
    stage.turns(process, until=lambda: len(stage.published(Channel.PREDICTIONS)) == 3)

    process.stopping.set()
    stage.world.run(process)

    assert stage.committed[0].offset == 3
    assert len(stage.published(Channel.PREDICTIONS)) == 3
