"""librdkafka's log under contract, on the same broker; the disturbing hands stay kafka-python's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest.mock import patch

from confluent_kafka import KafkaError
from kafka.admin import MemberToRemove

from stream.adapters import confluent
from stream.adapters.confluent import log as log_module
from stream.adapters.confluent import records
from stream.config.timings import Timings
from stream.core.event import Channel
from stream.ports import Feed, Log, Reader, Topics
from stream.sandbox import LocalKafka
from tests.contract.kafka_world import TIMINGS, KafkaWorld
from tests.contract.worlds import Ability


class Saying:
    """A message that says an error, as librdkafka gives one among others."""

    def __init__(self, code: int) -> None:
        self._error = KafkaError(code)

    def error(self) -> KafkaError:
        """The client's own."""
        return self._error


class ConfluentWorld(KafkaWorld):
    """Topics and a group of its own; logs, readers, topics and feeds of librdkafka."""

    unsupported: ClassVar[Mapping[Ability, str]] = {}

    def __init__(self, broker: LocalKafka, *, timings: Timings = TIMINGS) -> None:
        super().__init__(broker, timings=timings)
        self.confluent = confluent.Connection(
            bootstrap_servers=broker.bootstrap_servers,
            names=self.connection.names,
            group=self.connection.group,
        )
        self._clients: list[Log | Reader | Topics | Feed] = []

    def close(self) -> None:
        """See `World.close`."""
        for client in self._clients:
            if id(client) not in self._dead:
                client.close()
        super().close()

    def log(  # type: ignore[override]
        self, *, instance: str | None = None, exactly_once: bool = True
    ) -> Log:
        """See `World.log`."""
        log = confluent.KafkaLog(
            self.confluent,
            timings=self.timings,
            instance=instance,
            exactly_once=exactly_once,
            end_abandoned=self._end_abandoned,
        )
        self._clients.append(log)
        return log

    def reader(self) -> Reader:  # type: ignore[override]
        """See `World.reader`."""
        reader = confluent.KafkaReader(self.confluent)
        self._clients.append(reader)
        return reader

    def topics(self) -> Topics:  # type: ignore[override]
        """See `World.topics`."""
        topics = confluent.KafkaTopics(self.confluent)
        self._clients.append(topics)
        return topics

    def feed(self, *, channel: Channel = Channel.EVENTS) -> Feed:  # type: ignore[override]
        """See `World.feed`."""
        feed = confluent.KafkaFeed(self.confluent, channel=channel)
        self._clients.append(feed)
        return feed

    def kill(self, log: Log) -> None:
        """See `World.kill`: librdkafka's threads cannot be ended from outside, so it goes unheard.

        It sends nothing any more: nobody calls it. Its heartbeats go on until `expire`.
        """
        self._dead.add(id(log))

    def expire(self, log: Log) -> None:
        """See `World.expire`: an administrator removes the member, which spares us the session."""
        assert isinstance(log, confluent.KafkaLog)
        member = MemberToRemove(member_id=log._consumer.memberid())
        with self._admin() as admin:
            admin.remove_group_members(self.connection.group, [member])

    @contextmanager
    def spoiled(self, log: Log) -> Iterator[None]:
        """See `World.spoiled`: after the outputs the offsets name a partition that is not there."""
        assert isinstance(log, confluent.KafkaLog)
        events, log._events = log._events, "no-such-topic"
        yield
        log._events = events

    @contextmanager
    def troubled(self, log: Log) -> Iterator[None]:
        """See `World.troubled`: every poll gives an error among its messages."""
        assert isinstance(log, confluent.KafkaLog)

        def broken(*arguments: Any, **named: Any) -> list[Any]:
            return [Saying(KafkaError._RESOLVE), *records.polled(*arguments, **named)]

        with patch.object(log_module, "polled", broken):
            yield
