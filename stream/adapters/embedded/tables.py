"""Reading and writing the tables: what the log and its clients share; the hot path."""

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from operator import itemgetter
from typing import Final

import msgspec

from stream.core.event import Channel, Headers, Output, Record
from stream.errors import LogLost, Missing
from stream.ports import Committed, TopicInfo
from stream.topic_settings import Accepts

OFFSET_BITS: Final = 40  # 10^12 records a partition, 2^22 partitions a file

_headers_encoder: Final = msgspec.msgpack.Encoder()
_headers_decoder: Final = msgspec.msgpack.Decoder(Headers)

_SELECT = """
    SELECT position - ?, timestamp_ms, key, value, headers FROM records
    WHERE position >= ? AND position < ? ORDER BY position LIMIT ?
"""
_INSERT = "INSERT INTO records (position, timestamp_ms, key, value, headers) VALUES (?, ?, ?, ?, ?)"

Row = tuple[int, int, bytes | None, bytes | None, bytes | None]
_position = itemgetter(0)


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a partition's records are, and which of them there are: [start, end)."""

    number: int
    base: int
    start: int
    end: int


def places(connection: sqlite3.Connection, topic: str) -> list[Place]:
    """The places of a topic's partitions, in order. Raises: Missing: no such topic."""
    rows = connection.execute(
        "SELECT number, id << ?, start_offset, end_offset FROM partitions"
        " WHERE topic = ? ORDER BY number",
        (OFFSET_BITS, topic),
    ).fetchall()
    if not rows:
        raise Missing(f"topics: there is no topic {topic!r} in the file; create it")
    return [Place(*row) for row in rows]


def place(connection: sqlite3.Connection, topic: str, number: int) -> Place:
    """The place of one partition. Raises: Missing: no such topic or partition."""
    found = places(connection, topic)
    if not 0 <= number < len(found):
        raise Missing(
            f"topics: {topic!r} has {len(found)} partitions and none with the number {number};"
            " give every output topic as many as the events have"
        )
    return found[number]


def fetch(
    connection: sqlite3.Connection, where: Place, *, start: int, stop: int, records_max: int
) -> list[Record]:
    """Records with start <= offset < stop, the first `records_max` of them.

    Raises: LogLost: `start` is no longer there.
    """
    base, number = where.base, where.number
    rows = connection.execute(_SELECT, (base, base + start, base + stop, records_max))
    found = [
        Record(
            number,
            offset,
            timestamp_ms,
            key,
            value,
            _headers_decoder.decode(headers) if headers else (),
        )
        for offset, timestamp_ms, key, value, headers in rows
    ]
    # Offsets have no gaps here: a gap means that retention was faster than the reader.
    if start < where.start or (found and found[0].offset != start):
        raise LogLost(
            f"partition {number}: offset {start} is no longer in the log; its retention"
            " (topics.retention_ms) is too short"
        )
    return found


def append(
    connection: sqlite3.Connection, names: Mapping[Channel, str], outputs: Iterable[Output]
) -> None:
    """Add records at the ends of their partitions, inside the caller's transaction.

    Raises: Missing: no such topic or partition.
    """
    ends: dict[tuple[str, int], int] = {}
    rows: list[Row] = []
    for output in outputs:
        target = (output.channel.value, output.partition)
        position = ends.get(target)
        if position is None:
            where = place(connection, names[output.channel], output.partition)
            position = where.base + where.end
        ends[target] = position + 1
        headers = _headers_encoder.encode(output.headers) if output.headers else None
        rows.append((position, output.timestamp_ms, output.key, output.value, headers))
    rows.sort(key=_position)  # of one topic after the other: each at the end of the last one's
    connection.executemany(_INSERT, rows)
    mask = (1 << OFFSET_BITS) - 1
    connection.executemany(
        "UPDATE partitions SET end_offset = ? WHERE id = ?",
        [(position & mask, position >> OFFSET_BITS) for position in ends.values()],
    )


