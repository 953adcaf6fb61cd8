"""What the embedded log adds to its port: one worker a file, other processes, sick files."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from stream.adapters.embedded import EmbeddedLog, EmbeddedReader, EmbeddedSnapshots, EmbeddedTopics
from stream.adapters.embedded.database import Database
from stream.core.event import Channel
from stream.errors import BadInput, CommitLost, Fenced, Misconfigured, Retryable
from stream.ports import Bounds
from tests.contract.embedded_world import NAMES, EmbeddedWorld
from tests.contract.worlds import (
    GROUP,
    Raw,
    SystemClock,
    at,
    create,
    output,
    settle,
    values,
    working,
)
from tests.patience import HELD_UP_S

WORKER = """
import sys
from pathlib import Path
from tests.contract.embedded_world import EmbeddedWorld
from tests.contract.worlds import at, output, working

member = working(EmbeddedWorld(Path(sys.argv[1])))
for n in range(int(sys.argv[2]), 10**9):
    member.log.commit([output(b"%d" % n)] * 3, {0: at(n + 1)})
    print(n, flush=True)
"""
UPSTREAM = """
import sys
from pathlib import Path
from tests.contract.embedded_world import EmbeddedWorld

feed = EmbeddedWorld(Path(sys.argv[1])).feed()
for n in range(500):
    feed.send(b"%d" % n, key=sys.argv[2].encode(), timestamp_ms=None)
    if n % 10 == 9:
        feed.flush(timeout_s=30)
"""


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedWorld]:
    """One file with topics of one partition."""
    embedded = EmbeddedWorld(tmp_path / "log.sqlite")
    create(embedded)
    yield embedded
    embedded.close()


def started(script: str, *args: str) -> subprocess.Popen[bytes]:
    """Another Python with the same modules."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, "-c", script, *args], stdout=subprocess.PIPE, env=environment
    )


def test_a_second_worker_is_fenced(embedded: EmbeddedWorld) -> None:
    """Two workers on one pipeline and file would fold everything twice: the second one stops."""
    first = working(embedded)

    with pytest.raises(Fenced):
        embedded.log().poll(timeout_s=0, records_max=1)
    with pytest.raises(Fenced):
        embedded.log().commit([output(b"never")], {0: at(9)})

    first.log.close()
    assert working(embedded).owned == {0}


def test_pipelines_share_a_file(embedded: EmbeddedWorld) -> None:
    """Another pipeline has its own lock and its own offsets."""
    working(embedded).log.commit([], {0: at(1)})
    other = EmbeddedLog(embedded.path, names=NAMES, group="other", clock=SystemClock())

    assert other.poll(timeout_s=1, records_max=1).assigned == {0}
    assert other.committed({0}) == {}

    other.close()


def test_a_killed_worker_leaves_whole_commits_and_no_lock(embedded: EmbeddedWorld) -> None:
    """After SIGKILL at any moment outputs and offset agree, and a successor starts at once."""
    reader = embedded.reader()
    for _ in range(3):
        committed = reader.committed()
        begin = committed[0].offset if committed else 0
        process = started(WORKER, str(embedded.path), str(begin))
        assert process.stdout is not None
        for _ in range(20):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()

        n = reader.committed()[0].offset
        assert n >= begin + 20
        expected = [b"%d" % k for k in range(n) for _ in range(3)]
        assert values(reader, Channel.PREDICTIONS) == expected

    assert working(embedded).owned == {0}


def test_upstreams_append_while_a_worker_works(embedded: EmbeddedWorld) -> None:
    """Several processes write to one file: nothing is lost, nothing is out of order."""
    upstreams = [started(UPSTREAM, str(embedded.path), key) for key in ("a", "b")]
    member = working(embedded)
    done = 0

    def work() -> bool:
        nonlocal done
        received = member.records[0]
        if len(received) > done:
            member.log.commit(
                [output(record.value) for record in received[done:]], {0: at(len(received))}
            )
            done = len(received)
        return done == 1000

    settle(work, member, deadline_s=60)

    assert [process.wait() for process in upstreams] == [0, 0]
    for process in upstreams:
        assert process.stdout is not None
        process.stdout.close()
    assert [record.offset for record in member.records[0]] == list(range(1000))
    for key in (b"a", b"b"):
        sent = [int(record.value or b"") for record in member.records[0] if record.key == key]
        assert sent == list(range(500))
    assert values(embedded.reader(), Channel.PREDICTIONS) == member.values()


def test_a_waiting_poll_sees_a_new_record_soon(embedded: EmbeddedWorld) -> None:
    """A poll wakes for a record of another connection long before its timeout."""
    member = working(embedded)
    process = started(UPSTREAM, str(embedded.path), "a")

    began_s = time.monotonic()
    polled = member.log.poll(timeout_s=240, records_max=10)

    assert polled.records[0]
    assert time.monotonic() - began_s < 120
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_poll_without_records_ends_in_time(embedded: EmbeddedWorld) -> None:
    """The timeout bounds the wait."""
    member = working(embedded)

    began_s = time.monotonic()
    member.log.poll(timeout_s=0.2, records_max=10)

    assert 0.2 <= time.monotonic() - began_s < 0.2 + HELD_UP_S


