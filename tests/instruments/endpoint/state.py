"""What the endpoint holds: the ledger, the groups, and where clients are told to go."""

import threading

from tests.instruments.endpoint.group import Group
from tests.instruments.endpoint.ledger import Ledger

HOST = "127.0.0.1"
NODE = 1


class State:
    """Shared by all connections.

    Args:
        topics: name -> how many partitions.

    Attributes:
        ledger: look at it with `lock` held.
        advertised_port: where clients are told to go.
    """

    def __init__(self, topics: dict[str, int]) -> None:
        self.topics = topics
        self.ledger = Ledger(topics)
        self.lock = threading.Lock()
        self.advertised_port = 0
        self._groups: dict[str, Group] = {}

    def group(self, name: str) -> Group:
        """The group's coordinator."""
        with self.lock:
            return self._groups.setdefault(name, Group())

    def add_topics(self, topics: dict[str, int]) -> None:
        """More topics."""
        with self.lock:
            self.topics |= topics
            self.ledger.partitions |= Ledger(topics).partitions

    def visible(self, topic: str, partition: int = 0) -> list[bytes]:
        """The committed values of a partition."""
        with self.lock:
            return self.ledger.partitions[topic, partition].visible()

    def open_ids(self) -> list[str]:
        """The transactional ids whose transaction is open."""
        with self.lock:
            return self.ledger.open_ids()
