"""Committed offsets in the embedded file: by pipeline and topic, as Kafka keeps them."""

import sqlite3
from pathlib import Path

from stream.adapters.embedded import EmbeddedLog, EmbeddedReader, EmbeddedTopics
from stream.core.event import Channel
from tests.contract.embedded_world import NAMES
from tests.contract.worlds import GROUP, SystemClock, at


def test_offsets_belong_to_their_topic(tmp_path: Path) -> None:
    """As on Kafka: a pipeline that reads another topic begins there, and comes back to this one."""
    path, other = tmp_path / "log.sqlite", NAMES | {Channel.EVENTS: "another"}
    for names in (NAMES, other):
        topics = EmbeddedTopics(path, names=names)
        topics.create(Channel.EVENTS, partitions=1, retention_ms=-1)
    for names, offset in ((NAMES, 7), (other, 3)):
        log = EmbeddedLog(path, names=names, group=GROUP, clock=SystemClock())
        assert log.committed([0]) == {}
        log.commit([], {0: at(offset)})
        log.close()

    for names, offset in ((NAMES, 7), (other, 3)):
        reader = EmbeddedReader(path, names=names, group=GROUP, clock=SystemClock())
        assert reader.committed() == {0: at(offset)}


def test_offsets_of_an_earlier_version_stay(tmp_path: Path) -> None:
    """They told no topic; the first commit does."""
    path = tmp_path / "log.sqlite"
    EmbeddedTopics(path, names=NAMES).create(Channel.EVENTS, partitions=2, retention_ms=-1)
    with sqlite3.connect(path) as operator:
        operator.execute("DROP TABLE committed")
        operator.execute(
            "CREATE TABLE committed (pipeline TEXT, partition INTEGER, next_offset INTEGER,"
            " metadata TEXT, PRIMARY KEY (pipeline, partition)) WITHOUT ROWID"
        )
        operator.executemany(
            "INSERT INTO committed VALUES (?, ?, 5, ?)",
            [(*key, at(5).metadata) for key in ((GROUP, 0), (GROUP, 1), ("other", 0))],
        )
        operator.execute("PRAGMA user_version = 3")
    operator.close()

    log = EmbeddedLog(path, names=NAMES, group=GROUP, clock=SystemClock())
    assert log.committed([0, 1]) == {0: at(5), 1: at(5)}
    log.commit([], {0: at(6)})

    assert log.committed([0, 1]) == {0: at(6), 1: at(5)}
    log.close()
    left = EmbeddedReader(path, names=NAMES, group="other", clock=SystemClock()).committed()
    assert left == {0: at(5)}
