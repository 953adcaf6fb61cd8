"""The worker's side of the in-memory log."""

from collections.abc import Collection, Mapping, Sequence

from stream.adapters.memory.broker import MemoryBroker, Producer
from stream.adapters.memory.group import Member
from stream.adapters.memory.topic import Transaction
from stream.core.event import Channel, Output, Record
from stream.errors import CommitLost, Internal, LogLost, Misconfigured, Retryable
from stream.ports import Committed, Polled


class MemoryLog:
    """A group member and its transactional producer (port `Log`).

    A poll that finds nothing asks the clock to sleep once and returns.

    Args:
        broker: the world; its `faults` are asked at each step.
        names: the topic of each channel.
        group: the consumer group's id, and the beginning of the transactional id.
        instance: a stable name: static membership, and the same transactional id after a restart.
        exactly_once: False: outputs are visible at once, offsets move after them.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        *,
        names: Mapping[Channel, str],
        group: str,
        instance: str | None = None,
        exactly_once: bool = True,
    ) -> None:
        self._broker = broker
        self._names = names
        self._group = broker.group(group)
        self._instance = instance
        self._exactly_once = exactly_once
        self.transactional_id = f"{group}-{instance or f'worker-{broker.serial()}'}"
        self._producer: Producer | None = None
        self._positions: dict[int, int] = {}
        self._turn = 0
        self.member: Member | None = None

    def poll(self, *, timeout_s: float, records_max: int) -> Polled:
        """See `Log.poll`; raises LogLost where retention overtook the worker."""
        self._broker.faults("poll")
        partitions = self._broker.topic(self._names[Channel.EVENTS]).partitions
        lost: frozenset[int] = frozenset()
        if self.member is None or not self._group.holds(self.member):
            lost = self.member.owned if self.member else lost
            self.member = self._group.join(self._instance)
            if self._exactly_once:
                # What a predecessor left open would hold its offsets back.
                self._take_id()
        revoked, assigned = self._group.sync(self.member, len(partitions))
        revoked |= lost
        for partition in revoked:
            self._positions.pop(partition, None)
        records = self._fetch(records_max)
        if not (records or revoked or assigned):
            self._broker.clock.sleep(timeout_s)
        return Polled(records, revoked, assigned)

    def seek(self, partition: int, offset: int) -> None:
        """See `Log.seek`."""
        if self.member is None or partition not in self.member.owned:
            raise Internal(f"seek on partition {partition}, which is not assigned")
        self._broker.faults("seek")
        self._positions[partition] = offset

    def pause(self, partition: int) -> None:
        """See `Log.pause`."""
        if self.member is None or partition not in self.member.owned:
            raise Internal(f"pause of partition {partition}, which is not assigned")
        self._positions.pop(partition, None)

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """See `Log.commit`; nobody looks at a lag here."""
        offsets = {p: Committed(c.offset, c.metadata) for p, c in offsets.items()}
        try:
            if self._exactly_once:
                self._commit_at_once(outputs, dict(offsets))
            else:
                self._commit_in_turn(outputs, dict(offsets))
        except (CommitLost, Misconfigured):
            # The broker refused it, so it hears the abort too.
            if self._producer is not None:
                self._broker.abort(self._producer)
            raise
        except Retryable as error:
            # As if it were out of reach: the transaction stays open until the next producer
            # with our id, or its timeout, aborts it.
            self._producer = None
            raise CommitLost(f"the commit failed: {error}") from error

    def committed(self, partitions: Collection[int]) -> dict[int, Committed]:
        """See `Log.committed`."""
        self._broker.faults("committed")
        if self.member is not None:
            self._group.holds(self.member)
        if self._exactly_once and self._producer is None:
            self._take_id()
        return self._group.stable(partitions)

    def close(self) -> None:
        """See `Log.close`: a static member stays in the group until its session ends."""
        if self.member is not None and self._instance is None:
            self._group.leave(self.member)
        self.member = self._producer = None
        self._positions.clear()

    def _fetch(self, records_max: int) -> dict[int, Sequence[Record]]:
        """Up to `records_max` records; each poll begins with another partition."""
        found: dict[int, Sequence[Record]] = {}
        partitions = sorted(self._positions)
        self._turn = (self._turn + 1) % max(1, len(partitions))
        for number in partitions[self._turn :] + partitions[: self._turn]:
            partition = self._broker.partition(self._names[Channel.EVENTS], number)
            position = self._positions[number]
            if not partition.start <= position <= partition.end:
                raise LogLost(
                    f"{self._names[Channel.EVENTS]!r} partition {number} holds offsets"
                    f" {partition.start} to {partition.end}; {position} is gone"
                )
            records, reached = partition.fetch(
                position, stop=partition.end, records_max=records_max
            )
            self._positions[number] = reached
            records_max -= len(records)
            if records:
                found[number] = records
        return found

    def _commit_at_once(self, outputs: Sequence[Output], offsets: dict[int, Committed]) -> None:
        """Commit exactly once: outputs and offsets take effect together, in one transaction."""
        broker = self._broker
        producer = self._producer or self._take_id()
        with broker.step("begin"):
            transaction = broker.begin(producer)
        self._send(outputs, transaction)
        with broker.step("offsets"):
            broker.add_offsets(transaction, self._group, offsets, member=self._membership())
        with broker.step("end"):
            broker.commit(producer, transaction)

    def _commit_in_turn(self, outputs: Sequence[Output], offsets: dict[int, Committed]) -> None:
        self._send(outputs, None)
        with self._broker.step("offsets"):
            self._group.commit(offsets, self._membership())

    def _send(self, outputs: Sequence[Output], transaction: Transaction | None) -> None:
        """Append outputs to their topics; within a transaction nobody sees them before its end."""
        broker, names = self._broker, self._names
        for output in outputs:
            broker.faults("send")
            broker.append(
                names[output.channel],
                output.partition,
                value=output.value,
                key=output.key,
                timestamp_ms=output.timestamp_ms,
                headers=output.headers,
                transaction=transaction,
            )
        with broker.step("flush"):
            pass  # an append is durable here as soon as it is made

    def _take_id(self) -> Producer:
        """Fence whoever wrote under our transactional id, and end what was left open."""
        if self.member is not None:
            # A zombie must not fence its successor.
            self._group.holds(self.member)
        self._producer = self._broker.producer(self.transactional_id)
        return self._producer

    def _membership(self) -> Member:
        if self.member is None:
            raise CommitLost("no member of the group yet: poll first")
        return self.member
