"""The log on a real Kafka under contract: one broker a session, topics and a group of one's own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar, Self
from unittest.mock import patch
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import MemberToRemove
from kafka.serializer import Serializer

from stream.adapters.kafka_python import (
    Connection,
    KafkaFeed,
    KafkaLog,
    KafkaReader,
    KafkaTopics,
    end_abandoned,
)
from stream.adapters.kafka_python.nulls import NullHeaders, to_client
from stream.config.timings import Timings
from stream.core.event import Channel
from stream.errors import Retryable
from stream.ports import Log
from stream.sandbox import LocalKafka
from tests.contract.worlds import GROUP, Ability, Fate, Raw

# Rebalances are heard of with the next heartbeat: the tests wait for many.
TIMINGS = replace(Timings.of(10.0), heartbeat_interval_ms=100)
CLOSED_WITHIN_S = 2.0


class _Null(Serializer):  # type: ignore[misc]  # untyped; the client demands the class
    """Lets null keys and values pass: the client refuses a record that has neither."""

    def serialize(self, topic: str, headers: object, data: bytes | str) -> bytes | None:  # noqa: ARG002
        """The string is our word for null."""
        if isinstance(headers, NullHeaders):
            headers.reveal()
        return None if isinstance(data, str) else data


class KafkaWorld:
    """Topics and a group of its own on the broker that all tests share."""

    unsupported: ClassVar[Mapping[Ability, str]] = {}
    marks: ClassVar[Sequence[pytest.MarkDecorator]] = (pytest.mark.broker,)
    deadline_s: ClassVar[float] = 120.0
    hearing_s: ClassVar[float] = 1.5

    def __init__(self, broker: LocalKafka, *, timings: Timings = TIMINGS) -> None:
        self.broker = broker
        self.timings = timings
        name = f"{GROUP}-{uuid4().hex[:8]}"
        self.connection = Connection(
            bootstrap_servers=broker.bootstrap_servers,
            names={channel: f"{name}.{channel.value}" for channel in Channel},
            group=name,
        )
        self._made: list[KafkaLog | KafkaReader | KafkaTopics | KafkaFeed] = []
        self._dead: set[int] = set()
        self._open: list[KafkaProducer] = []

    @classmethod
    def open(cls, request: pytest.FixtureRequest) -> Self:
        """See `World.open`."""
        return cls(request.getfixturevalue("kafka"))

    def close(self) -> None:
        """See `World.close`."""
        for producer in self._open:
            producer.abort_transaction()
            producer.close(timeout=CLOSED_WITHIN_S)
        for client in self._made:
            if id(client) not in self._dead:
                client.close()

    def log(self, *, instance: str | None = None, exactly_once: bool = True) -> KafkaLog:
        """See `World.log`."""
        log = KafkaLog(
            self.connection,
            timings=self.timings,
            instance=instance,
            exactly_once=exactly_once,
            end_abandoned=self._end_abandoned,
        )
        self._made.append(log)
        return log

    def _end_abandoned(self, own_id: str) -> None:
        end_abandoned(self.connection, self.timings, own_id=own_id)

    def reader(self) -> KafkaReader:
        """See `World.reader`."""
        reader = KafkaReader(self.connection)
        self._made.append(reader)
        return reader

    def topics(self) -> KafkaTopics:
        """See `World.topics`."""
        topics = KafkaTopics(self.connection)
        self._made.append(topics)
        return topics

    def feed(self, *, channel: Channel = Channel.EVENTS) -> KafkaFeed:
        """See `World.feed`."""
        feed = KafkaFeed(self.connection, channel=channel)
        self._made.append(feed)
        return feed

    def append(
        self,
        raws: Sequence[Raw],
        *,
        channel: Channel = Channel.EVENTS,
        partition: int = 0,
        fate: Fate = Fate.PLAIN,
    ) -> None:
        """See `World.append`."""
        transaction = {} if fate is Fate.PLAIN else {"transactional_id": f"other-{uuid4().hex}"}
        producer = KafkaProducer(
            bootstrap_servers=self.broker.bootstrap_servers,
            key_serializer=_Null(),
            value_serializer=_Null(),
            retry_backoff_ms=20,
            **transaction,
        )
        if transaction:
            producer.init_transactions()
            producer.begin_transaction()
        sent = [
            producer.send(
                self.connection.names[channel],
                "null" if raw.value is None else raw.value,
                "null" if raw.key is None else raw.key,
                to_client(raw.headers),
                partition,
                raw.timestamp_ms,
            )
            for raw in raws
        ]
        producer.flush(self.deadline_s)
        assert all(delivery.succeeded() for delivery in sent)
        if fate is Fate.OPEN:
            self._open.append(producer)
            return
        if fate is Fate.COMMITTED:
            producer.commit_transaction()
        elif fate is Fate.ABORTED:
            producer.abort_transaction()
        producer.close(timeout=CLOSED_WITHIN_S)

    def delete_before(self, channel: Channel, partition: int, offset: int) -> None:
        """See `World.delete_before`."""
        with self._admin() as admin:
            admin.delete_records(
                {TopicPartition(self.connection.names[channel], partition): offset}
            )

    def kill(self, log: Log) -> None:
        """See `World.kill`: its threads end and its sockets close, and nothing more is sent."""
        assert isinstance(log, KafkaLog)
        self._dead.add(id(log))
        if log._producer is not None:
            log._producer._sender.force_close()
            log._producer._sender.join(CLOSED_WITHIN_S)
            log._producer._closed = True
        log._consumer._client.close()
        log._consumer._closed = True

    def expire(self, log: Log) -> None:
        """See `World.expire`: an administrator removes the member, which spares us the session."""
        assert isinstance(log, KafkaLog)
        member = MemberToRemove(member_id=log._metadata.member_id)
        with self._admin() as admin:
            admin.remove_group_members(self.connection.group, [member])

    @contextmanager
    def spoiled(self, log: Log) -> Iterator[None]:
        """See `World.spoiled`: the group's coordinator refuses offsets of another generation."""
        assert isinstance(log, KafkaLog)
        metadata, coordinator = log._metadata, log._consumer._coordinator
        generation = coordinator._generation
        log._metadata = metadata._replace(generation_id=metadata.generation_id + 7)
        if not log._exactly_once:
            coordinator._generation = type(generation)(
                generation.generation_id + 7, generation.member_id, generation.protocol
            )
        yield
        log._metadata = metadata

    @contextmanager
    def troubled(self, log: Log) -> Iterator[None]:
        """See `World.troubled`: no broker tells of the topic, where a poll gave no records."""
        assert isinstance(log, KafkaLog)
        away = Retryable("no broker answers")
        with patch.object(log._membership, "check_topic", side_effect=away):
            yield

    def _admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(bootstrap_servers=self.broker.bootstrap_servers)
