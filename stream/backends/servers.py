"""The log on a Kafka, through whichever client was chosen, and the snapshots in a Redis."""

import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from stream.backends.side import Side
from stream.config import Settings
from stream.core.event import Channel
from stream.errors import Misconfigured
from stream.ports import Clock, Feed, Log, Reader, Topics
from stream.probing import Connecting
from stream.runtime.patience import Patience

if TYPE_CHECKING:
    from stream.adapters.redis import RedisSnapshots

_Made = TypeVar("_Made")


class _Client(Protocol):
    """What the package of a Kafka client has; all of them take a `Connection` first."""

    Connection: Callable[..., object]
    KafkaLog: Callable[..., Log]
    KafkaReader: Callable[..., Reader]
    KafkaTopics: Callable[..., Topics]
    KafkaFeed: Callable[..., Feed]


@dataclass(frozen=True)
class Servers:
    """See `stream.runtime.pipeline.Backend`. Whatever opens raises Misconfigured, Retryable."""

    settings: Settings
    clock: Clock
    patience: Patience
    connecting: Connecting
    is_backwards: bool = False
    _joined: threading.Event = field(default_factory=threading.Event)

    @property
    def _side(self) -> Side:
        return Side(self.settings, self.is_backwards)

    def backwards(self) -> "Servers":
        """See `Backend.backwards`."""
        return replace(self, is_backwards=True)

    def log(self, *, record_bytes_max: int | None = None) -> Log:
        """See `Backend.log`."""
        client, connection = self._client()
        exactly_once = self.settings.delivery.guarantee == "exactly-once"
        log = client.KafkaLog(
            connection,
            timings=self.settings.timings,
            instance=self._side.instance(),
            exactly_once=exactly_once or self.is_backwards,
            end_abandoned=self._end_abandoned,
            record_bytes_max=record_bytes_max,
        )
        self._joined.set()
        return log

    def _end_abandoned(self, own_id: str) -> None:
        """What dead nameless workers left open, with the only client that can ask for it."""
        from stream.adapters import kafka_python  # noqa: PLC0415  # another client may be chosen

        options = self.settings.kafka.for_kafka_python()
        connection = self._connection(kafka_python.Connection, options)
        kafka_python.end_abandoned(connection, self.settings.timings, own_id=own_id)

    def reader(self) -> Reader:
        """See `Backend.reader`."""
        client, connection = self._client()
        return self.patience.through(self.patience.ask(lambda: client.KafkaReader(connection)))

    def topics(self) -> Topics:
        """See `Backend.topics`."""
        client, connection = self._client()
        return self.patience.through(self.patience.ask(lambda: client.KafkaTopics(connection)))

    def feed(self, *, channel: Channel = Channel.EVENTS) -> Feed:
        """See `Backend.feed`."""
        client, connection = self._client()
        return client.KafkaFeed(connection, channel=channel)

    def snapshots(self) -> "RedisSnapshots":
        """See `Backend.snapshots`."""
        from stream.adapters.redis import RedisSnapshots  # noqa: PLC0415  # few commands need it

        return RedisSnapshots(
            self.settings.redis.url.get_secret_value(),
            pipeline=self.settings.pipeline,
            clock=self.clock,
            call_timeout_s=self.settings.timings.store_timeout_s,
        )

    def ask_snapshots(self) -> str | None:
        """See `Backend.ask_snapshots`."""
        with closing(self.snapshots()) as store:
            return self.patience.ask(store.ping)

    def is_idle(self) -> bool:
        """See `Backend.is_idle`."""
        is_waiting = self.connecting.is_waiting or self.patience.is_waiting
        return is_waiting and not self._joined.is_set()

    def end_patience(self) -> None:
        """See `Backend.end_patience`."""
        self.patience.end()

    def _client(self) -> tuple[_Client, object]:
        """The client's package, and its connection. Raises: Misconfigured: it is not installed."""
        kafka = self.settings.kafka
        name = kafka.client.replace("-", "_")
        try:
            client = cast("_Client", import_module(f"stream.adapters.{name}"))
        except ModuleNotFoundError as error:
            raise Misconfigured(
                f'kafka.client: "{kafka.client}" needs {error.name}, which is not installed '
                f"(pip install 'streamfold[{kafka.client}]')"
            ) from error
        return client, self._connection(client.Connection, kafka.options)

    def _connection(self, make: Callable[..., _Made], options: Mapping[str, object]) -> _Made:
        return make(
            bootstrap_servers=self.settings.kafka.bootstrap_servers,
            options=options,
            names=self._side.names(),
            group=self._side.group(),
            connecting=self.connecting,
        )
