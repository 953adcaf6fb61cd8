"""What no worker can mend by itself: it must stop, loudly, and say what to do.

Each happens to the durable world while no worker lives; a worker that starts then is either
refused, or goes on as if nothing had happened.
"""

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from random import Random

from stream.adapters.memory.topic import Partition, Topic
from stream.core.event import Channel
from stream.ports import Committed
from tests.instruments.simulation.auditor import Auditor
from tests.instruments.simulation.cache_audit import usable
from tests.instruments.simulation.doubles import cut
from tests.instruments.simulation.violation import require
from tests.instruments.simulation.workload import Workload
from tests.instruments.simulation.world import NAMES, PIPELINE, World


class Trouble(StrEnum):
    """What befalls the log or the group."""

    OFFSETS_LOST = "the group's offsets are lost"
    TAIL_LOST = "the log is cut below what was committed"
    TAIL_REPLACED = "the log's end is replaced"
    RECREATED = "the topic is deleted and made again"
    RETENTION = "the log loses its start"
    OFFSET_SET_BACK = "a tool sets an offset back"
    OFFSET_SET_AHEAD = "a tool sets an offset ahead"
    OFFSET_OLDER = "the group has an older offset again"


class Outlook(StrEnum):
    """What a worker that starts then may do."""

    AS_EVER = "go on"
    REFUSED = "be refused"
    EITHER = "be refused, or go on"


_TOLD = (
    re.compile(r"partition (\d+): no offset is committed.* to (\d+) and"),
    re.compile(r"partition (\d+)[,:] .*have no outcome.*; set it back to (\d+)"),
)


class Misfortune:
    """Brings one trouble about."""

    def __init__(self, world: World, workload: Workload, auditor: Auditor, rng: Random) -> None:
        self._world = world
        self._workload = workload
        self._auditor = auditor
        self._rng = rng
        self._seen: dict[int, list[Committed]] = {}

    def watch(self) -> None:
        """Look at what has just become visible, and keep each offset that was ever committed."""
        self._auditor.check()
        for partition, committed in self._group_offsets.items():
            seen = self._seen.setdefault(partition, [])
            if not seen or seen[-1] != committed:
                seen.append(committed)

    def strike(self, trouble: Trouble) -> Outlook:
        """Let it happen. Returns: what must come of it."""
        with_outcomes = [
            partition
            for partition in range(len(self._workload.facts))
            if self._auditor.outcomes_n(partition)
        ]
        if not with_outcomes:
            return Outlook.AS_EVER
        partition = self._rng.choice(with_outcomes)
        happens: dict[Trouble, Callable[[], Outlook]] = {
            Trouble.OFFSETS_LOST: lambda: self._lose_offsets(with_outcomes),
            Trouble.TAIL_LOST: lambda: self._cut(partition, records_n=0),
            Trouble.TAIL_REPLACED: lambda: self._cut(
                partition, records_n=self._auditor.reached(partition)
            ),
            Trouble.RECREATED: self._recreate,
            Trouble.RETENTION: lambda: self._lose_start(partition),
            Trouble.OFFSET_SET_BACK: lambda: self._set_back(partition),
            Trouble.OFFSET_SET_AHEAD: lambda: self._set_ahead(partition),
            Trouble.OFFSET_OLDER: lambda: self._take_older(partition),
        }
        return happens[trouble]()

    def mend_offset(self, why: str) -> bool:
        """Do what the refusal of an offset says. Returns: whether it was one."""
        found = next(filter(None, (told.search(why) for told in _TOLD)), None)
        if found is None:
            return False
        partition, offset = map(int, found.groups())
        committed = self._group_offsets[partition] = Committed(offset, "")
        self._auditor.operator_set(partition, committed)
        return True

    @property
    def _group_offsets(self) -> dict[int, Committed]:
        return self._world.broker.group(PIPELINE).offsets

    def _events(self, partition: int) -> Partition:
        return self._world.broker.partition(NAMES[Channel.EVENTS], partition)

    def _lose_offsets(self, partitions: Sequence[int]) -> Outlook:
        """Deleted, or expired: all, or those of one partition."""
        lost = partitions if self._rng.random() < 0.5 else [self._rng.choice(partitions)]
        for partition in lost:
            del self._group_offsets[partition]
        return Outlook.REFUSED

    def _cut(self, partition: int, *, records_n: int) -> Outlook:
        """An unclean election, after which others may write what they like at those offsets."""
        end = self._rng.randrange(self._auditor.reached(partition))
        cut(self._events(partition), end)
        self._workload.cut(partition, end)
        self._workload.refill(partition, records_n)
        return Outlook.EITHER if records_n else Outlook.REFUSED

    def _recreate(self) -> Outlook:
        """Under the old name, with other records; the offsets go with the topic, or stay."""
        broker, rng = self._world.broker, self._rng
        old = broker.topic(NAMES[Channel.EVENTS])
        fresh = [Partition(number) for number in range(len(old.partitions))]
        broker.topics[NAMES[Channel.EVENTS]] = Topic(
            f"topic-{broker.serial()}", old.retention_ms, old.cleanup_policy, fresh
        )
        if rng.random() < 0.5 and all(map(self._auditor.outcomes_n, self._group_offsets)):
            self._group_offsets.clear()
        for partition in range(len(fresh)):
            self._workload.cut(partition, 0)
            reached = self._auditor.reached(partition)
            self._workload.refill(partition, rng.choice((0, 3, reached, reached + 5)))
        return Outlook.REFUSED

    def _lose_start(self, partition: int) -> Outlook:
        """Retention deletes what is committed; perhaps more than the snapshots can bridge."""
        auditor = self._auditor
        low, high = auditor.genesis(partition) + 1, auditor.reached(partition)
        start = self._rng.randint(low, max(low, high))
        known = [] if auditor.is_cache_spoiled else usable(self._world.cache, partition)
        reaches = [at for at in known if at >= start]
        log = self._events(partition)
        log.truncate(start)
        require(log.start <= start, "retention deletes no more than it is told to")
        return Outlook.AS_EVER if reaches else Outlook.EITHER

    def _set_back(self, partition: int) -> Outlook:
        """By a tool, that writes nothing or something of its own beside it."""
        low, high = self._auditor.genesis(partition), self._auditor.reached(partition)
        set_to = Committed(self._rng.randint(low, high), self._rng.choice(("", "ticket 17")))
        self._group_offsets[partition] = set_to
        self._auditor.operator_moved(partition, set_to)
        return Outlook.REFUSED

    def _set_ahead(self, partition: int) -> Outlook:
        """Over events that nobody has processed."""
        self._workload.refill(partition, 3)
        set_to = Committed(self._events(partition).stable_end, "")
        self._group_offsets[partition] = set_to
        self._auditor.operator_moved(partition, set_to)
        return Outlook.REFUSED

    def _take_older(self, partition: int) -> Outlook:
        """With all that was beside it: the brokers lost the newer one, or a tool keeps metadata."""
        older = self._rng.choice(self._seen.get(partition) or [self._group_offsets[partition]])
        self._group_offsets[partition] = older
        self._auditor.operator_moved(partition, older)
        return Outlook.AS_EVER
