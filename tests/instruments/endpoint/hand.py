"""A producer of a few lines that says exactly what it is told to, to compare brokers with."""

import socket
import time
from typing import Any, Self

from kafka.record.memory_records import MemoryRecordsBuilder

from tests.instruments.endpoint import wire
from tests.instruments.endpoint.codes import Code

WAIT_S = 10.0
VERSIONS = {
    wire.INIT_PRODUCER_ID: 4, wire.ADD_PARTITIONS: 3, wire.ADD_OFFSETS: 3, wire.END_TXN: 3,
    wire.TXN_OFFSET_COMMIT: 3, wire.PRODUCE: 9, wire.FIND_COORDINATOR: 3,
}  # fmt: skip
"""As both clients ask, or one of them."""


class Hand:
    """One connection to a broker; a context manager.

    Attributes:
        producer_id, epoch: as `take` got them; may be set to speak for somebody else.
    """

    def __init__(self, bootstrap: str, transactional_id: str, *, timeout_ms: int = 10_000) -> None:
        host, _, port = bootstrap.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=WAIT_S)
        self._id = transactional_id
        self._timeout_ms = timeout_ms
        self._asked = 0
        self._sequences: dict[tuple[str, int], int] = {}
        self.producer_id, self.epoch = -1, -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, api: int, **fields: Any) -> Any:
        """One request and its answer."""
        self._asked += 1
        version = VERSIONS[api]
        self._socket.sendall(wire.ask(api, version, self._asked, **fields))
        with self._socket.makefile("rb") as stream:
            (length,) = wire.LENGTH.unpack(stream.read(wire.LENGTH.size))
            return wire.answered(api, version, stream.read(length))

    def _told(self, api: int, **fields: Any) -> Code:
        """The one code of an answer; asked again while the broker is busy with the last one."""
        deadline_s = time.monotonic() + WAIT_S
        while True:
            response = self.ask(api, **fields)
            (code,) = {Code(code) for code in wire.codes(api, response)}
            if code not in _BUSY or time.monotonic() > deadline_s:
                self._last = response
                return code
            time.sleep(0.02)

    def take(self, *, known: tuple[int, int] = (-1, -1)) -> Code:
        """InitProducerId."""
        self._told(wire.FIND_COORDINATOR, key=self._id, key_type=1)
        code = self._told(
            wire.INIT_PRODUCER_ID, transactional_id=self._id,
            transaction_timeout_ms=self._timeout_ms, producer_id=known[0], producer_epoch=known[1],
        )  # fmt: skip
        if code is Code.NONE:
            self.producer_id, self.epoch = self._last.producer_id, self._last.producer_epoch
            self._sequences = {}
        return code

    def add(self, topic: str, *partitions: int) -> Code:
        """AddPartitionsToTxn."""
        kind = wire.REQUESTS[wire.ADD_PARTITIONS].AddPartitionsToTxnTopic
        return self._told(
            wire.ADD_PARTITIONS,
            v3_and_below_transactional_id=self._id,
            v3_and_below_producer_id=self.producer_id,
            v3_and_below_producer_epoch=self.epoch,
            v3_and_below_topics=[kind(name=topic, partitions=list(partitions))],
        )

    def produce(
        self, topic: str, *values: bytes, partition: int = 0, sequence: int | None = None
    ) -> Code:
        """Produce; `sequence`: other than the next one."""
        builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1 << 20)
        for value in values:
            builder.append(timestamp=1, key=None, value=value, headers=[])
        place = (topic, partition)
        first = self._sequences.get(place, 0) if sequence is None else sequence
        builder.set_producer_state(self.producer_id, self.epoch, first, True)
        builder.close()
        kinds = wire.REQUESTS[wire.PRODUCE].TopicProduceData
        data = kinds.PartitionProduceData(index=partition, records=bytes(builder.buffer()))
        code = self._told(
            wire.PRODUCE, transactional_id=self._id, acks=-1, timeout_ms=5_000,
            topic_data=[kinds(name=topic, partition_data=[data])],
        )  # fmt: skip
        if code is Code.NONE and sequence is None:
            self._sequences[place] = first + len(values)
        return code

    def add_offsets(self, group: str) -> Code:
        """AddOffsetsToTxn; the group's coordinator is looked for first, which makes its topic."""
        self._told(wire.FIND_COORDINATOR, key=group, key_type=0)
        return self._told(
            wire.ADD_OFFSETS, transactional_id=self._id, producer_id=self.producer_id,
            producer_epoch=self.epoch, group_id=group,
        )  # fmt: skip

    def stage(
        self, group: str, topic: str, offset: int, *, generation: int = -1, member: str = "",
        instance: str | None = None,
    ) -> Code:  # fmt: skip
        """TxnOffsetCommit of partition 0."""
        kind = wire.REQUESTS[wire.TXN_OFFSET_COMMIT].TxnOffsetCommitRequestTopic
        part = kind.TxnOffsetCommitRequestPartition(
            partition_index=0, committed_offset=offset, committed_leader_epoch=-1,
            committed_metadata="",
        )  # fmt: skip
        return self._told(
            wire.TXN_OFFSET_COMMIT, transactional_id=self._id, group_id=group,
            producer_id=self.producer_id, producer_epoch=self.epoch, generation_id=generation,
            member_id=member, group_instance_id=instance,
            topics=[kind(name=topic, partitions=[part])],
        )  # fmt: skip

    def end(self, *, commits: bool) -> Code:
        """EndTxn."""
        return self._told(
            wire.END_TXN, transactional_id=self._id, producer_id=self.producer_id,
            producer_epoch=self.epoch, committed=commits,
        )  # fmt: skip


_BUSY = frozenset({
    Code.CONCURRENT_TRANSACTIONS, Code.COORDINATOR_NOT_AVAILABLE, Code.COORDINATOR_LOAD_IN_PROGRESS,
    Code.NOT_COORDINATOR, Code.NOT_LEADER_OR_FOLLOWER,
})  # fmt: skip
