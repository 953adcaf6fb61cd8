"""Where a case is played: on our endpoint or on a real broker, behind the same proxy."""

from contextlib import ExitStack
from types import TracebackType
from typing import Protocol, Self

from kafka import KafkaAdminClient
from kafka.admin import MemberToRemove

from stream.adapters.kafka_python import Connection, KafkaReader
from stream.core.event import Channel
from stream.sandbox.ready import free_port
from tests.instruments.endpoint.server import Endpoint
from tests.instruments.faults.proxy import Proxy


class Stand(Protocol):
    """A broker that is asked through a proxy, and seen past it.

    Attributes:
        name: for tables.
        bootstrap: past the proxy.
    """

    name: str
    bootstrap: str

    @property
    def proxy(self) -> Proxy:
        """Makes the faults."""
        ...

    def make_topics(self, names: dict[Channel, str], *, partitions: int) -> None:
        """Make a pipeline's topics."""
        ...

    def visible(self, names: dict[Channel, str], channel: Channel, partition: int) -> list[bytes]:
        """The values that a reader with `read_committed` gets now."""
        ...

    def expel(self, group: str) -> None:
        """End the sessions of a group's members; nobody tells them."""
        ...


class EndpointStand:
    """Our own; a context manager."""

    name = "endpoint"

    def __init__(self) -> None:
        self._stack = ExitStack()
        port = free_port()
        self.endpoint = Endpoint({}, advertised_port=port)
        self.proxy = Proxy(port=port, to_port=self.endpoint.port)
        self.bootstrap = f"127.0.0.1:{self.endpoint.port}"

    def __enter__(self) -> Self:
        self._stack.enter_context(self.endpoint)
        self.proxy.start()
        self._stack.callback(self.proxy.stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, where)

    def make_topics(self, names: dict[Channel, str], *, partitions: int) -> None:
        """See `Stand.make_topics`."""
        self.endpoint.state.add_topics(dict.fromkeys(names.values(), partitions))

    def visible(self, names: dict[Channel, str], channel: Channel, partition: int) -> list[bytes]:
        """See `Stand.visible`."""
        return self.endpoint.state.visible(names[channel], partition)

    def expel(self, group: str) -> None:
        """See `Stand.expel`."""
        self.endpoint.state.group(group).expel()


class BrokerStand:
    """A real one, which somebody else ends.

    Args:
        bootstrap: past the proxy.
        proxy: None: where nobody spoils anything.
    """

    name = "Kafka"

    def __init__(self, bootstrap: str, proxy: Proxy | None = None) -> None:
        self.bootstrap = bootstrap
        self._proxy = proxy
        self._readers: dict[str, KafkaReader] = {}

    @property
    def proxy(self) -> Proxy:
        """Before it."""
        assert self._proxy is not None, "this broker has no proxy before it"
        return self._proxy

    def make_topics(self, names: dict[Channel, str], *, partitions: int) -> None:
        """See `Stand.make_topics`."""
        settings = {
            "num_partitions": partitions,
            "replication_factor": 1,
            "configs": {"retention.ms": "-1"},  # the cases' records are of 1970
        }
        with KafkaAdminClient(bootstrap_servers=self.bootstrap) as admin:
            admin.create_topics(dict.fromkeys(names.values(), settings), wait_for_metadata=True)

    def visible(self, names: dict[Channel, str], channel: Channel, partition: int) -> list[bytes]:
        """See `Stand.visible`."""
        group = names[Channel.EVENTS]
        if group not in self._readers:
            self._readers[group] = KafkaReader(
                Connection(bootstrap_servers=self.bootstrap, names=names, group=group)
            )
        reader = self._readers[group]
        bounds = reader.bounds(channel, partition)
        return [
            record.value or b""
            for batch in reader.read(channel, partition, bounds.start, bounds.end)
            for record in batch
        ]

    def expel(self, group: str) -> None:
        """See `Stand.expel`."""
        with KafkaAdminClient(bootstrap_servers=self.bootstrap) as admin:
            members = admin.describe_groups([group])[group]["members"]
            expelled = [MemberToRemove(member_id=m["member_id"]) for m in members]
            admin.remove_group_members(group, expelled)

    def close(self) -> None:
        """Give the readers back."""
        for reader in self._readers.values():
            reader.close()
        self._readers = {}
