"""Which workers are alive and get nowhere: decided by committed offsets, never by what they say.

A partition gets on while its committed offset moves, and while there is nothing to do. One that a
worker has just been given first needs its state: until then, what is replayed counts too, for a
replay of the whole log may take hours. After that only commits count: a worker that restores, folds
and fails to commit, again and again, gets nowhere.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from stream.runtime.lag import Standing

STUCK_AFTER_S_MIN = 60.0
"""Six of a worker's own words on its replay, which come every 10 s. On an overloaded machine a
worker is slow, not stuck, and starting it anew only adds to the load."""

STUCK_AFTER_RECOVERIES = 3.0


def stuck_after_s(recovery_time_s: float) -> float:
    """How long a partition may stand still under a live worker: well over any recovery."""
    return max(STUCK_AFTER_S_MIN, STUCK_AFTER_RECOVERIES * recovery_time_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """A worker that gets nowhere, and the partition that shows it."""

    worker: str
    partition: int
    offset: int | None
    lag: int | None
    for_s: float


@dataclass(slots=True)
class _Held:
    """A partition in a worker's hands.

    Attributes:
        is_settled: whether it has its state.
        moved_s: when it last got on.
        standing: where it stood when it was last seen.
    """

    worker: str
    moved_s: float
    is_settled: bool = False
    standing: Standing | None = None


class Stagnation:
    """Keeps, for each partition of our workers, since when it stands still.

    Args:
        after_s: how long a partition may stand still.
    """

    def __init__(self, *, after_s: float) -> None:
        self._after_s = after_s
        self._held: dict[int, _Held] = {}
        self._replayed: dict[str, int] = {}

    def took(self, worker: str, partitions: Collection[int], now_s: float) -> None:
        """Take note that the group gave these partitions to a worker."""
        for partition in partitions:
            self._held[partition] = _Held(worker, now_s)

    def gave(self, worker: str, partitions: Collection[int]) -> None:
        """Take note that the group took these from a worker; they may be another's already."""
        for partition in partitions:
            held = self._held.get(partition)
            if held is not None and held.worker == worker:
                del self._held[partition]

    def settled(self, worker: str, partition: int, now_s: float) -> None:
        """Take note that a partition has its state; the turn of the worker's next one has come."""
        for number, held in self._held.items():
            if held.worker == worker and not held.is_settled:
                held.moved_s = now_s
                held.is_settled = number == partition

    def replayed(self, worker: str, records_n: int, now_s: float) -> None:
        """Take note of how many records a worker has replayed since its start."""
        if records_n <= self._replayed.get(worker, 0):
            return
        self._replayed[worker] = records_n
        for held in self._held.values():
            if held.worker == worker and not held.is_settled:
                held.moved_s = now_s

    def ended(self, worker: str) -> None:
        """Forget a worker whose process is gone."""
        self.gave(worker, list(self._held))
        self._replayed.pop(worker, None)

    def saw(self, standings: Mapping[int, Standing], now_s: float) -> None:
        """Take note of where the partitions stand now."""
        for partition, held in self._held.items():
            before, standing = held.standing, standings.get(partition)
            if standing is None:
                continue
            held.standing = standing
            is_idle = standing.lag == 0 or standing.is_paused
            if is_idle or before is None or before.offset != standing.offset:
                held.moved_s = now_s

    def blind(self, now_s: float) -> None:
        """Restart all the clocks: Kafka is away, and no worker is to blame for that."""
        for held in self._held.values():
            held.moved_s = now_s

    def stuck(self, now_s: float) -> list[Stuck]:
        """The workers with a partition that stands still too long, one entry each."""
        worst: dict[str, Stuck] = {}
        for partition, held in sorted(self._held.items()):
            for_s, standing = now_s - held.moved_s, held.standing
            if standing is None or for_s < self._after_s or held.worker in worst:
                continue
            worst[held.worker] = Stuck(
                worker=held.worker,
                partition=partition,
                offset=standing.offset,
                lag=standing.lag,
                for_s=for_s,
            )
        return list(worst.values())
