"""The control topic as operators use it, and what they sent: the auditor needs no decoder."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stream.adapters.memory import MemoryReader
from stream.adapters.memory.broker import MemoryBroker
from stream.adapters.memory.topic import Partition
from stream.core.event import Channel, Record
from stream.errors import LogLost
from stream.ports import Bounds

WITHIN_MS = 7 * 86_400_000
"""So long a command may wait here, unless it is told otherwise: it is never late."""

Command = Mapping[str, Any]

_write = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Sent:
    """One record of the control topic.

    Attributes:
        command: what its value says; None: it is no command.
        may_be_late: its time may be over when somebody reads it; must_be_late: it is.
        may_be_missed: retention, or somebody else, took it away before it was surely read.
    """

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    command: Command | None
    may_be_late: bool = False
    must_be_late: bool = False
    may_be_missed: bool = False


@dataclass(slots=True)
class ControlTopic:
    """Sends commands, and knows all that were sent.

    Attributes:
        sent: partition -> offset -> what lies there.
    """

    broker: MemoryBroker
    name: str
    sent: dict[int, dict[int, Sent]] = field(default_factory=dict)
    _made_n: int = 0

    def send(
        self,
        *commands: str,
        partition: int = 0,
        command_id: str | None = None,
        within_ms: int = WITHIN_MS,
        age_ms: int = 0,
        why: str = "a ticket",
    ) -> str:
        """Append commands; each has an id of its own unless it is told one. Returns: the last id.

        Their records are older than now by `age_ms`.
        """
        for what in commands:
            self._made_n += 1
            said = {
                "v": 1, "id": command_id or f"c{self._made_n}", "what": what, "by": "ada",
                "why": why, "within_ms": within_ms,
            }  # fmt: skip
            sent = self.append(_write(said), said, partition=partition, age_ms=age_ms)
            sent.may_be_late = within_ms < WITHIN_MS
            sent.must_be_late = age_ms > within_ms
        return str(said["id"])

    def append(
        self,
        value: bytes | None,
        command: Command | None = None,
        *,
        partition: int = 0,
        age_ms: int = 0,
    ) -> Sent:
        """Append a record; without `command` it is none that can be read."""
        log, at_ms = self.log(partition), self.broker.clock.now_ms() - age_ms
        key = b"sim/%d" % partition
        sent = Sent(partition, log.end, at_ms, key, value, command)
        self.sent.setdefault(partition, {})[log.end] = sent
        self.broker.append(self.name, partition, value=value, key=key, timestamp_ms=at_ms)
        return sent

    def again(self, sent: Sent) -> None:
        """Send the same record once more, as a producer does whose answer was lost."""
        twin = self.append(sent.value, sent.command, partition=sent.partition)
        twin.may_be_late, twin.must_be_late = sent.may_be_late, False

    def truncate(self, partition: int) -> None:
        """Retention takes all that there is."""
        log = self.log(partition)
        log.truncate(log.end)
        self._miss(self.sent.get(partition, {}).values())

    def make_again(self) -> None:
        """Somebody deletes the topic, and makes it again."""
        topic = self.broker.topic(self.name)
        topic.partitions[:] = [Partition(n) for n in range(len(topic.partitions))]
        self.sent.clear()

    def log(self, partition: int) -> Partition:
        """One partition."""
        return self.broker.partition(self.name, partition)

    @staticmethod
    def _miss(every: Iterable[Sent]) -> None:
        for each in every:
            each.may_be_missed = True


class ControlReader(MemoryReader):
    """The client beside the loop; faults know its calls by other names."""

    def bounds(self, channel: Channel, partition: int) -> Bounds:
        """See `Reader.bounds`."""
        self._broker.faults("look")
        held = self._partition(channel, partition)
        return Bounds(held.start, held.stable_end)

    def read(
        self, channel: Channel, partition: int, start: int, stop: int
    ) -> Iterator[Sequence[Record]]:
        """See `Reader.read`."""
        while start < stop:
            self._broker.faults("look")
            held = self._partition(channel, partition)
            if start < held.start:
                raise LogLost(f"it begins at {held.start}; {start} is gone")
            records, start = held.fetch(start, stop=stop, records_max=self._batch_records_max)
            yield records
