"""Where `--until-end` ends for several workers: seen in the committed offsets, by their supervisor.

Each worker for itself cannot know: a partition may just be on its way to it from another.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from stream.runtime.lag import Standing


@dataclass(frozen=True, slots=True)
class Paused:
    """A partition that the breaker on quarantine keeps from its goal."""

    partition: int
    offset: int


class Goals:
    """Which partitions are not yet where they ended at start.

    A paused one counts as far as it will come once a worker of ours said, since it got it, that it
    stays paused: a pause from before may be lifted yet. Another's worker says nothing to us; its
    pause must have lasted for a while.

    Args:
        ends: the goals, by partition; None: nothing is ever reached.
        labels: how far labels of a topic of their own are to be folded, where there are any.
        patience_s: how long a pause must last in a partition of another's.
    """

    def __init__(
        self,
        ends: Mapping[int, int] | None,
        *,
        patience_s: float,
        labels: Mapping[int, int] | None = None,
    ) -> None:
        self._ends, self._labels = ends, labels or {}
        self._patience_s = patience_s
        self._said: set[int] = set()
        self._waiting: set[int] = set()
        self._ours: set[int] = set()
        self._paused_since_s: dict[int, float] = {}
        self._missing: set[int] = set(ends or ())
        self._paused: dict[int, Paused] = {}
        self._has_looked = False

    def took(self, partitions: Collection[int]) -> None:
        """Take note that a worker of ours got these partitions."""
        self._ours |= set(partitions)
        self._said -= set(partitions)
        self._waiting -= set(partitions)

    def said_waiting(self, partitions: Collection[int]) -> None:
        """Take note that these have no place in the outputs, and cannot begin without one."""
        self._waiting |= set(partitions)

    def said_paused(self, partitions: Collection[int]) -> None:
        """Take note that our worker looked at what comes next in these, and keeps them paused."""
        self._said |= set(partitions)

    def saw(self, standings: Mapping[int, Standing], now_s: float) -> None:
        """Take note of where the partitions stand now."""
        self._has_looked = True
        for partition, end in (self._ends or {}).items():
            at = standings.get(partition)
            if at is None:
                continue
            offset = at.offset or 0
            is_final = partition in self._waiting or (
                at.is_paused and self._stays_paused(partition, now_s)
            )
            if not at.is_paused:
                self._paused_since_s.pop(partition, None)
            self._paused.pop(partition, None)
            if offset < end and is_final and partition not in self._waiting:
                self._paused[partition] = Paused(partition, offset)
            is_behind = offset < end or at.labels_offset < self._labels.get(partition, 0)
            if is_behind and not is_final:
                self._missing.add(partition)
            else:
                self._missing.discard(partition)

    @property
    def are_reached(self) -> bool:
        """Whether no partition will come further."""
        return self._ends is not None and self._has_looked and not self._missing

    @property
    def paused(self) -> list[Paused]:
        """The paused partitions that did not get to their goals."""
        return [found for _, found in sorted(self._paused.items())]

    @property
    def waiting(self) -> list[int]:
        """The partitions that could not begin."""
        return sorted(self._waiting & (self._ends or {}).keys())

    def _stays_paused(self, partition: int, now_s: float) -> bool:
        since_s = self._paused_since_s.setdefault(partition, now_s)
        if partition in self._ours:
            return partition in self._said
        return now_s - since_s >= self._patience_s
