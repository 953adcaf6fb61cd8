"""What reading a partition by position is, whatever the client."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from stream.adapters.kafka.cluster import Cluster
from stream.adapters.kafka.ranges import Range
from stream.core.event import Channel, Record
from stream.errors import Missing
from stream.ports import Bounds

POLL_S = 0.5
"""How long a batch is waited for before an empty one says so."""

RECORDS_MAX = 2_000


class RangeReader(ABC):
    """Reads ranges of partitions that are known to exist: clients look long for a missing one."""

    def __init__(self, connection: Cluster) -> None:
        self._connection = connection
        self._partitions: dict[str, int] = {}
        self._reading: Range | None = None

    @abstractmethod
    def bounds(self, channel: Channel, partition: int) -> Bounds:
        """See `Reader.bounds`."""

    @abstractmethod
    def next_batch(self, wanted: Range) -> list[Record]:
        """The next records of a range; moves its position. Raises: as `Reader.read`."""

    @abstractmethod
    def _count(self, name: str) -> int:
        """How many partitions a topic has, asked of a broker now; 0: it does not exist."""

    def read(
        self, channel: Channel, partition: int, start: int, stop: int
    ) -> Iterator[Sequence[Record]]:
        """See `Reader.read`. A range that raised Retryable may be asked again: it goes on."""
        topic = self._connection.names[channel]
        return Range(
            self, topic=topic, channel=channel, partition=partition, position=start, stop=stop
        )

    def _topic(self, channel: Channel, partition: int) -> str:
        """The name of a topic that has this partition. Raises: Missing: it has not."""
        name = self._connection.names[channel]
        if self._partitions.get(name, 0) <= partition:
            self._partitions[name] = self._count(name)
        if self._partitions[name] <= partition:
            raise Missing(
                f"topics.{channel}: there is no partition {partition} of {name}; create it"
            )
        return name
