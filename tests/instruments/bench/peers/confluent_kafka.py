"""Hand-written on confluent-kafka (librdkafka).

naive                poll() one by one, json, a delivery callback each
expert               consume() in batches, msgspec, explicit partition, no callbacks
expert-exactly-once  the same in transactions
expert-group-commit  the same; a thread publishes and commits batch k (librdkafka lets go of the
                     interpreter's lock while it waits) while the main thread learns batch k+1
"""

import time
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.instruments.bench import codec
from tests.instruments.bench.meter import Meter, Spec, serve
from tests.instruments.bench.peers.committer import Committer
from tests.instruments.bench.peers.pace import BATCH, FETCH_WAIT_MS, GAP_S, INTERVAL_S
from tests.instruments.bench.step import Step

CHUNK = 128
"""Records taken at a time while a commit is under way: few enough to stay in the CPU's cache."""


def _consumer(spec: Spec, *, committed: bool) -> Any:
    consumer = Consumer(
        {
            "bootstrap.servers": spec.bootstrap,
            "group.id": spec.name,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": FETCH_WAIT_MS,
            "isolation.level": "read_committed" if committed else "read_uncommitted",
        }
    )
    consumer.subscribe([spec.topic])
    return consumer


def _producer(spec: Spec, **settings: Any) -> Any:
    return Producer(
        {
            "bootstrap.servers": spec.bootstrap,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 1 << 20,
            **settings,
        }
    )


def _checked(record: Any) -> Any:
    if record.error():
        raise KafkaException(record.error())
    return record


def naive(spec: Spec, meter: Meter) -> None:
    """As the tutorials do it."""
    step, consumer, producer = Step(spec.model), _consumer(spec, committed=False), _producer(spec)
    failed: list[Any] = []

    def delivered(error: Any, _record: Any) -> None:
        if error:
            failed.append(error)

    while step.n < spec.events_n:
        record = consumer.poll(1.0)
        if record is None:
            continue
        event_id, features, label = codec.decode(_checked(record).value())
        meter.start()
        value = codec.encode(event_id, label, step(features, label))
        producer.produce(spec.name, value, key=record.key(), on_delivery=delivered)
        producer.poll(0)
        if step.n % BATCH == 0 or step.n == spec.events_n:
            producer.flush()
            assert not failed, failed[0]
            consumer.commit(message=record, asynchronous=False)
    meter.stop()


def expert(spec: Spec, meter: Meter, *, transactions: bool) -> None:
    """Batches."""
    decode, encode = codec.expert()
    step, consumer = Step(spec.model), _consumer(spec, committed=transactions)
    settings = {"transactional.id": spec.name} if transactions else {}
    producer = _producer(spec, **{"linger.ms": 5}, **settings)
    if transactions:
        producer.init_transactions(30)
    produce, topic = producer.produce, spec.name
    in_hand, due = 0, 0.0
    while step.n < spec.events_n:
        records = consumer.consume(BATCH - in_hand, INTERVAL_S)
        if records:
            meter.start()
            if not in_hand:
                due = time.monotonic() + INTERVAL_S
                if transactions:
                    producer.begin_transaction()
            in_hand += len(records)
        for record in records:
            event_id, features, label = decode(_checked(record).value())
            produce(topic, encode(event_id, label, step(features, label)), record.key(), 0)
        full = in_hand >= BATCH or step.n >= spec.events_n
        if full or (in_hand and time.monotonic() >= due):
            offsets = consumer.position(consumer.assignment())
            if transactions:
                producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())
                producer.commit_transaction()
            else:
                assert producer.flush() == 0
                consumer.commit(offsets=offsets, asynchronous=False)
            in_hand = 0
    meter.stop()


def group_commit(spec: Spec, meter: Meter) -> None:
    """Whatever was learned while the last transaction was committed goes into the next one."""
    decode, encode = codec.expert()
    step, consumer = Step(spec.model), _consumer(spec, committed=True)
    producer = _producer(spec, **{"transactional.id": spec.name, "linger.ms": 5})
    producer.init_transactions(30)

    def commit(outputs: list[tuple[bytes, bytes]], position: int, metadata: Any) -> None:
        produce, topic = producer.produce, spec.name
        producer.begin_transaction()
        for key, value in outputs:
            produce(topic, value, key, 0)
        offsets = [TopicPartition(spec.topic, 0, position)]
        producer.send_offsets_to_transaction(offsets, metadata)
        producer.commit_transaction()

    committer = Committer(commit)
    outputs: list[tuple[bytes, bytes]] = []
    position, last = 0, 0.0
    while step.n < spec.events_n:
        # poll() returns as soon as there is one; consume(k, 0) takes what else is there
        first = consumer.poll(GAP_S if outputs else INTERVAL_S)
        if first is not None:
            meter.start()
            for record in (first, *consumer.consume(min(CHUNK, BATCH - len(outputs)), 0)):
                event_id, features, label = decode(_checked(record).value())
                answer = step(features, label)
                outputs.append((record.key(), encode(event_id, label, answer)))
                position = record.offset() + 1
        full = len(outputs) >= BATCH or step.n >= spec.events_n
        if full or (outputs and time.monotonic() - last >= GAP_S):
            metadata = consumer.consumer_group_metadata()
            if committer.take(outputs, position, metadata, wait=full):
                outputs, last = [], time.monotonic()
    committer.wait()
    meter.stop()


def run(spec: Spec, meter: Meter) -> None:
    """One of the module's loops."""
    if spec.variant == "naive":
        naive(spec, meter)
    elif spec.variant == "expert-group-commit":
        group_commit(spec, meter)
    else:
        expert(spec, meter, transactions=spec.variant == "expert-exactly-once")


if __name__ == "__main__":
    serve(run)
