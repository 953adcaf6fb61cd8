"""Hand-written on kafka-python.

naive                for record in consumer, json serializers, a send each, default settings
naive-exactly-once   the same in transactions
expert               poll() in batches, msgspec, explicit partition, all sends at the commit
expert-exactly-once  the same in transactions, with a short back-off: the broker asks to try again
                     while it still writes the last transaction's markers
expert-group-commit  the same; a thread publishes and commits while the next batch is learned
"""

import json
import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from tests.instruments.bench import codec
from tests.instruments.bench.meter import Meter, Spec, serve
from tests.instruments.bench.peers.committer import Committer, Outputs
from tests.instruments.bench.peers.pace import BATCH, FETCH_WAIT_MS, GAP_S, INTERVAL_S
from tests.instruments.bench.step import Step

BACK_OFF_MS = 5


def _consumer(spec: Spec, *, committed: bool, **settings: Any) -> Any:
    return KafkaConsumer(
        spec.topic,
        bootstrap_servers=spec.bootstrap,
        group_id=spec.name,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        isolation_level="read_committed" if committed else "read_uncommitted",
        **settings,
    )


def _producer(spec: Spec, *, transactions: bool, **settings: Any) -> Any:
    if transactions:
        settings["transactional_id"] = spec.name
    producer = KafkaProducer(bootstrap_servers=spec.bootstrap, **settings)
    if transactions:
        producer.init_transactions()
    return producer


def _offsets(spec: Spec, position: int) -> dict[Any, Any]:
    return {TopicPartition(spec.topic, 0): OffsetAndMetadata(position, "", -1)}


def naive(spec: Spec, meter: Meter, *, transactions: bool) -> None:
    """As the tutorials do it."""
    step, consumer = Step(spec.model), _consumer(spec, committed=transactions)
    producer = _producer(
        spec, transactions=transactions, value_serializer=lambda value: json.dumps(value).encode()
    )
    in_hand, due = 0, 0.0
    for record in consumer:
        meter.start()
        if not in_hand:
            due = time.monotonic() + INTERVAL_S
            if transactions:
                producer.begin_transaction()
        event_id, features, label = codec.decode(record.value)
        value = codec.prediction(event_id, label, step(features, label))
        producer.send(spec.name, value, key=record.key)
        in_hand += 1
        full = in_hand >= BATCH or step.n == spec.events_n
        if full or (transactions and time.monotonic() >= due):
            offsets = _offsets(spec, record.offset + 1)
            if transactions:
                producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
                producer.commit_transaction()
            else:
                producer.flush()
                consumer.commit(offsets)
            in_hand = 0
        if step.n == spec.events_n:
            break
    meter.stop()


Commit = Callable[[Outputs, int, Any], None]


def expert(spec: Spec, meter: Meter, *, transactions: bool, beside: bool = False) -> None:
    """Batches.

    Args:
        spec: the run's.
        meter: the run's.
        transactions: commit in them.
        beside: commit in a thread of its own.
    """
    decode, encode = codec.expert()
    step = Step(spec.model)
    consumer = _consumer(
        spec, committed=transactions, max_poll_records=BATCH, max_partition_fetch_bytes=4 << 20
    )
    commit = _committing(spec, consumer, transactions=transactions)
    committer = Committer(commit) if beside else None
    gap_s = GAP_S if beside else INTERVAL_S
    outputs: Outputs = []
    position, last = 0, time.monotonic()
    while step.n < spec.events_n:
        polled = consumer.poll(int(gap_s * 1000), max_records=BATCH - len(outputs))
        for records in polled.values():
            meter.start()
            for record in records:
                event_id, features, label = decode(record.value)
                outputs.append((record.key, encode(event_id, label, step(features, label))))
            position = records[-1].offset + 1
        full = len(outputs) >= BATCH or step.n >= spec.events_n
        if full or (outputs and time.monotonic() - last >= gap_s):
            metadata = consumer.group_metadata()
            if committer is None:
                commit(outputs, position, metadata)
            elif not committer.take(outputs, position, metadata, wait=full):
                continue
            outputs, last = [], time.monotonic()
    if committer is not None:
        committer.wait()
    meter.stop()


def _committing(spec: Spec, consumer: Any, *, transactions: bool) -> Commit:
    """Publish outputs and commit the offset after them."""
    producer = _producer(
        spec, transactions=transactions, linger_ms=20, batch_size=1 << 19,
        metrics_enabled=False, retry_backoff_ms=BACK_OFF_MS,
    )  # fmt: skip
    producer.partitions_for(spec.name)

    def commit(outputs: Outputs, position: int, metadata: Any) -> None:
        send, topic, offsets = producer.send, spec.name, _offsets(spec, position)
        if transactions:
            producer.begin_transaction()
        sent = [send(topic, value, key, partition=0) for key, value in outputs]
        if transactions:
            producer.send_offsets_to_transaction(offsets, metadata)
            producer.commit_transaction()
        else:
            producer.flush()
            consumer.commit(offsets)
        assert all(it.is_done and not it.failed() for it in sent)

    return commit


def run(spec: Spec, meter: Meter) -> None:
    """One of the module's loops."""
    if spec.variant.startswith("naive"):
        naive(spec, meter, transactions=spec.variant == "naive-exactly-once")
    else:
        beside = spec.variant == "expert-group-commit"
        expert(spec, meter, transactions=spec.variant != "expert", beside=beside)


if __name__ == "__main__":
    serve(run)
