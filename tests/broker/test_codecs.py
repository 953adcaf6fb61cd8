"""Compressed topics: what any upstream's client may send, a worker with any client reads."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import confluent_kafka
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition, codec
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.memory_records import MemoryRecords

from stream.adapters import confluent, kafka_python
from stream.adapters.kafka_python import KafkaTopics, codecs
from stream.core.event import Channel, Output
from stream.errors import Misconfigured
from stream.sandbox import LocalKafka, LocalRedis, kafka_jars
from tests.commands.project import MODEL, Project
from tests.contract.kafka_world import KafkaWorld
from tests.contract.worlds import Member, create, eventually, settle, values, working

pytestmark = pytest.mark.broker

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
EVENTS_N = 40  # of each codec and producer: two batches, at least one of them compressed
JAVA_WITHIN_S = 120


@pytest.fixture
def world(kafka: LocalKafka) -> Iterator[KafkaWorld]:
    """Topics of our own on the shared broker."""
    opened = KafkaWorld(kafka)
    yield opened
    opened.close()


def event(producer: str, codec_name: str, i: int) -> bytes:
    """As Produce.java writes it."""
    label = "true" if i % 3 == 0 else "false"
    return f'{{"id":"{producer}-{codec_name}-{i}","features":{{"x":{i}}},"label":{label}}}'.encode()


def send_with_java(kafka: LocalKafka, topic: str) -> None:
    """Kafka's own client, which most upstreams have."""
    jars = kafka_jars.installation(say=lambda _: None) / "jars"
    source = Path(__file__).with_name("Produce.java")
    command = [kafka_jars.java(), "-cp", f"{jars}/*", str(source)]
    subprocess.run(
        [*command, kafka.bootstrap_servers, topic, str(EVENTS_N)],
        check=True, capture_output=True, timeout=JAVA_WITHIN_S,
    )  # fmt: skip


def send_with_librdkafka(kafka: LocalKafka, topic: str) -> None:
    """The client below most other languages'."""
    for name in CODECS:
        producer = confluent_kafka.Producer(
            {"bootstrap.servers": kafka.bootstrap_servers, "compression.type": name,
             "linger.ms": 100}
        )  # fmt: skip
        for i in range(EVENTS_N):
            producer.produce(topic, event("librdkafka", name, i), partition=0)
        assert producer.flush(30) == 0


def send_with_kafka_python(kafka: LocalKafka, topic: str) -> None:
    """Python's own."""
    for name in CODECS:
        producer = KafkaProducer(
            bootstrap_servers=kafka.bootstrap_servers,
            compression_type=None if name == "none" else name,
            linger_ms=100,
        )
        sent = [
            producer.send(topic, event("kafka-python", name, i), partition=0)
            for i in range(EVENTS_N)
        ]
        producer.flush(30)
        assert all(each.succeeded() for each in sent)
        producer.close(timeout=2)


SENDERS = {
    "java": send_with_java,
    "librdkafka": send_with_librdkafka,
    "kafka-python": send_with_kafka_python,
}


def codecs_of(kafka: LocalKafka, topic: str) -> set[int]:
    """The codecs of a topic's batches, as their bytes say."""
    found: set[int] = set()

    class Looking(MemoryRecords):  # type: ignore[misc]  # untyped
        def next_batch(self, *arguments: object) -> object:
            batch = super().next_batch(*arguments)
            if isinstance(batch, DefaultRecordBatch) and not batch.is_control_batch:
                found.add(batch.compression_type)
            return batch

    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
    original = consumer._fetcher.PartitionRecords

    class Parsed(original):  # type: ignore[misc, valid-type]  # untyped
        def _unpack_records(self, tp: object, records: MemoryRecords, *rest: object) -> object:
            return super()._unpack_records(tp, Looking(records._buffer), *rest)

    consumer._fetcher.PartitionRecords = Parsed
    with closing(consumer):
        tp = TopicPartition(topic, 0)
        consumer.assign([tp])
        consumer.seek(tp, 0)
        end = consumer.end_offsets([tp])[tp]
        while consumer.position(tp) < end:
            consumer.poll(500)
    return found


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_worker_reads_every_codec_of_every_producer_in_one_partition(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str, client: str
) -> None:
    """One prediction for each event that three producers sent with five codecs each."""
    project = Project(tmp_path)
    servers = f'bootstrap_servers = "{kafka.bootstrap_servers}"\nclient = "{client}"\n'
    project.configure(
        f'[kafka]\n{servers}[redis]\nurl = "{redis_server.url}"\n{MODEL}', pipeline=pipeline
    )
    project.write("one.jsonl", event("produce", "none", 0))
    assert project.stream("produce", "one.jsonl").code == 0  # makes the topics
    for send in SENDERS.values():
        send(kafka, f"{pipeline}.events")

    checked = project.stream("check")
    ran = project.stream("run", "--until-end")

    assert codecs_of(kafka, f"{pipeline}.events") == {0, 1, 2, 3, 4}
    assert checked.code == 0, checked
    assert ran.code == 0, ran
    names = {channel: f"{pipeline}.{channel}" for channel in Channel}
    reader = confluent.KafkaReader(
        confluent.Connection(bootstrap_servers=kafka.bootstrap_servers, names=names, group=pipeline)
    )
    with closing(reader):
        told = [json.loads(value or b"")["id"] for value in values(reader, Channel.PREDICTIONS)]
    expected = [f"{s}-{c}-{i}" for s in SENDERS for c in CODECS for i in range(EVENTS_N)]
    assert told == ["produce-none-0", *expected]


