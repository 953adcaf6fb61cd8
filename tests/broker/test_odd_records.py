"""Records that a broker takes and a client of Kafka stumbles over: none stops its partition."""

from collections.abc import Iterator

import pytest
from kafka import KafkaProducer

from stream.core.event import Channel, Headers
from stream.sandbox import LocalKafka
from tests.contract.confluent_world import ConfluentWorld
from tests.contract.kafka_world import KafkaWorld
from tests.contract.worlds import create, everything, settle, working

pytestmark = pytest.mark.broker


@pytest.fixture(params=[KafkaWorld, ConfluentWorld], ids=["kafka-python", "confluent"])
def world(request: pytest.FixtureRequest, kafka: LocalKafka) -> Iterator[KafkaWorld]:
    """Topics of our own on the shared broker, with either client."""
    opened = request.param(kafka)
    yield opened
    opened.close()


class Name(str):
    """A header's name that is written as other bytes."""

    __slots__ = ("raw",)
    raw: bytes

    @classmethod
    def of(cls, raw: bytes) -> "Name":
        """One of these bytes."""
        made = cls("x" * len(raw))
        made.raw = raw
        return made

    def encode(self, *_: object) -> bytes:
        """What the client writes."""
        return self.raw


def test_a_header_whose_name_is_no_utf_8_costs_only_itself(world: KafkaWorld) -> None:
    """Kafka looks at no name; both clients refuse the record, one of them all that follows it."""
    create(world)
    sent: dict[bytes, list[tuple[str, bytes]]] = {
        b"before": [("a", b"1")],
        b"odd": [
            ("a", b"1"), (Name.of(b"\xff\xfe"), b"2"), ("b", b"\xff"), (Name.of(b"\xc3"), b"3"),
        ],
        **{b"odd %d" % i: [(Name.of(b"\x80%d" % i), b"2"), ("c", b"")] for i in range(50)},
        b"nul": [("a\0b", b"4")],
        b"empty": [("", b"")],
        b"many": [("a", b"%d" % i) for i in range(10_000)],
        b"after": [],
    }  # fmt: skip
    producer = KafkaProducer(bootstrap_servers=world.broker.bootstrap_servers)
    for value, headers in sent.items():
        producer.send(world.connection.names[Channel.EVENTS], value, None, headers, 0)
    producer.flush(world.deadline_s)
    producer.close(timeout=2)
    expected: dict[bytes | None, Headers] = {
        **{value: tuple(headers) for value, headers in sent.items()},
        b"odd": (("a", b"1"), ("b", b"\xff")),
        **{b"odd %d" % i: (("c", b""),) for i in range(50)},
        b"nul": (("a", b"4"),),  # librdkafka's names end there, so everybody's do
    }

    member = working(world)
    settle(lambda: len(member.records[0]) == len(sent), member, deadline_s=world.deadline_s)

    assert {r.value: tuple(r.headers) for r in member.records[0]} == expected
    read = everything(world.reader(), Channel.EVENTS)
    assert {r.value: tuple(r.headers) for r in read} == expected
