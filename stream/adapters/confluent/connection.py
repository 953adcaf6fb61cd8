"""What every client is made with, and the one place where librdkafka's errors become ours."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from stream import probing
from stream.core.event import Channel
from stream.errors import Fenced, LogLost, Misconfigured, NotReady, Retryable, StreamError
from stream.probing import Connecting

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

_CONFIGURATION = frozenset({
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.ILLEGAL_SASL_STATE,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
    KafkaError.INVALID_TRANSACTION_TIMEOUT,
    KafkaError.INVALID_SESSION_TIMEOUT,
    KafkaError.INVALID_PARTITIONS,
    KafkaError.INVALID_REPLICATION_FACTOR,
    KafkaError.INVALID_CONFIG,
    KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    KafkaError.POLICY_VIOLATION,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError._INVALID_ARG,
    KafkaError._NOT_IMPLEMENTED,
    KafkaError._UNSUPPORTED_FEATURE,
})  # fmt: skip
_REFUSED = frozenset({
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError.INVALID_RECORD,
})  # fmt: skip
_LOST = frozenset({
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError._LOG_TRUNCATION,
    KafkaError._NO_OFFSET,
})  # fmt: skip
_UNREACHABLE = frozenset({
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
})  # fmt: skip
_NOT_READY = frozenset({
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.NOT_CONTROLLER,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError._WAIT_COORD,
})  # fmt: skip
"""What brokers answer that have just started, or while one of them goes."""

_NO_BROKER_YET = "brokers: 0"
"""In what a new cluster answers to whoever wants a topic: nobody is registered to hold it."""

_FENCED_MEMBER = "fenced by other consumer with same group.instance.id"
CLIENT_LOG = logging.getLogger("confluent_kafka")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How to reach the cluster, and the pipeline's names on it.

    Attributes:
        options: security and the like, in librdkafka's own words; go to every client.
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
        useless = probing.useless_file(self.options, _FILES)
        if useless is not None:
            raise Misconfigured(f"kafka.options.{useless}")
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
                wrong = next((e for e in heard if e.code() in _CONFIGURATION), None)
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
        found = probing.best(self.bootstrap_servers.split(","))
        wrong = probing.wrong_protocol(found, protocol=protocol, mechanism=login)
        if wrong is not None:
            told = wrong.replace("security_protocol", "security.protocol")
            told = told.replace("sasl_mechanism", "sasl.mechanism")
            return Misconfigured(f"kafka.options: {doing}: {told}")
        if found.seen is not probing.Seen.KAFKA:
            return Retryable(
                f"{doing}: is Kafka reachable at {self.bootstrap_servers}? {found.address}: "
                f"{found.seen.value}"
            )
        transport = next((e for e in heard if e.code() == KafkaError._TRANSPORT), None)
        return self.translate(transport or error, doing)

    def admin(self) -> AdminClient:
        """Make an administrator's client. Raises: Retryable, Misconfigured."""
        return self.make(AdminClient, "connecting", {})

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Turn whatever librdkafka raises inside into one of ours.

        Args:
            doing: what was tried, for the message: "reading the committed offsets".
        """
        try:
            yield
        except KafkaException as error:
            raise self.translate(error.args[0], doing) from error

    def translate(self, error: KafkaError, doing: str) -> StreamError:
        """The error of ours that a client's error means."""
        said = f"{doing}: {error.name()} ({' '.join(error.str().split())[:200]})"
        code = error.code()
        # A member that polls is told _FATAL, and why only in the text.
        if code == KafkaError.FENCED_INSTANCE_ID or _FENCED_MEMBER in said:
            return Fenced(
                f"{said}: a newer worker took over this one's name; give each worker its own "
                "worker.instance"
            )
        is_early = code in _NOT_READY or _NO_BROKER_YET in said
        if code in _CONFIGURATION and not is_early:
            return Misconfigured(f"kafka: {said}; check kafka.options and the permissions")
        if code in _REFUSED:
            return Misconfigured(
                f"kafka: {said}; the topic's settings refuse this record: raise max.message.bytes "
                "or message.timestamp.after.max.ms, or lower [limits]"
            )
        if code in _LOST:
            return LogLost(f"{said}; the log does not hold that offset")
        if code in _UNREACHABLE:
            return Retryable(f"{said}; is Kafka at {self.bootstrap_servers} reachable?")
        return NotReady(said) if is_early else Retryable(said)


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


def unreadable(group: str) -> str:
    """The error for metadata that has no NUL at its end: this client would read past it."""
    return (
        f"kafka.client: what another tool wrote beside the offsets of group {group} cannot be read "
        'with "confluent"; let a worker with client = "kafka-python" commit once'
    )


def _reason(error: BaseException) -> str:
    detail = error.args[0] if error.args else error
    return detail.str() if isinstance(detail, KafkaError) else str(detail)
