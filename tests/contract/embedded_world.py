"""The embedded log under contract."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import ClassVar, Self
from unittest.mock import patch

import pytest

from stream.adapters.embedded import (
    EmbeddedFeed,
    EmbeddedLog,
    EmbeddedReader,
    EmbeddedSnapshots,
    EmbeddedTopics,
    tables,
)
from stream.adapters.embedded.database import Database
from stream.core.event import Channel, Output
from stream.errors import Retryable
from stream.ports import Log, SnapshotStore
from tests.contract.worlds import GROUP, Ability, Fate, Raw, SystemClock

NAMES = {channel: f"contract.{channel.value}" for channel in Channel}


class EmbeddedWorld:
    """One SQLite file in the test's folder."""

    unsupported: ClassVar[Mapping[Ability, str]] = {
        Ability.GROUPS: "one worker a file",
        Ability.INSTANCES: "one worker a file: of two, the younger one is refused",
        Ability.TRANSACTIONS: "a SQLite transaction shows nothing of itself before it commits",
        Ability.AT_LEAST_ONCE: "always exactly once",
    }
    marks: ClassVar[Sequence[pytest.MarkDecorator]] = ()
    deadline_s: ClassVar[float] = 60.0
    hearing_s: ClassVar[float] = 0.05

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = Database(path)
        self._clock = SystemClock()
        self._made: list[EmbeddedLog | EmbeddedReader | EmbeddedTopics | EmbeddedFeed] = []

    @classmethod
    def open(cls, request: pytest.FixtureRequest) -> Self:
        """See `World.open`."""
        return cls(request.getfixturevalue("tmp_path") / "log.sqlite")

    def close(self) -> None:
        """See `World.close`."""
        for client in self._made:
            client.close()
        self._database.close()

    def log(self, *, instance: str | None = None, exactly_once: bool = True) -> EmbeddedLog:  # noqa: ARG002
        """See `World.log`."""
        log = EmbeddedLog(self.path, names=NAMES, group=GROUP, clock=self._clock)
        self._made.append(log)
        return log

    def reader(self) -> EmbeddedReader:
        """See `World.reader`."""
        reader = EmbeddedReader(self.path, names=NAMES, group=GROUP, clock=self._clock)
        self._made.append(reader)
        return reader

    def topics(self) -> EmbeddedTopics:
        """See `World.topics`."""
        topics = EmbeddedTopics(self.path, names=NAMES)
        self._made.append(topics)
        return topics

    def feed(self, *, channel: Channel = Channel.EVENTS) -> EmbeddedFeed:
        """See `World.feed`."""
        feed = EmbeddedFeed(self.path, names=NAMES, clock=self._clock, channel=channel)
        self._made.append(feed)
        return feed

    def append(
        self,
        raws: Sequence[Raw],
        *,
        channel: Channel = Channel.EVENTS,
        partition: int = 0,
        fate: Fate = Fate.PLAIN,
    ) -> None:
        """See `World.append`."""
        assert fate is Fate.PLAIN
        with self._database.writing() as connection:
            tables.append(
                connection,
                NAMES,
                [
                    Output(channel, partition, raw.timestamp_ms, raw.key, raw.value, raw.headers)
                    for raw in raws
                ],
            )

    def delete_before(self, channel: Channel, partition: int, offset: int) -> None:
        """See `World.delete_before`."""
        with self._database.writing() as connection:
            tables.truncate(connection, tables.place(connection, NAMES[channel], partition), offset)

    def kill(self, log: Log) -> None:
        """See `World.kill`: the kernel closes the files of a dead process."""
        log.close()

    def expire(self, log: Log) -> None:
        """See `World.expire`: there is no session."""
        raise NotImplementedError(Ability.GROUPS)

    @contextmanager
    def spoiled(self, log: Log) -> Iterator[None]:
        """See `World.spoiled`."""
        assert isinstance(log, EmbeddedLog)
        other = sqlite3.connect(self.path)
        other.execute(
            "CREATE TRIGGER spoiled BEFORE INSERT ON committed"
            " BEGIN SELECT RAISE(ABORT, 'spoiled'); END"
        )
        yield
        other.execute("DROP TRIGGER spoiled")
        other.close()

    @contextmanager
    def troubled(self, log: Log) -> Iterator[None]:  # noqa: ARG002
        """See `World.troubled`: the file is busy at every third look into it."""
        real, looks_n = Database.reading, count(1)

        @contextmanager
        def busy(database: Database) -> Iterator[sqlite3.Connection]:
            if next(looks_n) % 3 == 0:
                raise Retryable("database is locked")
            with real(database) as connection:
                yield connection

        with patch.object(Database, "reading", busy):
            yield


class EmbeddedStoreWorld:
    """Snapshots in one SQLite file in the test's folder."""

    marks: ClassVar[Sequence[pytest.MarkDecorator]] = ()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made: list[EmbeddedSnapshots] = []

    @classmethod
    def open(cls, request: pytest.FixtureRequest) -> Self:
        """See `StoreWorld.open`."""
        return cls(request.getfixturevalue("tmp_path") / "log.sqlite")

    def close(self) -> None:
        """See `StoreWorld.close`."""
        for store in self._made:
            store.close()

    def store(self, pipeline: str) -> SnapshotStore:
        """See `StoreWorld.store`."""
        store = EmbeddedSnapshots(self._path, pipeline=pipeline, clock=SystemClock())
        self._made.append(store)
        return store
