"""A Redis in memory, key by key, under the real adapter of the snapshots.

So a crash can come between any two commands of a save, and any single key can get lost or damaged.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, cast

from stream.adapters.redis import RedisSnapshots
from stream.adapters.redis.metered import Allowance
from stream.ports import Measure, StoredSnapshot
from tests.instruments.simulation.clock import ManualClock

if TYPE_CHECKING:
    import redis

CHUNKS_MAX = 3
"""How many chunks a snapshot has is told by its step: its length hangs on pickled sets' order."""

_READS = frozenset(("stored", "load"))

Faults = Callable[[str], None]


@dataclass(slots=True, eq=False)
class Cache:
    """What outlives the clients.

    Attributes:
        values: with the time of their end, on the server's own clock; None = they stay.
        indexes: sorted sets, here of the steps that their members name and are scored by.
        changes_n: how many commands have changed something so far.
        written_n: how often a snapshot of a step was begun, by its manifest's key.
        named_n: how many writes have a name of their own.
    """

    clock: ManualClock
    values: dict[str, tuple[bytes, float | None]] = field(default_factory=dict)
    indexes: dict[str, set[int]] = field(default_factory=dict)
    changes_n: int = 0
    written_n: Counter[str] = field(default_factory=Counter)
    named_n: int = 0

    def get(self, key: str) -> bytes | None:
        """A value that has not expired."""
        held = self.values.get(key)
        if held is None:
            return None
        value, end_s = held
        if end_s is not None and end_s <= self.clock.elapsed_s:
            del self.values[key]
            return None
        return value

    def clear(self) -> None:
        """FLUSHALL."""
        self.values.clear()
        self.indexes.clear()
        self.changes_n += 1


class _Connection:
    """The commands that the adapter uses; each is a step of the call that it belongs to."""

    def __init__(self, cache: Cache, faults: Faults) -> None:
        self.cache = cache
        self._faults = faults
        self.call = ""

    def set(
        self, key: str, value: bytes, *, ex: float | None = None, get: bool = False
    ) -> bytes | bool | None:
        self._before()
        cache = self.cache
        old = cache.get(key) if get else None
        if key.endswith(":0") and key.count(":") == 5:
            cache.written_n[key.rsplit(":", 2)[0]] += 1
        cache.values[key] = value, None if ex is None else cache.clock.elapsed_s + ex
        self._after()
        return old if get else True

    def persist(self, key: str) -> None:
        self._before()
        value = self.cache.get(key)
        if value is not None:
            self.cache.values[key] = value, None
        self._after()

    def unlink(self, *keys: str) -> None:
        self._before()
        for key in keys:
            self.cache.values.pop(key, None)
        self._after()

    def zadd(self, key: str, scores: dict[str, int]) -> None:
        self._before()
        self.cache.indexes.setdefault(key, set()).update(scores.values())
        self._after()

    def zrem(self, key: str, member: str) -> None:
        self._before()
        self.cache.indexes.get(key, set()).discard(int(member.removeprefix("n")))
        self._after()

    def getrange(self, key: str, start: int, last: int) -> bytes:
        self._look()
        return (self.cache.get(key) or b"")[start : last + 1]

    def pipeline(self, *, transaction: bool) -> "_Pipeline":
        assert not transaction
        return _Pipeline(self)

    def zrevrange(self, key: str, _first: int, most: int) -> list[bytes]:
        self._look()
        steps = sorted(self.cache.indexes.get(key, ()), reverse=True)
        return [b"n%d" % n for n in steps[: most + 1]]

    def close(self) -> None:
        """Nothing is held."""

    def _look(self) -> None:
        self._faults(self.call if self.call in _READS else f"{self.call}:before")

    def _before(self) -> None:
        self._faults(f"{self.call}:before")

    def _after(self) -> None:
        self.cache.changes_n += 1
        self._faults(f"{self.call}:after")


class _Pipeline:
    """Commands that are sent together; each may still be the last."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._asked: list[tuple[str, int, int]] = []

    def getrange(self, key: str, start: int, last: int) -> None:
        self._asked.append((key, start, last))

    def execute(self, *, raise_on_error: bool) -> list[bytes]:
        assert not raise_on_error
        self._connection._look()
        cache = self._connection.cache
        return [(cache.get(key) or b"")[start : last + 1] for key, start, last in self._asked]


class CachedSnapshots(RedisSnapshots):
    """The real adapter on a `Cache`.

    Args:
        faults: asked at each command of a call: `stored`, `load`; and as `CALL:before` and
            `CALL:after` (it took effect, nobody was told) of `save` and `remove`.
    """

    def __init__(self, cache: Cache, *, pipeline: str, clock: ManualClock, faults: Faults) -> None:
        self.__dict__.update(_blank(pipeline).__dict__)
        self._clock = clock
        self._allowance = Allowance(clock)
        self._spoilt, self._crowded = set(), set()
        self._connection = _Connection(cache, faults)
        self._redis = cast("redis.Redis", self._connection)

    def stored(self, partition: int) -> list[StoredSnapshot]:
        """See `SnapshotStore.stored`."""
        self._connection.call = "stored"
        return super().stored(partition)

    def load(self, partition: int, n: int, measure: Measure) -> bytes | None:
        """See `SnapshotStore.load`."""
        self._connection.call = "load"
        return super().load(partition, n, measure)

    def save(
        self, partition: int, n: int, sealed: bytes, *, next_offset: int, topic_id: str = ""
    ) -> None:
        """See `SnapshotStore.save`."""
        self._connection.call = "save"
        self._chunk_bytes = -(-len(sealed) // (1 + n % CHUNKS_MAX))
        super().save(partition, n, sealed, next_offset=next_offset, topic_id=topic_id)

    def remove(self, partition: int, n: int) -> None:
        """See `SnapshotStore.remove`."""
        self._connection.call = "remove"
        super().remove(partition, n)

    def _name_of_write(self) -> str:
        self._connection.cache.named_n += 1
        return f"{self._connection.cache.named_n:012x}"


@cache
def _blank(pipeline: str) -> RedisSnapshots:
    """What the adapter makes of its arguments; redis-py's part takes longer than a whole start."""
    clock = cast("ManualClock", None)
    return RedisSnapshots("redis://", pipeline=pipeline, clock=clock)
