"""What every client is made with, and the one place where its errors become ours."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, errors
from kafka.net.compat import KafkaNetClient

from stream import probing
from stream.adapters.kafka.cluster import Cluster
from stream.adapters.kafka.meaning import CHECK_OPTIONS, our_error
from stream.adapters.kafka_python import codecs
from stream.adapters.kafka_python.meanings import COORDINATOR, meaning_of
from stream.errors import Misconfigured, NotReady, Retryable, StreamError

RECONNECT_BACKOFF_MS_MAX = 1_000
"""Kafka's own default; kafka-python's is 30 s, and so is its recovery from a broker's restart."""

ADMIN_TIMEOUT_MS = 4_000
"""One request of an administrator; two of them stay below the watchdog's deadline of a call."""

DIAGNOSIS_TIMEOUT_MS = 2_000

FIRST_TRY_MS = 1_000
"""So soon it is asked why no broker answers: some answers, a wrong password, are final."""

_FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile")

COORDINATOR_S = 5.0

Client = TypeVar("Client")
Result = TypeVar("Result")

_KNOWN = frozenset().union(
    *(client.DEFAULT_CONFIG for client in (KafkaAdminClient, KafkaConsumer, KafkaProducer))
)


class Connection(Cluster):
    """See `Cluster`; options are in kafka-python's own words.

    Each goes to the clients that know it: `compression_type` to producers only.
    """

    __slots__ = ()

    def make(self, client: Callable[..., Client], doing: str, **settings: Any) -> Client:
        """A client with our settings and the operator's options.

        One that cannot be made leaves nothing behind: kafka-python starts its thread and opens its
        sockets before it asks for the brokers' version, and keeps them when that fails.

        Args:
            client: kafka-python's class.
            doing: what is tried, for the message: "joining the group".
            **settings: ours, for this client.

        Raises: Retryable, Misconfigured.
        """
        self.check_files(_FILES)
        settings = {"bootstrap_timeout_ms": self.bootstrap_timeout_ms, **settings}
        whole_ms = {**settings, **self.options}["bootstrap_timeout_ms"]
        deadline_s = time.monotonic() + whole_ms / 1000
        first_ms = min(FIRST_TRY_MS, whole_ms)
        with self.connecting.waiting():
            try:
                return self._made(client, doing, {**settings, "bootstrap_timeout_ms": first_ms})
            except NotReady:
                raise
            except Retryable as error:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    raise
                self.connecting.say(str(error), left_s=left_s)
            left_ms = round(1000 * left_s)
            return self._made(client, doing, {**settings, "bootstrap_timeout_ms": left_ms})

    def _made(
        self, client: Callable[..., Client], doing: str, settings: Mapping[str, Any]
    ) -> Client:
        """Try once to make a client. Raises: Retryable, Misconfigured."""
        networks: list[KafkaNetClient] = []
        configured: dict[str, Any] = {}

        def network(**configs: Any) -> KafkaNetClient:
            configured.update(configs)
            networks.append(KafkaNetClient(**configs))
            return networks[-1]

        made = None
        try:
            with self.translated(doing):
                made = client(
                    bootstrap_servers=self.bootstrap_servers.split(","),
                    client_id=self.group,
                    kafka_client=network,
                    **{
                        "reconnect_backoff_max_ms": RECONNECT_BACKOFF_MS_MAX,
                        **settings,
                        **self._options(client),
                        "bootstrap_timeout_ms": settings["bootstrap_timeout_ms"],
                    },
                )
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            # What constructors raise on options that they don't know or can't use.
            advice = codecs.advice(str(error))
            todo = "" if advice is None else f"; {advice}"
            raise Misconfigured(f"kafka.options: {doing}: {error}{todo}") from error
        except NotReady:
            raise  # it was reached
        except Retryable as error:
            raise self._diagnosis(configured, doing, error) from error.__cause__
        finally:
            if made is None:
                for each in networks:
                    each.close()
        return made

    def _options(self, client: Any) -> dict[str, Any]:
        """The operator's options for one client; what no client knows is left in, to be refused."""
        known = getattr(client, "DEFAULT_CONFIG", _KNOWN)
        options = {k: v for k, v in self.options.items() if k in known or k not in _KNOWN}
        if options.get("compression_type") == "none":
            options["compression_type"] = None  # every other client's word for it is "none"
        return options

    def _diagnosis(
        self, configured: Mapping[str, Any], doing: str, timed_out: Retryable
    ) -> StreamError:
        """Find out why no broker was reached: of a wrong password the client says "timed out"."""
        protocol = str(configured.get("security_protocol") or "PLAINTEXT")
        login = configured.get("sasl_mechanism") if protocol.startswith("SASL") else None
        obstacle = self.obstacle(doing, protocol=protocol, login=login)
        if obstacle is not None:
            return obstacle
        error = self._told_by_a_connection(configured, login)
        return timed_out if error is None else self.translate(error, doing)

    def _told_by_a_connection(
        self, configured: Mapping[str, Any], login: str | None
    ) -> BaseException | None:
        """Open one connection by hand: it knows the reason that the client keeps to itself."""
        network = KafkaNetClient(**{**configured, "metrics": None})
        try:
            broker = network.cluster.bootstrap_brokers()[0]
            manager = network._manager  # noqa: SLF001  # nothing public tells of one connection
            attempt = manager.get_connection(broker.node_id, timeout_ms=DIAGNOSIS_TIMEOUT_MS)
            network._net.poll(DIAGNOSIS_TIMEOUT_MS, attempt.init_future)  # noqa: SLF001
            error = attempt.init_future.exception
            answered = attempt.broker_version is not None
        finally:
            network.close()
        if answered and login and isinstance(error, errors.KafkaConnectionError):
            # Seen of Kafka 4.1: it hangs up on a wrong password without a word.
            error = errors.SaslAuthenticationFailedError(
                f"the broker hung up on the {login} login: a wrong user or password"
            )
        return error if isinstance(error, BaseException) else None

    def admin(self, **settings: Any) -> KafkaAdminClient:
        """Make an administrator's client. Raises: Retryable, Misconfigured."""
        admin = self.make(
            KafkaAdminClient, "connecting", request_timeout_ms=ADMIN_TIMEOUT_MS, **settings
        )
        brokers = admin._manager.cluster.brokers()  # noqa: SLF001  # as the bootstrap told them
        why = probing.advertised([(b.host, b.port) for b in brokers], self.bootstrap_servers)
        if why is not None:
            admin.close()
            raise Retryable(f"connecting: {why}")
        return admin

    def partitions(self, topics: Collection[str]) -> dict[str, int]:
        """How many partitions each topic has, asked of a broker now; missing ones are left out.

        Raises: Retryable, Misconfigured.
        """
        admin = self.admin(bootstrap_timeout_ms=ADMIN_TIMEOUT_MS)
        try:
            with self.translated(f"describing {', '.join(topics)}"):
                found = [t for t in admin.describe_topics(list(topics)) if topic_is_there(t)]
        finally:
            admin.close()
        return {topic["name"]: len(topic["partitions"]) for topic in found}

    def of_group(self, doing: str, call: Callable[[str], Result]) -> Result:
        """Make an administrator's call about our group, as soon as its coordinator is there.

        On a new cluster the first question makes the brokers create the topic that answers it.

        Raises: Retryable, Misconfigured.
        """
        deadline_s = time.monotonic() + COORDINATOR_S
        while True:
            try:
                with self.translated(doing):
                    return call(self.group)
            except Retryable as error:
                if not isinstance(error.__cause__, COORDINATOR) or time.monotonic() > deadline_s:
                    raise
            time.sleep(0.05)

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """See `Cluster.translated`."""
        try:
            yield
        except StreamError:
            raise
        except (errors.KafkaError, OSError) as error:
            raise self.translate(error, doing) from error

    def translate(self, error: BaseException, doing: str) -> StreamError:
        """The error of ours that a client's error means."""
        said = f"{doing}: {type(error).__name__}{_text(error)}"
        advice = codecs.advice(said) or CHECK_OPTIONS
        return our_error(said, meaning_of(error), servers=self.bootstrap_servers, advice=advice)


def to_metadata(text: str) -> str:
    """Turn a text into what is written beside an offset: it ends with a NUL.

    confluent-kafka (seen in 2.16.1) adds one when it writes, and reads past the end of metadata
    that has none: without it a group could not be moved to that client.
    """
    return f"{text}\0"


def from_metadata(metadata: str | None) -> str:
    """The text of what `to_metadata` made, or what another tool wrote."""
    return (metadata or "").removesuffix("\0")


def topic_is_there(topic: Mapping[str, Any]) -> bool:
    """Whether a described topic exists. Raises: kafka-python's error, if it cannot be told."""
    error = errors.for_code(topic["error_code"])
    if error is errors.UnknownTopicOrPartitionError:
        return False
    if error is not errors.NoError:
        raise error(topic["name"])
    return True


def _text(error: BaseException) -> str:
    text = " ".join(str(error).split())
    name = type(error).__name__
    text = text.removeprefix(f"{name}: ").removeprefix(name)
    return f" ({text[:200]})" if text else ""