def test_a_locked_file_is_retryable(embedded: EmbeddedWorld) -> None:
    """Another process that holds the file too long costs a retry, and a commit its outcome."""
    member = working(embedded)
    assert isinstance(member.log, EmbeddedLog)
    member.log._database = Database(embedded.path, busy_timeout_s=0.1)
    other = sqlite3.connect(embedded.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(CommitLost):
        member.log.commit([output(b"p")], {0: at(1)})

    other.execute("ROLLBACK")
    other.close()
    member.log.commit([output(b"q")], {0: at(1)})
    assert values(embedded.reader(), Channel.PREDICTIONS) == [b"q"]


def test_a_full_disk_is_retryable_and_leaves_nothing(embedded: EmbeddedWorld) -> None:
    """A commit without room is lost whole; with room again the worker goes on."""
    member = working(embedded)
    assert isinstance(member.log, EmbeddedLog)
    with member.log._database.reading() as connection:
        (pages_n,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages_n}")

    with pytest.raises(CommitLost, match="disk is full"):
        member.log.commit([output(b"x" * 100_000)] * 10, {0: at(1)})

    assert member.log.committed({0}) == {}
    connection.execute("PRAGMA max_page_count = 1000000")
    member.log.commit([output(b"p")], {0: at(1)})
    assert values(embedded.reader(), Channel.PREDICTIONS) == [b"p"]


def not_a_database(path: Path) -> None:
    """A text file."""
    path.write_bytes(b"id,amount,label\n" * 1000)


def another_programs(path: Path) -> None:
    """A database with a table of someone else."""
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (a)")
    other.close()


def newer(path: Path) -> None:
    """Our file, as a later version of this program would leave it."""
    EmbeddedTopics(path, names=NAMES).create(Channel.EVENTS, partitions=1, retention_ms=-1)
    with sqlite3.connect(path) as later:
        later.execute("PRAGMA user_version = 99")
    later.close()


def in_no_folder(path: Path) -> None:
    """Nothing, not even the folder."""
    path.parent.rmdir()


@pytest.mark.parametrize("prepare", [not_a_database, another_programs, newer, in_no_folder])
def test_a_file_that_is_not_ours_is_misconfigured(
    tmp_path: Path, prepare: Callable[[Path], None]
) -> None:
    """A foreign, newer or impossible file is refused by every client, and left as it is."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "log.sqlite"
    prepare(path)
    before = path.read_bytes() if path.exists() else b""
    clock = SystemClock()

    with pytest.raises(Misconfigured):
        EmbeddedTopics(path, names=NAMES).describe()
    with pytest.raises(Misconfigured):
        EmbeddedReader(path, names=NAMES, group=GROUP, clock=clock).committed()
    with pytest.raises(Misconfigured):
        EmbeddedSnapshots(path, pipeline=GROUP, clock=clock).stored(0)
    with pytest.raises(Misconfigured):
        EmbeddedLog(path, names=NAMES, group=GROUP, clock=clock).poll(timeout_s=0, records_max=1)

    assert (path.read_bytes() if path.exists() else b"") == before


def test_a_damaged_file_is_bad_input(embedded: EmbeddedWorld) -> None:
    """A file with torn pages says so, and what to do; it does not read as an empty one."""
    embedded.append([Raw(b"x" * 1000)] * 1000)
    reader = embedded.reader()
    reader.bounds(Channel.EVENTS, 0)
    embedded.close()
    size_bytes = embedded.path.stat().st_size
    with embedded.path.open("r+b") as file:
        file.seek(16_384)
        file.write(b"\xff" * (size_bytes - 16_384))

    with pytest.raises(BadInput, match="damaged"):
        values(embedded.reader(), Channel.EVENTS)


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE snapshots SET size_bytes = -1 WHERE n = 2",
        "UPDATE snapshots SET size_bytes = 1e300 WHERE n = 2",
        "UPDATE snapshots SET saved_at_ms = 'text' WHERE n = 2",
        "UPDATE snapshots SET saved_at_ms = 9e18 WHERE n = 2",
        "UPDATE snapshots SET sealed = 'text' WHERE n = 2",
        "UPDATE snapshots SET sealed = 7 WHERE n = 2",
        "UPDATE snapshots SET next_offset = 'text' WHERE n = 2",
        "UPDATE snapshots SET next_offset = -2 WHERE n = 2",
        "UPDATE snapshots SET topic_id = printf('%5000c', 'x') WHERE n = 2",
        "UPDATE snapshots SET n = 'text' WHERE n = 2",
        "UPDATE snapshots SET n = -2 WHERE n = 2",
    ],
)
def test_a_row_that_is_no_snapshot_is_passed_over(tmp_path: Path, spoil: str) -> None:
    """SQLite holds any type in any column: what is not ours costs that one snapshot."""
    path = tmp_path / "log.sqlite"
    store = EmbeddedSnapshots(path, pipeline=GROUP, clock=SystemClock())
    store.save(0, 1, b"one", next_offset=1)
    store.save(0, 2, b"two", next_offset=2)
    with sqlite3.connect(path) as operator:
        operator.execute(spoil)
    operator.close()

    assert [s.n for s in store.stored(0) if s.n != 2] == [1]
    assert store.load(0, 2, len) in (None, b"two")
    assert store.load(0, 1, len) == b"one"
    store.save(0, 2, b"again", next_offset=2)
    assert store.load(0, 2, len) == b"again"


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path, version: int) -> None:
    """Its snapshots told no step, and are gone; its log stays."""
    path = tmp_path / "log.sqlite"
    EmbeddedTopics(path, names=NAMES).create(Channel.EVENTS, partitions=1, retention_ms=-1)
    with sqlite3.connect(path) as operator:
        operator.execute("DROP TABLE snapshots")
        operator.execute(
            "CREATE TABLE snapshots (pipeline TEXT, partition INTEGER, next_offset INTEGER,"
            " saved_at_ms INTEGER, size_bytes INTEGER, sealed BLOB)"
        )
        operator.execute("INSERT INTO snapshots VALUES (?, 0, 1, 0, 3, X'00')", (GROUP,))
        operator.execute(f"PRAGMA user_version = {version}")
    operator.close()

    store = EmbeddedSnapshots(path, pipeline=GROUP, clock=SystemClock())
    assert store.stored(0) == []
    store.save(0, 2, b"two", next_offset=7, topic_id="t")

    assert [(s.n, s.next_offset, s.topic_id) for s in store.stored(0)] == [(2, 7, "t")]
    assert EmbeddedTopics(path, names=NAMES).describe()[Channel.EVENTS] is not None


def test_retention_drops_the_old_prefix(tmp_path: Path) -> None:
    """Like Kafka's: records older than retention go, up to the first one that is young enough."""
    embedded = EmbeddedWorld(tmp_path / "log.sqlite")
    day_ms = 86_400_000
    topics = embedded.topics()
    topics.create(Channel.EVENTS, partitions=1, retention_ms=day_ms)
    topics.create(Channel.ALERTS, partitions=1, retention_ms=-1)
    now_ms = SystemClock().now_ms()
    ages_ms = [3 * day_ms, 2 * day_ms, 0, 5 * day_ms]
    aged = [Raw(b"%d" % n, timestamp_ms=now_ms - age_ms) for n, age_ms in enumerate(ages_ms)]
    embedded.append(aged)
    embedded.append(aged, channel=Channel.ALERTS)
    log = embedded.log()

    log.poll(timeout_s=0, records_max=1)

    reader = embedded.reader()
    assert reader.bounds(Channel.EVENTS, 0) == Bounds(2, 4)
    assert values(reader, Channel.EVENTS) == [b"2", b"3"]
    assert reader.bounds(Channel.ALERTS, 0) == Bounds(0, 4)
    embedded.close()


def test_what_the_file_system_forbids_is_told(tmp_path: Path) -> None:
    """`denied` names the path that cannot be written."""
    assert EmbeddedTopics(tmp_path / "log.sqlite", names=NAMES).denied() == []
    missing = tmp_path / "missing" / "log.sqlite"

    (line,) = EmbeddedTopics(missing, names=NAMES).denied()
    assert str(missing.parent) in line


def test_a_poll_that_fails_loses_neither_records_nor_partitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever in it the file is busy: what it had found comes with a later one, once."""
    world = EmbeddedWorld(tmp_path / "log.sqlite")
    create(world, partitions=3)
    for partition in range(3):
        world.append([Raw(b"%d" % n) for n in range(5)], partition=partition)
    real = Database.reading
    chance, failed = Random(1), []

    @contextmanager
    def busy_now_and_then(self: Database) -> Iterator[sqlite3.Connection]:
        if chance.random() < 0.3:
            failed.append(1)
            raise Retryable("database is locked")
        with real(self) as connection:
            yield connection

    log = world.log()
    monkeypatch.setattr(Database, "reading", busy_now_and_then)
    seen: list[tuple[int, bytes | None]] = []
    for _ in range(200):
        with suppress(Retryable):
            polled = log.poll(timeout_s=0.0, records_max=4)
            seen += [(r.partition, r.value) for batch in polled.records.values() for r in batch]
            for partition in polled.assigned:
                log.seek(partition, 0)
    monkeypatch.undo()
    world.close()

    assert sorted(seen) == [(p, b"%d" % n) for p in range(3) for n in range(5)]
    assert len(failed) > 10
