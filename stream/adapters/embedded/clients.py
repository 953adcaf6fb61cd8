"""The outsiders of the embedded log: reader, administrator, upstream; and the snapshots."""

import os
import secrets
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from stream.adapters.embedded import tables
from stream.adapters.embedded.database import Database
from stream.core.event import ALWAYS, Channel, Headers, Output, Record
from stream.core.snapshots.seal import START_BYTES_MAX
from stream.errors import Misconfigured
from stream.ports import Bounds, Clock, Committed, Measure, Operation, StoredSnapshot, TopicInfo

LOOK_INTERVAL_S: Final = 0.01  # between two looks of a reader that must wait
WAIT_S: Final = 0.5  # the longest a reader waits before it says so with an empty batch
BATCH_RECORDS_MAX: Final = 2_000
SNAPSHOT_BYTES_MAX: Final = 999_000_000  # SQLite's rows end at 10^9 bytes
QUEUE_RECORDS_MAX: Final = 2_000  # what a feed holds back to write at once


class EmbeddedReader:
    """The pipeline's topics as any outsider sees them (port `Reader`)."""

    def __init__(
        self, path: Path, *, names: Mapping[Channel, str], group: str, clock: Clock
    ) -> None:
        self._database = Database(path)
        self._names = names
        self._group = group
        self._clock = clock

    def bounds(self, channel: Channel, partition: int) -> Bounds:
        """See `Reader.bounds`."""
        with self._database.reading() as connection:
            place = tables.place(connection, self._names[channel], partition)
        return Bounds(place.start, place.end)

    def read(
        self, channel: Channel, partition: int, start: int, stop: int
    ) -> Iterator[Sequence[Record]]:
        """See `Reader.read`."""
        position = start
        while position < stop:
            batch = self._next(channel, partition, position, stop)
            yield batch
            position += len(batch)

    def committed(self) -> dict[int, Committed]:
        """See `Reader.committed`."""
        with self._database.reading() as connection:
            return tables.committed(connection, self._group, self._names[Channel.EVENTS])

    def close(self) -> None:
        """See `Reader.close`."""
        self._database.close()

    def _next(self, channel: Channel, partition: int, start: int, stop: int) -> list[Record]:
        """Fetch the next batch of a range, and wait a moment for a writer if there is none yet."""
        deadline_s = self._clock.monotonic() + WAIT_S
        while True:
            with self._database.reading() as connection:
                place = tables.place(connection, self._names[channel], partition)
                batch = tables.fetch(
                    connection, place, start=start, stop=stop, records_max=BATCH_RECORDS_MAX
                )
            if batch or self._clock.monotonic() >= deadline_s:
                return batch
            self._clock.sleep(LOOK_INTERVAL_S)


class EmbeddedTopics:
    """The pipeline's topics in the file (port `Topics`)."""

    def __init__(self, path: Path, *, names: Mapping[Channel, str]) -> None:
        self._database = Database(path)
        self._names = names

    def describe(self, channels: Collection[Channel] = ALWAYS) -> dict[Channel, TopicInfo | None]:
        """See `Topics.describe`."""
        with self._database.reading() as connection:
            return {
                channel: tables.describe(connection, self._names[channel]) for channel in channels
            }

    def members(self, *, but: str | None = None) -> int:  # noqa: ARG002
        """See `Topics.members`: who starts is the only one, for a lock holds all others off."""
        return 0

    def create(
        self,
        channel: Channel,
        *,
        partitions: int,
        retention_ms: int,
        record_bytes_max: int | None = None,  # noqa: ARG002  # it takes any record
        is_trial: bool = False,
    ) -> None:
        """See `Topics.create`."""
        if is_trial:
            return
        # Random, so that a topic of the same name in a new file is another topic.
        topic_id = secrets.token_hex(8)
        with self._database.writing() as connection:
            tables.create(
                connection,
                self._names[channel],
                topic_id=topic_id,
                partitions=partitions,
                retention_ms=retention_ms,
            )

    def widen(self, channel: Channel, *, partitions: int) -> None:
        """See `Topics.widen`."""
        with self._database.writing() as connection:
            tables.widen(connection, self._names[channel], partitions=partitions)

    def denied(self) -> list[str]:
        """Say what the file system does not permit."""
        path = self._database.path
        needed = [path.parent, path] if path.exists() else [path.parent]
        return [f"kafka.path: {p} is not writable" for p in needed if not os.access(p, os.W_OK)]

    def refused(self, wanted: Collection[tuple[Channel, Operation]]) -> list[str]:  # noqa: ARG002
        """Whoever may open the file may do anything."""
        return []

    def close(self) -> None:
        """See `Topics.close`."""
        self._database.close()


