"""The group's offsets are gone: deleted, or expired while the pipeline stood still for a week."""

import re

import pytest

from stream.core.event import Channel
from stream.errors import LogLost
from stream.ports import Committed
from tests.instruments.simulation.stage import NO_SNAPSHOTS, SNAPSHOTS, Stage, done
from tests.instruments.simulation.workload import events
from tests.instruments.simulation.world import Options


@pytest.mark.parametrize("options", [SNAPSHOTS, NO_SNAPSHOTS])
def test_a_fold_does_not_begin_again_when_its_offset_is_lost(options: Options) -> None:
    """Everything would have a second outcome, and nobody would have been asked."""
    stage = done(options)
    stage.send(events(3, seed=1))
    stage.committed.clear()

    with pytest.raises(LogLost, match="no offset is committed, yet there are outcomes"):
        stage.world.run(stage.start(options))

    assert len(stage.published(Channel.PREDICTIONS)) == 12
    assert not stage.committed


def test_the_way_on_that_a_lost_offset_is_told_with_works() -> None:
    """With the offset that it names, and a rebuild, it goes on as if nothing had happened."""
    stage = done(NO_SNAPSHOTS)
    stage.send(events(3, seed=1))
    stage.committed.clear()
    refused = stage.start()
    with pytest.raises(LogLost) as raised:
        stage.world.run(refused)
    stage.kill(refused)
    (told,) = re.findall(r"to (\d+) and", str(raised.value))
    stage.committed[0] = Committed(int(told), "")
    stage.auditor.operator_set(0, stage.committed[0])

    stage.finish(stage.start(Options(on_change="rebuild")))

    assert len(stage.published(Channel.PREDICTIONS)) == 15


def test_a_fold_without_an_outcome_begins_where_it_should() -> None:
    """An offset that was committed before any event came is no loss."""
    stage = Stage()
    process = stage.start()
    stage.turns(process, until=lambda: 0 in stage.committed)
    stage.kill(process)
    stage.committed.clear()
    stage.send(events(3))

    stage.finish(stage.start())
