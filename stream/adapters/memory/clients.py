"""The outsiders of the in-memory log: reader, administrator, upstream; and the snapshots."""

import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence

from stream.adapters.memory.broker import MemoryBroker
from stream.adapters.memory.topic import Partition
from stream.core.event import ALWAYS, Channel, Headers, Record
from stream.core.snapshots.seal import START_BYTES_MAX
from stream.errors import LogLost
from stream.ports import Bounds, Committed, Measure, Operation, StoredSnapshot, TopicInfo

WAIT_S = 0.1  # what a reader asks the clock to sleep when it must wait for records


class MemoryReader:
    """The pipeline's topics as any `read_committed` outsider sees them (port `Reader`).

    Args:
        batch_records_max: the most records one batch of `read` has.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        *,
        names: Mapping[Channel, str],
        group: str,
        batch_records_max: int = 500,
    ) -> None:
        self._broker = broker
        self._names = names
        self._group = group
        self._batch_records_max = batch_records_max

    def bounds(self, channel: Channel, partition: int) -> Bounds:
        """See `Reader.bounds`."""
        self._broker.faults("bounds")
        held = self._partition(channel, partition)
        return Bounds(held.start, held.stable_end)

    def read(
        self, channel: Channel, partition: int, start: int, stop: int
    ) -> Iterator[Sequence[Record]]:
        """See `Reader.read`."""
        position = start
        while position < stop:
            self._broker.faults("read")
            held = self._partition(channel, partition)
            if position < held.start:
                raise LogLost(
                    f"{self._names[channel]!r} partition {partition} begins at offset"
                    f" {held.start}; {position} is gone"
                )
            records, reached = held.fetch(position, stop=stop, records_max=self._batch_records_max)
            if reached == position:
                self._broker.clock.sleep(WAIT_S)
            if records or reached == position:
                yield records
            position = reached

    def committed(self) -> dict[int, Committed]:
        """See `Reader.committed`."""
        self._broker.faults("committed")
        return dict(sorted(self._broker.group(self._group).offsets.items()))

    def close(self) -> None:
        """Do nothing: this client holds nothing."""

    def _partition(self, channel: Channel, partition: int) -> Partition:
        return self._broker.partition(self._names[channel], partition)


class MemoryTopics:
    """The pipeline's topics as an administrator sees them (port `Topics`)."""

    def __init__(
        self, broker: MemoryBroker, *, names: Mapping[Channel, str], group: str = ""
    ) -> None:
        self._broker = broker
        self._names = names
        self._group = group

    def members(self, *, but: str | None = None) -> int:
        """See `Topics.members`."""
        return self._broker.group(self._group).members_n(but)

    def describe(self, channels: Collection[Channel] = ALWAYS) -> dict[Channel, TopicInfo | None]:
        """See `Topics.describe`."""
        return {channel: self._info(self._names[channel]) for channel in channels}

    def create(
        self,
        channel: Channel,
        *,
        partitions: int,
        retention_ms: int,
        record_bytes_max: int | None = None,  # noqa: ARG002  # it takes any record
        is_trial: bool = False,
    ) -> None:
        """See `Topics.create`."""
        if is_trial:
            return
        self._broker.create(self._names[channel], partitions=partitions, retention_ms=retention_ms)

    def widen(self, channel: Channel, *, partitions: int) -> None:
        """See `Topics.widen`."""
        self._broker.topic(self._names[channel]).grow(partitions)

    def denied(self) -> list[str]:
        """Everything is permitted here."""
        return []

    def refused(self, wanted: Collection[tuple[Channel, Operation]]) -> list[str]:  # noqa: ARG002
        """Everything is permitted here."""
        return []

    def close(self) -> None:
        """Do nothing: this client holds nothing."""

    def _info(self, name: str) -> TopicInfo | None:
        """Describe one topic of the broker; None: the topic does not exist."""
        topic = self._broker.topics.get(name)
        if topic is None:
            return None
        return TopicInfo(
            name=name,
            topic_id=topic.topic_id,
            partitions=len(topic.partitions),
            retention_ms=topic.retention_ms,
            cleanup_policy=topic.cleanup_policy,
            accepts=topic.accepts,
        )


class MemoryFeed:
    """How an upstream appends records (port `Feed`); each one is durable at once."""

    def __init__(
        self,
        broker: MemoryBroker,
        *,
        names: Mapping[Channel, str],
        channel: Channel = Channel.EVENTS,
    ) -> None:
        self._broker = broker
        self._topic = names[channel]
        self._sent_n = 0

    def send(
        self,
        value: bytes,
        *,
        key: bytes | None,
        timestamp_ms: int | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> None:
        """See `Feed.send`: the key decides the partition; without one they take turns."""
        self._broker.faults("feed")
        if partition is None:
            spread = self._sent_n if key is None else zlib.crc32(key)
            partition = spread % len(self._broker.topic(self._topic).partitions)
        self._broker.append(
            self._topic,
            partition,
            value=value,
            key=key,
            timestamp_ms=timestamp_ms,
            headers=headers,
        )
        self._sent_n += 1

    def flush(self, *, timeout_s: float) -> int:  # noqa: ARG002  # nothing to wait for
        """See `Feed.flush`."""
        return self._sent_n

    def close(self) -> None:
        """Do nothing: this client holds nothing."""


class MemorySnapshots:
    """Snapshots in the broker's `snapshots` (port `SnapshotStore`)."""

    def __init__(self, broker: MemoryBroker, *, pipeline: str) -> None:
        self._broker = broker
        self._pipeline = pipeline

    def stored(self, partition: int) -> list[StoredSnapshot]:
        """See `SnapshotStore.stored`."""
        self._broker.faults("stored")
        held = self._held(partition)
        return [held[n][0] for n in sorted(held, reverse=True)]

    def load(self, partition: int, n: int, measure: Measure) -> bytes | None:
        """See `SnapshotStore.load`."""
        self._broker.faults("load")
        entry = self._held(partition).get(n)
        if entry is None:
            return None
        sealed = entry[1]
        return sealed if len(sealed) == measure(sealed[:START_BYTES_MAX]) else None

    def save(
        self, partition: int, n: int, sealed: bytes, *, next_offset: int, topic_id: str = ""
    ) -> None:
        """See `SnapshotStore.save`."""
        now_ms = self._broker.clock.now_ms()
        entry = StoredSnapshot(n, next_offset, len(sealed), now_ms, topic_id)
        with self._broker.step("save"):
            self._held(partition)[n] = entry, bytes(sealed)

    def remove(self, partition: int, n: int) -> None:
        """See `SnapshotStore.remove`."""
        with self._broker.step("remove"):
            self._held(partition).pop(n, None)

    def close(self) -> None:
        """Do nothing: this client holds nothing."""

    def _held(self, partition: int) -> dict[int, tuple[StoredSnapshot, bytes]]:
        return self._broker.snapshots.setdefault((self._pipeline, partition), {})