class EmbeddedFeed:
    """How an upstream appends records (port `Feed`): a full queue is written in one transaction."""

    def __init__(
        self,
        path: Path,
        *,
        names: Mapping[Channel, str],
        clock: Clock,
        channel: Channel = Channel.EVENTS,
    ) -> None:
        self._database = Database(path)
        self._names = names
        self._channel = channel
        self._clock = clock
        self._queue: list[Output] = []
        self._queued_n = 0
        self._acknowledged_n = 0
        self._partitions_n = 0

    def send(
        self,
        value: bytes,
        *,
        key: bytes | None,
        timestamp_ms: int | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> None:
        """See `Feed.send`: the key decides the partition; without one they take turns."""
        if len(self._queue) >= QUEUE_RECORDS_MAX:
            self._write()
        if partition is None:
            spread = self._queued_n if key is None else zlib.crc32(key)
            partition = spread % self._partitions()
        time_ms = self._clock.now_ms() if timestamp_ms is None else timestamp_ms
        self._queue.append(Output(self._channel, partition, time_ms, key, value, headers))
        self._queued_n += 1

    def _partitions(self) -> int:
        if not self._partitions_n:
            with self._database.reading() as connection:
                self._partitions_n = len(tables.places(connection, self._names[self._channel]))
        return self._partitions_n

    def flush(self, *, timeout_s: float) -> int:  # noqa: ARG002  # the busy timeout bounds it
        """See `Feed.flush`; after a Retryable the unwritten records are queued yet."""
        self._write()
        return self._acknowledged_n

    def close(self) -> None:
        """See `Feed.close`; what was not flushed is dropped."""
        self._queue.clear()
        self._database.close()

    def _write(self) -> None:
        if self._queue:
            with self._database.writing() as connection:
                tables.append(connection, self._names, self._queue)
            self._acknowledged_n += len(self._queue)
            self._queue.clear()


class EmbeddedSnapshots:
    """Snapshots in the same file (port `SnapshotStore`); one of them is at most 1 GB."""

    def __init__(self, path: Path, *, pipeline: str, clock: Clock) -> None:
        self._database = Database(path)
        self._pipeline = pipeline
        self._clock = clock

    def stored(self, partition: int) -> list[StoredSnapshot]:
        """See `SnapshotStore.stored`."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT n, next_offset, size_bytes, saved_at_ms, topic_id FROM snapshots"
                " WHERE pipeline = ? AND partition = ? ORDER BY n DESC",
                (self._pipeline, partition),
            )
            found = []
            for row in rows:
                told = dict(zip(StoredSnapshot.__struct_fields__, row, strict=True))
                with suppress(msgspec.ValidationError):  # a damaged file holds anything
                    found.append(msgspec.convert(told, StoredSnapshot))
            return found

    def load(self, partition: int, n: int, measure: Measure) -> bytes | None:
        """See `SnapshotStore.load`."""
        start = self._piece(partition, n, START_BYTES_MAX)
        if start is None:
            return None
        size_bytes = measure(start)
        sealed = self._piece(partition, n, max(0, size_bytes + 1))
        return sealed if sealed is not None and len(sealed) == size_bytes else None

    def _piece(self, partition: int, n: int, size_bytes: int) -> bytes | None:
        """The first bytes of a snapshot, at most so many."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT substr(sealed, 1, ?) FROM snapshots WHERE typeof(sealed) = 'blob'"
                " AND pipeline = ? AND partition = ? AND n = ?",
                (min(size_bytes, SNAPSHOT_BYTES_MAX), self._pipeline, partition, n),
            ).fetchone()
        return None if row is None else bytes(row[0] or b"")

    def save(
        self, partition: int, n: int, sealed: bytes, *, next_offset: int, topic_id: str = ""
    ) -> None:
        """See `SnapshotStore.save`."""
        if len(sealed) > SNAPSHOT_BYTES_MAX:
            raise Misconfigured(
                f"kafka.path: a snapshot of {len(sealed)} bytes is over SQLite's"
                f" {SNAPSHOT_BYTES_MAX}; a model of that size needs kafka and redis"
            )
        key = (self._pipeline, partition, n)
        with self._database.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO snapshots"
                " (pipeline, partition, n, next_offset, saved_at_ms, size_bytes, sealed, topic_id)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*key, next_offset, self._clock.now_ms(), len(sealed), sealed, topic_id),
            )

    def remove(self, partition: int, n: int) -> None:
        """See `SnapshotStore.remove`."""
        with self._database.writing() as connection:
            connection.execute(
                "DELETE FROM snapshots WHERE pipeline = ? AND partition = ? AND n = ?",
                (self._pipeline, partition, n),
            )

    def close(self) -> None:
        """See `SnapshotStore.close`."""
        self._database.close()
