"""A commit that is refused for an offset that only tools look at is made again without it."""

import pytest

from stream.core.event import Channel, Record
from stream.errors import CommitLost, Misconfigured
from stream.runtime.beside import KEPT_BACK_S, Beside
from stream.runtime.breaker import NEVER, Breaker
from stream.runtime.commanding import nothing
from stream.runtime.life import Lives
from stream.runtime.watchdog import without_deadline
from tests.runtime.snapshotting import Snapshots
from tests.runtime.surroundings import folded

LABEL = Record(0, 7, 0, None, b'{"id": "a", "label": true}')


def beside(around: Snapshots) -> Beside:
    """Of a worker in this world."""
    sources = around.sources()
    return Beside(
        None, None, lives=Lives(), results=[], log=around.watched, breaker=Breaker(NEVER, sources),
        snapshotter=around.snapshotter, sources=sources, ready=nothing,
        deadlined=without_deadline,
    )  # fmt: skip


def test_whoever_may_not_read_a_topic_any_more_commits_without_its_offset() -> None:
    """It was the end of the worker: READ of the labels had been taken between fold and commit."""
    around = Snapshots()
    under, task = beside(around), folded()
    denied = Misconfigured("kafka: committing: TOPIC_AUTHORIZATION_FAILED")

    def committed() -> dict[Channel, int]:
        under._uncommitted.pass_by(task, LABEL, Channel.LABELS)
        offsets, _ = under.to_commit({0: task})
        return dict(offsets[0].others)

    assert committed() == {Channel.LABELS: 8}
    offsets, _ = under.to_commit({0: task})
    with pytest.raises(CommitLost, match="TOPIC_AUTHORIZATION_FAILED"), under.committing(offsets):
        raise denied
    assert committed() == {}
    assert task.metadata().labels_topic.offset == 8  # what counts is there
    offsets, _ = under.to_commit({0: task})
    with pytest.raises(Misconfigured), under.committing(offsets):
        raise denied  # something else is wrong
    around.clock.sleep(KEPT_BACK_S + 1)
    assert committed() == {Channel.LABELS: 8}
