"""What every client is made with, and the one place where librdkafka's errors become ours."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from stream import probing
from stream.adapters.confluent.meanings import CONFIGURATION, meaning_of
from stream.adapters.kafka.cluster import Cluster
from stream.adapters.kafka.meaning import our_error
from stream.errors import Misconfigured, Retryable, StreamError
from stream.ports import Committed

RECONNECT_BACKOFF_MS_MAX = 1_000
"""librdkafka's own is 10 s, and so would be its recovery from a broker's restart."""

ADMIN_TIMEOUT_S = 4.0
"""One request of an administrator; two of them stay below the watchdog's deadline of a call."""

HEARD_N = 20

_FILES = (
    "ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.crl.location",
    "ssl.keystore.location",
)  # fmt: skip

METADATA_MAX_AGE_MS = 5_000
"""So soon a new topic or partition is noticed."""

Client = TypeVar("Client")
Result = TypeVar("Result")

CLIENT_LOG = logging.getLogger("confluent_kafka")


class Connection(Cluster):
    """See `Cluster`; options are in librdkafka's own words, and go to every client."""

    __slots__ = ()

    def make(
        self, client: Callable[[dict[str, Any]], Client], doing: str, settings: Mapping[str, Any]
    ) -> Client:
        """A client with our settings and the operator's options, that has reached a broker.

        Args:
            client: librdkafka's class.
            doing: what is tried, for the message: "joining the group".
            settings: ours, for this client.

        Raises: Retryable, Misconfigured.
        """
        self.check_files(_FILES)
        heard: deque[KafkaError] = deque(maxlen=HEARD_N)  # a client may hear of trouble for years
        configured: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": self.group,
            "reconnect.backoff.max.ms": RECONNECT_BACKOFF_MS_MAX,
            "topic.metadata.refresh.interval.ms": METADATA_MAX_AGE_MS,
            "allow.auto.create.topics": False,
            "log.connection.close": False,
            "error_cb": heard.append,
            "logger": CLIENT_LOG,
            **settings,
            **self.options,
        }
        try:
            made = client(configured)
        except (KafkaException, ValueError, TypeError) as error:
            raise Misconfigured(f"kafka.options: {doing}: {_reason(error)}") from error
        with self.connecting.waiting():
            self._reach(made, doing, heard)
        return made

    def _reach(self, client: Any, doing: str, heard: deque[KafkaError]) -> None:
        """Wait for a broker's answer: of a wrong password librdkafka only tells on the side."""
        deadline_s = time.monotonic() + self.bootstrap_timeout_ms / 1000
        why: StreamError | None = None
        while True:
            try:
                found = client.list_topics("", timeout=min(1.0, self.bootstrap_timeout_ms / 1000))
            except KafkaException as error:
                client.poll(0)
                wrong = next((e for e in heard if e.code() in CONFIGURATION), None)
                if wrong is not None:
                    raise self.translate(wrong, doing) from error
                if why is None:
                    why = self._looked_at(error.args[0], heard, doing)
                    if isinstance(why, Misconfigured):
                        raise why from error
                    self.connecting.say(str(why), left_s=deadline_s - time.monotonic())
                if time.monotonic() > deadline_s:
                    raise self._looked_at(error.args[0], heard, doing) from error
            else:
                heard.clear()
                brokers = [(b.host, b.port) for b in found.brokers.values()]
                elsewhere = probing.advertised(brokers, self.bootstrap_servers)
                if elsewhere is not None:
                    raise Retryable(f"{doing}: {elsewhere}")
                return

    def _looked_at(self, error: KafkaError, heard: Iterable[KafkaError], doing: str) -> StreamError:
        """Find out why no broker answers: librdkafka only knows that the connection broke."""
        options = self.options
        protocol = str(options.get("security.protocol") or "PLAINTEXT").upper()
        mechanism = options.get("sasl.mechanism") or options.get("sasl.mechanisms")
        login = str(mechanism or "GSSAPI") if protocol.startswith("SASL") else None
        obstacle = self.obstacle(doing, protocol=protocol, login=login, worded=_dotted)
        if obstacle is not None:
            return obstacle
        transport = next((e for e in heard if e.code() == KafkaError._TRANSPORT), None)
        return self.translate(transport or error, doing)

    def admin(self) -> AdminClient:
        """Make an administrator's client. Raises: Retryable, Misconfigured."""
        return self.make(AdminClient, "connecting", {})

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """See `Cluster.translated`."""
        try:
            yield
        except KafkaException as error:
            raise self.translate(error.args[0], doing) from error

    def translate(self, error: KafkaError, doing: str) -> StreamError:
        """The error of ours that a client's error means."""
        said = f"{doing}: {error.name()} ({' '.join(error.str().split())[:200]})"
        return our_error(said, meaning_of(error, said), servers=self.bootstrap_servers)


def partitions(client: Any, topic: str, connection: Connection) -> int:
    """How many partitions a topic has, asked of a broker now; 0: it does not exist.

    Raises: Retryable, Misconfigured.
    """
    with connection.translated(f"describing {topic}"):
        found = client.list_topics(topic, timeout=ADMIN_TIMEOUT_S).topics[topic]
    if found.error is not None:
        if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return 0
        raise connection.translate(found.error, f"describing {topic}")
    return len(found.partitions)


def positions_of(
    found: Iterable[TopicPartition], connection: Connection, doing: str
) -> dict[int, Committed]:
    """What a group committed, of the client's answer. Raises: what one says instead."""
    positions = {}
    for each in found:
        if each.error is not None:
            raise connection.translate(each.error, doing)
        if each.offset >= 0:
            positions[each.partition] = Committed(each.offset, each.metadata or "")
    return positions


def unreadable(group: str) -> str:
    """The error for metadata that has no NUL at its end: this client would read past it."""
    return (
        f"kafka.client: what another tool wrote beside the offsets of group {group} cannot be read "
        'with "confluent"; let a worker with client = "kafka-python" commit once'
    )


def _dotted(text: str) -> str:
    """A text about kafka-python's options, in librdkafka's words."""
    dotted = text.replace("security_protocol", "security.protocol")
    return dotted.replace("sasl_mechanism", "sasl.mechanism")


def _reason(error: BaseException) -> str:
    detail = error.args[0] if error.args else error
    return detail.str() if isinstance(detail, KafkaError) else str(detail)