def create(
    connection: sqlite3.Connection, topic: str, *, topic_id: str, partitions: int, retention_ms: int
) -> None:
    """Make a topic, inside the caller's transaction; fine if it is there."""
    made = connection.execute(
        "INSERT OR IGNORE INTO topics (name, topic_id, retention_ms) VALUES (?, ?, ?)",
        (topic, topic_id, retention_ms),
    )
    if made.rowcount:
        connection.executemany(
            "INSERT INTO partitions (topic, number) VALUES (?, ?)",
            [(topic, number) for number in range(partitions)],
        )


def widen(connection: sqlite3.Connection, topic: str, *, partitions: int) -> None:
    """Give a topic more partitions, inside the caller's transaction; fine if it has as many.

    Raises: Missing: there is no such topic.
    """
    there = len(places(connection, topic))
    connection.executemany(
        "INSERT INTO partitions (topic, number) VALUES (?, ?)",
        [(topic, number) for number in range(there, partitions)],
    )


def describe(connection: sqlite3.Connection, topic: str) -> TopicInfo | None:
    """What is known of a topic; None if there is none."""
    row = connection.execute(
        "SELECT name, topic_id, (SELECT count(*) FROM partitions WHERE topic = name), retention_ms,"
        " 'delete' FROM topics WHERE name = ?",
        (topic,),
    ).fetchone()
    if row is None:
        return None
    name, topic_id, partitions, retention_ms, cleanup_policy = row
    return TopicInfo(
        name, topic_id, partitions, retention_ms=retention_ms, cleanup_policy=cleanup_policy,
        accepts=Accepts(),
    )  # fmt: skip


def retentions(connection: sqlite3.Connection, topics: Collection[str]) -> list[tuple[str, int]]:
    """Those of `topics` with a retention, and the retention in milliseconds."""
    rows = connection.execute("SELECT name, retention_ms FROM topics WHERE retention_ms >= 0")
    return [(name, retention_ms) for name, retention_ms in rows if name in topics]


def truncate(connection: sqlite3.Connection, where: Place, before: int) -> None:
    """Drop the records below an offset, inside the caller's transaction."""
    connection.execute(
        "DELETE FROM records WHERE position >= ? AND position < ?",
        (where.base + where.start, where.base + before),
    )
    connection.execute(
        "UPDATE partitions SET start_offset = ? WHERE id = ?",
        (before, where.base >> OFFSET_BITS),
    )


def expired(
    connection: sqlite3.Connection, where: Place, *, before_ms: int, records_max: int
) -> int:
    """The offset of the first record not older than `before_ms`, looking at `records_max` at most.

    Like Kafka, only a prefix of the log expires: an old record behind a young one stays.
    """
    stop = min(where.end, where.start + records_max)
    row = connection.execute(
        "SELECT position FROM records WHERE position >= ? AND position < ? AND timestamp_ms >= ?"
        " ORDER BY position LIMIT 1",
        (where.base + where.start, where.base + stop, before_ms),
    ).fetchone()
    return stop if row is None else int(row[0]) - where.base


def committed(connection: sqlite3.Connection, pipeline: str, topic: str) -> dict[int, Committed]:
    """The committed offsets of a pipeline on an events topic, by partition."""
    # A row without a topic is of an older version; one with it comes later, and counts.
    rows = connection.execute(
        "SELECT partition, next_offset, metadata FROM committed"
        " WHERE pipeline = ? AND topic IN ('', ?) ORDER BY partition, topic",
        (pipeline, topic),
    )
    return {partition: Committed(offset, metadata) for partition, offset, metadata in rows}


def commit_offsets(
    connection: sqlite3.Connection, pipeline: str, topic: str, offsets: Mapping[int, Committed]
) -> None:
    """Move committed offsets of an events topic, inside the caller's transaction."""
    connection.executemany(
        "DELETE FROM committed WHERE pipeline = ? AND topic = '' AND partition = ?",
        [(pipeline, number) for number in offsets],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO committed (pipeline, topic, partition, next_offset, metadata)"
        " VALUES (?, ?, ?, ?, ?)",
        [(pipeline, topic, number, c.offset, c.metadata) for number, c in offsets.items()],
    )
