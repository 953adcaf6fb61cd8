"""How to reach a cluster: what every client's connection is told, and what keeps one away."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from stream import probing
from stream.core.event import Channel
from stream.errors import Misconfigured, Retryable, StreamError
from stream.probing import Connecting


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster(ABC):
    """How to reach the cluster, and the pipeline's names on it.

    Attributes:
        options: security and the like, in the client's own words.
        names: the topic of each channel.
        group: the consumer group's id, and the beginning of transactional ids.
        bootstrap_timeout_ms: a broker that does not answer within this is not reachable.
        connecting: called while a broker is waited for.
    """

    bootstrap_servers: str
    names: Mapping[Channel, str]
    group: str
    options: Mapping[str, Any] = field(default_factory=dict)
    bootstrap_timeout_ms: int = 10_000
    connecting: Connecting = field(default_factory=Connecting)

    @abstractmethod
    def translated(self, doing: str) -> AbstractContextManager[None]:
        """Turn whatever the client raises inside into one of ours, with that as its cause.

        Args:
            doing: what was tried, for the message: "reading the committed offsets".
        """

    def check_files(self, options: Sequence[str]) -> None:
        """Look at the files that these options name. Raises: Misconfigured: one is of no use."""
        useless = probing.useless_file(self.options, options)
        if useless is not None:
            raise Misconfigured(f"kafka.options.{useless}")

    def obstacle(
        self,
        doing: str,
        *,
        protocol: str,
        login: str | None,
        worded: Callable[[str], str] = str,
    ) -> StreamError | None:
        """Find out why no broker answers; None: a Kafka does, and in that protocol.

        Args:
            doing: what was tried, for the message.
            protocol: the client's `security_protocol`.
            login: its SASL mechanism; None: it wants none.
            worded: puts names of options into the client's own words.
        """
        found = probing.best(self.bootstrap_servers.split(","))
        wrong = probing.wrong_protocol(found, protocol=protocol, mechanism=login)
        if wrong is not None:
            return Misconfigured(f"kafka.options: {doing}: {worded(wrong)}")
        if found.seen is not probing.Seen.KAFKA:
            return Retryable(
                f"{doing}: is Kafka reachable at {self.bootstrap_servers}? {found.address}: "
                f"{found.seen.value}"
            )
        return None
