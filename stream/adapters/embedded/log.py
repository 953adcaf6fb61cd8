"""The worker's side of the embedded log."""

import fcntl
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from stream.adapters.embedded import tables
from stream.adapters.embedded.database import Database
from stream.adapters.embedded.tables import Place
from stream.core.event import Channel, Output, Record
from stream.errors import CommitLost, Fenced, Internal, LogLost, Misconfigured, Retryable
from stream.ports import Clock, Committed, Polled

LOOK_INTERVAL_S: Final = 0.01  # while idle: 20 microseconds of work each, 0.2 % of a core
RETENTION_INTERVAL_S: Final = 60.0
RETENTION_RECORDS_MAX: Final = 20_000  # of a partition, in one go: tens of milliseconds


class EmbeddedLog:
    """The one worker of a pipeline in this file (port `Log`).

    It owns every partition from its first poll on. A commit is always exactly once: here the
    weaker guarantee would cost the same. While it runs it also applies the topics' retention.

    Args:
        path: the SQLite file.
        names: the topic of each channel.
        group: the pipeline's name; offsets and the lock file `PATH.GROUP.lock` go by it.
        clock: waits in `poll`, and judges the age of records.
    """

    def __init__(
        self, path: Path, *, names: Mapping[Channel, str], group: str, clock: Clock
    ) -> None:
        self._database = Database(path)
        self._names = names
        self._group = group
        self._clock = clock
        self._lock: int | None = None
        self._owned: frozenset[int] = frozenset()
        self._positions: dict[int, int] = {}
        self._turn = 0
        self._retain_at_s = clock.monotonic()

    def poll(self, *, timeout_s: float, records_max: int) -> Polled:
        """See `Log.poll`; raises LogLost where retention overtook the worker."""
        self._take_lock()
        self._retain()
        deadline_s = self._clock.monotonic() + timeout_s
        while True:
            with self._database.reading() as connection:
                partitions = tables.places(connection, self._names[Channel.EVENTS])
            found = self._fetch(partitions, records_max)
            # Only now, when nothing can fail any more: what is told is told once.
            for partition, batch in found.items():
                self._positions[partition] += len(batch)
            assigned = frozenset(range(len(partitions))) - self._owned
            self._owned |= assigned
            left_s = deadline_s - self._clock.monotonic()
            if found or assigned or left_s <= 0:
                return Polled(found, assigned=assigned)
            self._clock.sleep(min(LOOK_INTERVAL_S, left_s))

    def seek(self, partition: int, offset: int) -> None:
        """See `Log.seek`."""
        if partition not in self._owned:
            raise Internal(f"seek on partition {partition}, which is not assigned")
        self._positions[partition] = offset

    def pause(self, partition: int) -> None:
        """See `Log.pause`."""
        if partition not in self._owned:
            raise Internal(f"pause of partition {partition}, which is not assigned")
        self._positions.pop(partition, None)

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """See `Log.commit`."""
        self._take_lock()
        try:
            with self._database.writing() as connection:
                tables.append(connection, self._names, outputs)
                tables.commit_offsets(connection, self._group, self._names[Channel.EVENTS], offsets)
                for partition, each in offsets.items():
                    for channel, offset in each.others.items():
                        moved = {partition: Committed(offset, "")}
                        tables.commit_offsets(connection, self._group, self._names[channel], moved)
        except Retryable as error:
            raise CommitLost(f"the commit failed: {error}") from error

    def committed(self, partitions: Collection[int]) -> dict[int, Committed]:
        """See `Log.committed`."""
        self._take_lock()
        with self._database.reading() as connection:
            found = tables.committed(connection, self._group, self._names[Channel.EVENTS])
        return {p: found[p] for p in sorted(partitions) if p in found}

    def close(self) -> None:
        """See `Log.close`."""
        self._database.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self._owned = frozenset()
        self._positions.clear()

    def _take_lock(self) -> None:
        """Become the one worker of this pipeline and file, for as long as the process lives."""
        if self._lock is not None:
            return
        path = f"{self._database.path}.{self._group}.lock"
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise Misconfigured(
                f"kafka.path: {path} cannot be made; make its folder, or permit it ({error})"
            ) from error
        try:
            # The kernel frees it when the process ends, whatever ended it.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise Fenced(
                f"another worker of pipeline {self._group!r} runs on {self._database.path};"
                " the embedded log serves one at a time"
            ) from error
        self._lock = lock

    def _fetch(self, partitions: Sequence[Place], records_max: int) -> dict[int, Sequence[Record]]:
        """Up to `records_max` records; each poll begins with another partition."""
        found: dict[int, Sequence[Record]] = {}
        sought = [place for place in partitions if place.number in self._positions]
        self._turn = (self._turn + 1) % max(1, len(sought))
        for place in sought[self._turn :] + sought[: self._turn]:
            position = self._positions[place.number]
            if position == place.end or not records_max:
                continue
            if position > place.end:
                raise LogLost(
                    f"{self._names[Channel.EVENTS]!r} partition {place.number} ends at offset"
                    f" {place.end}; {position} was never in this file"
                )
            with self._database.reading() as connection:
                batch = tables.fetch(
                    connection, place, start=position, stop=place.end, records_max=records_max
                )
            if batch:
                found[place.number] = batch
                records_max -= len(batch)
        return found

    def _retain(self) -> None:
        """Drop expired records, now and then, in small steps."""
        if self._clock.monotonic() < self._retain_at_s:
            return
        self._retain_at_s = self._clock.monotonic() + RETENTION_INTERVAL_S
        with self._database.writing() as connection:
            for topic, retention_ms in tables.retentions(connection, self._names.values()):
                before_ms = self._clock.now_ms() - retention_ms
                for place in tables.places(connection, topic):
                    before = tables.expired(
                        connection, place, before_ms=before_ms, records_max=RETENTION_RECORDS_MAX
                    )
                    tables.truncate(connection, place, before)
