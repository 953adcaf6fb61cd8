"""The SQLite file: its schema, its settings, and its errors in our words."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from stream.errors import BadInput, Internal, Misconfigured, Retryable, StreamError

APPLICATION_ID: Final = 0x7374_666C  # "stfl" in the file's header: `file` and we know our own
SCHEMA_VERSION: Final = 4
_NOWHERE: Final = Path(":memory:")
BUSY_TIMEOUT_S: Final = 5.0  # a writer holds the file for milliseconds; a stopped one for longer
OPEN_AGAIN_S: Final = 0.01  # SQLite's own wait doesn't cover the change to a journal
PAGE_BYTES: Final = 16_384  # events of 200 bytes: fewer pages to journal than with 4096
WAL_PAGES: Final = 2_000  # 32 MiB between two checkpoints: each costs an fsync more

_SNAPSHOTS: Final = """
CREATE TABLE snapshots (
    pipeline TEXT NOT NULL,
    partition INTEGER NOT NULL,
    n INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    saved_at_ms INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    topic_id TEXT NOT NULL,
    PRIMARY KEY (pipeline, partition, n)
);
"""

_COMMITTED: Final = """
CREATE TABLE committed (
    pipeline TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    PRIMARY KEY (pipeline, topic, partition)
) WITHOUT ROWID;
"""

SCHEMA: Final = f"""
CREATE TABLE topics (
    name TEXT PRIMARY KEY,
    topic_id TEXT NOT NULL,
    retention_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE partitions (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL REFERENCES topics,
    number INTEGER NOT NULL,
    start_offset INTEGER NOT NULL DEFAULT 0,
    end_offset INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, number)
);

-- position = partition id * 2^40 + offset: the row id is the only index, and a range is one scan.
CREATE TABLE records (
    position INTEGER PRIMARY KEY,
    timestamp_ms INTEGER NOT NULL,
    key BLOB,
    value BLOB,
    headers BLOB
);

{_COMMITTED}

{_SNAPSHOTS}

PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""

_UNKNOWN_TOPIC: Final = f"""
ALTER TABLE committed RENAME TO committed_of_any;
{_COMMITTED}
INSERT INTO committed SELECT pipeline, '', partition, next_offset, metadata FROM committed_of_any;
DROP TABLE committed_of_any;
PRAGMA user_version = {SCHEMA_VERSION};
"""  # noqa: S608  # of our own words

_UNKNOWN_STEPS: Final = f"""
DROP TABLE snapshots;
{_SNAPSHOTS}
{_UNKNOWN_TOPIC}
"""

MIGRATIONS: Final = {1: _UNKNOWN_STEPS, 2: _UNKNOWN_STEPS, 3: _UNKNOWN_TOPIC}
"""What brings the file of an older version up to date: the snapshots of 1 and 2 did not tell their
step, nor committed offsets up to 3 their topic ("": of whichever the pipeline reads)."""

# By SQLite's primary result code: who must act, and what to do. Anything else is our own failure.
_MEANINGS: Final[dict[int, tuple[type[StreamError], str]]] = {
    sqlite3.SQLITE_BUSY: (Retryable, "another process holds the file"),
    sqlite3.SQLITE_LOCKED: (Retryable, "another process holds the file"),
    sqlite3.SQLITE_FULL: (Retryable, "the disk is full; free some space"),
    sqlite3.SQLITE_CANTOPEN: (Misconfigured, "cannot be opened; make its folder, or permit it"),
    sqlite3.SQLITE_PERM: (Misconfigured, "not permitted; change its owner or mode"),
    sqlite3.SQLITE_AUTH: (Misconfigured, "not permitted; change its owner or mode"),
    sqlite3.SQLITE_READONLY: (Misconfigured, "not writable; change its owner or mode"),
    sqlite3.SQLITE_NOTADB: (Misconfigured, "no database; name another file in kafka.path"),
    sqlite3.SQLITE_CORRUPT: (BadInput, "damaged; restore a copy, or move it away to begin anew"),
}


class Database:
    """One connection to the file, opened at first use and made at the first write.

    Before that whoever reads finds it empty: to look at a pipeline leaves no file behind.

    Args:
        path: the file; its folder must exist and lie on a local disk (the journal is mapped).
        busy_timeout_s: how long a call waits for another process's write.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection; several statements may see several states of the file.

        Raises: Retryable, Misconfigured, BadInput, Internal.
        """
        try:
            if self._connection is None and self._is_to_be_made():
                with closing(_opened(_NOWHERE, self._busy_timeout_s)) as empty:
                    yield empty
                return
            yield self._open()
        except sqlite3.Error as error:
            raise translated(error, self.path) from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Make the block one transaction: all or nothing, on the disk when the block ends.

        Raises: Retryable, Misconfigured, BadInput, Internal; then nothing was written.
        """
        try:
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                # Still in it: something was raised. SQLite may have rolled back by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise translated(error, self.path) from error

    def _is_to_be_made(self) -> bool:
        return not self.path.exists() and self.path.parent.is_dir()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _opened(self.path, self._busy_timeout_s)
        return self._connection

    def close(self) -> None:
        """Close the connection; it opens again when it is used again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def translated(error: sqlite3.Error, path: Path) -> StreamError:
    """Turn SQLite's errors into ours, which say who must act."""
    # Misuse of the module has no code. The low byte of an extended code is the primary one.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    kind, meaning = _MEANINGS.get(code, (Internal, "the database failed"))
    if path.is_dir():
        return Misconfigured(f"kafka.path: {path} is a folder; name a file in it")
    return kind(f"{path}: {meaning} ({error})")


def _opened(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """Connect to the file, and wait for another process that is making it at this moment.

    Two that turn a new file's journal to WAL at once would wait for each other: SQLite tells one
    of them so without waiting (https://sqlite.org/c3ref/busy_handler.html), and it begins again.
    """
    deadline_s = time.monotonic() + busy_timeout_s
    while True:
        try:
            return _connected(path, busy_timeout_s)
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() >= deadline_s:
                raise
            time.sleep(OPEN_AGAIN_S)


def _connected(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """Refuse another program's file, apply our settings and bring the schema up."""
    # Threads are the caller's business: one at a time, which a background saver may be.
    connection = sqlite3.connect(
        path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
    )
    try:
        # First of all: another program's database must not be touched.
        _version(connection, path)
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Make the schema, or bring it up to date; refuse what is not ours or from a newer version."""
    if _version(connection, path) == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    # Another process may have done it while we waited for the lock.
    version = _version(connection, path)
    if version != SCHEMA_VERSION:
        for statement in (MIGRATIONS[version] if version else SCHEMA).split(";"):
            connection.execute(statement)
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Read the schema's version; refuse a foreign database and one of a newer version of ours."""
    # One statement, so one state of the file: between two another process may have made it.
    version, application_id, tables_n = connection.execute(
        "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_schema)"
        " FROM pragma_user_version, pragma_application_id"
    ).fetchone()
    if application_id != APPLICATION_ID and (version or application_id or tables_n):
        raise Misconfigured(
            f"kafka.path: {path} is the database of another program; name another file"
        )
    if version > SCHEMA_VERSION:
        raise Misconfigured(
            f"kafka.path: {path} was made by a newer streamfold (schema {version}, ours is"
            f" {SCHEMA_VERSION}); upgrade this one"
        )
    return int(version)