@pytest.mark.parametrize("name", CODECS)
def test_outputs_are_compressed_as_kafka_options_ask(kafka: LocalKafka, name: str) -> None:
    """`compression_type` in kafka-python's words, `compression.type` in librdkafka's.

    Readers and administrators are made with the same options and know no such thing.
    """
    worlds = KafkaWorld(kafka), KafkaWorld(kafka)
    modules = (kafka_python, "compression_type"), (confluent, "compression.type")
    for world, (module, option) in zip(worlds, modules, strict=True):
        create(world)
        connection = module.Connection(
            bootstrap_servers=kafka.bootstrap_servers,
            names=world.connection.names,
            group=world.connection.group,
            options={option: name},
        )
        log = module.KafkaLog(connection, timings=world.timings)
        reader = module.KafkaReader(connection)
        outputs = [Output(Channel.PREDICTIONS, 0, 1_000 + i, None, b"a" * 300) for i in range(50)]
        with closing(log), closing(reader):
            member = Member(log, deadline_s=world.deadline_s)
            settle(lambda: 0 in member.owned, member, deadline_s=world.deadline_s)  # noqa: B023
            log.commit(outputs, {})
            seen = partial(values, reader, Channel.PREDICTIONS)
            eventually([b"a" * 300] * 50, seen, deadline_s=world.deadline_s)

        assert codecs_of(kafka, world.connection.names[Channel.PREDICTIONS]) == {CODECS.index(name)}
        world.close()


def test_a_batch_that_is_large_when_decompressed_is_read(world: KafkaWorld) -> None:
    """A topic's limit is on compressed bytes: 40 kB of them can be 30 MB of events."""
    create(world)
    for name in ("gzip", "snappy", "lz4", "zstd"):
        producer = KafkaProducer(
            bootstrap_servers=world.broker.bootstrap_servers,
            compression_type=name, linger_ms=500, batch_size=40 << 20, max_request_size=64 << 20,
        )  # fmt: skip
        for _ in range(15):
            producer.send(world.connection.names[Channel.EVENTS], b"x" * (1 << 20), partition=0)
        producer.flush(60)
        producer.close(timeout=2)
    for module in (kafka_python, confluent):
        connection = module.Connection(
            bootstrap_servers=world.broker.bootstrap_servers,
            names=world.connection.names,
            group=world.connection.group,
        )
        with closing(module.KafkaReader(connection)) as reader:
            assert [len(v or b"") for v in values(reader, Channel.EVENTS)] == [1 << 20] * 60


def test_a_codec_that_cannot_be_read_names_its_package(
    world: KafkaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check` says it before such a record comes; a worker that meets one says the same."""
    create(world)
    member = working(world)
    send_with_kafka_python(world.broker, world.connection.names[Channel.EVENTS])
    monkeypatch.setattr(codec, "has_snappy", lambda: False)
    monkeypatch.setattr(codecs, "_HAS", {**codecs._HAS, "snappy": codec.has_snappy})

    with pytest.raises(Misconfigured, match="pip install python-snappy"):
        settle(lambda: False, member, deadline_s=world.deadline_s)

    with closing(KafkaTopics(world.connection)) as topics:
        (said,) = topics.denied()
    assert said.endswith("compressed with snappy cannot be read here; pip install python-snappy")
