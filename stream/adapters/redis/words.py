"""What stands in Redis, within its bounds; what redis-py makes of answers; and its errors."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import msgspec
import redis

from stream.adapters.redis.metered import TooMuchError
from stream.errors import BadInput, Misconfigured, NotReady, Retryable
from stream.ports import POSITION_MAX, Position, SavedAtMs, SizeBytes, TopicId

CHUNK_BYTES = 8 << 20
"""One command blocks Redis for all others; 512 MB is its limit for a value."""

CONNECT_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 5.0

BYTES_S = 2 << 20
"""At which a snapshot must at least come and go, beside the time for a call."""

UNFINISHED_S = 3_600
"""How long the chunks of an unfinished snapshot are kept; writing one takes seconds."""

INDEX_MAX = 1_000
MANIFEST_BYTES_MAX = 1_024
LOOK_BYTES_MAX = 2 << 20  # of an index and all its manifests
WORDS_BYTES = 4_096  # of what stands around an answer, and of a handshake
_MEMBER = re.compile(rb"n(0|[1-9][0-9]{0,18})")
"""Of an index; one without the letter was an offset, once."""

_PROTOCOL_ERRORS = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What redis-py's parser raises on an answer that is none."""


class Manifest(msgspec.Struct, frozen=True):
    """Says which write's chunks make a snapshot, and more that is not verified."""

    write: Annotated[str, msgspec.Meta(pattern="^[0-9a-z]{1,32}$")]
    chunks: Annotated[int, msgspec.Meta(ge=0, le=10_000)]  # 80 GB
    next_offset: Position
    size_bytes: SizeBytes
    saved_at_ms: SavedAtMs
    topic_id: TopicId = ""


_decode = msgspec.json.Decoder(Manifest).decode


def parsed(raw: bytes) -> Manifest | None:
    """Read a manifest; None: somebody damaged it, and the snapshot is as good as gone."""
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def bytes_of(told: object) -> bytes:
    """An answer's bytes; b"" if there was no such key, or it was of another type."""
    if isinstance(told, Exception) and not is_other_type(told):
        raise told
    return told if isinstance(told, bytes) else b""


def is_other_type(error: Exception) -> bool:
    """Whether a key is of another type than ours are."""
    return isinstance(error, redis.ResponseError) and str(error).startswith("WRONGTYPE")


def address(settings: Mapping[str, object]) -> str:
    """Where a connection goes, without user and password: the host, the port and the database.

    >>> address({"host": "cache", "password": "secret", "db": 2}), address({"path": "/run/r.sock"})
    ('cache:6379, database 2', '/run/r.sock, database 0')
    """
    host, port = settings.get("host") or "localhost", settings.get("port") or 6379
    place = settings.get("path") or f"{host}:{port}"
    return f"{place}, database {settings.get('db') or 0}"


@contextmanager
def translated(at: str) -> Iterator[None]:
    """Turn redis-py's errors into ours.

    Args:
        at: what `redis.url` names, as an `address`.
    """
    try:
        yield
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        raise Misconfigured(f"redis.url: {error}; check the user, its password and ACL") from error
    except redis.exceptions.BusyLoadingError as error:
        raise NotReady(f"Redis is loading its data: {error}") from error
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        told = str(error).rstrip(".")
        raise Retryable(f"Redis is not reachable: {told}; {_unreached(error, at)}") from error
    except TooMuchError as error:
        raise BadInput(f"Redis: {error}") from error
    except redis.RedisError as error:
        if is_other_type(error):
            raise BadInput(f"Redis: {error}") from error
        # Full, read-only, loading, failing over: all of it may be over at the next try.
        refused = f"Redis refused: {type(error).__name__}: {error}"
        raise Retryable(f"{refused}{_way_out(error, at)}") from error
    except _PROTOCOL_ERRORS as error:
        told = f"Redis' answer is none: {type(error).__name__}: {error}"
        raise Retryable(f"{told}; does a Redis answer at redis.url ({at})?") from error


_WAYS_OUT = {
    "ReadOnlyError": "redis.url names a replica; name its primary",
    "OutOfMemoryError": "it is full; raise its maxmemory, or take a Redis of its own",
    "ClusterDownError": "slots of its cluster are served by nobody; mend the cluster",
    "MovedError": "redis.url names a cluster's node that does not hold these keys; name that node",
    "AskError": "redis.url names a cluster's node that does not hold these keys; name that node",
}
"""By redis-py's class: what is to be done where a later try does not help by itself."""


def _unreached(error: Exception, at: str) -> str:
    """What to look at where no connection came about, or none lasted."""
    if "closed by server" in str(error):
        return f"does a Redis answer at redis.url ({at})?"
    return f"start it, or correct redis.url ({at})"


def _way_out(error: Exception, at: str) -> str:
    if "DB index" in str(error):
        return f"; redis.url names a database that it does not have ({at}); write /0"
    if "MISCONF" in str(error):
        return "; it cannot write to its disk; free some space there"
    way_out = _WAYS_OUT.get(type(error).__name__)
    return f"; {way_out}" if way_out else ""


def member(n: int) -> str:
    """A snapshot in an index and in its keys.

    >>> member(41), steps_of([b"n41", b"41", b"n041", b"n9"])
    ('n41', [41, 9])
    """
    return f"n{n}"


def steps_of(members: list[bytes]) -> list[int]:
    """Read the steps of an index's snapshots, the newest first, whatever their scores say."""
    found = {int(match[1]) for each in members if (match := _MEMBER.fullmatch(each))}
    return sorted((n for n in found if n <= POSITION_MAX), reverse=True)
