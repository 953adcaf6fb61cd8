"""Hand-written on aiokafka.

naive                async for, json, an awaited send each
expert               getmany(), msgspec, larger batches
expert-exactly-once  the same in transactions
"""

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.instruments.bench import codec
from tests.instruments.bench.meter import Meter, Spec, serve
from tests.instruments.bench.peers.pace import BATCH, FETCH_WAIT_MS, INTERVAL_S
from tests.instruments.bench.step import Step


async def _clients(spec: Spec, *, transactions: bool, **settings: Any) -> tuple[Any, Any]:
    if transactions:
        settings["transactional_id"] = spec.name
    consumer = AIOKafkaConsumer(
        spec.topic,
        bootstrap_servers=spec.bootstrap,
        group_id=spec.name,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed" if transactions else "read_uncommitted",
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )
    producer = AIOKafkaProducer(bootstrap_servers=spec.bootstrap, **settings)
    await consumer.start()
    await producer.start()
    return consumer, producer


async def naive(spec: Spec, meter: Meter) -> None:
    """As the tutorials do it."""
    step = Step(spec.model)
    consumer, producer = await _clients(spec, transactions=False)
    async for record in consumer:
        meter.start()
        event_id, features, label = codec.decode(record.value)
        value = codec.encode(event_id, label, step(features, label))
        await producer.send(spec.name, value, key=record.key)
        if step.n % BATCH == 0 or step.n == spec.events_n:
            await producer.flush()
            await consumer.commit()
        if step.n == spec.events_n:
            break
    meter.stop()


async def expert(spec: Spec, meter: Meter, *, transactions: bool) -> None:
    """Batches."""
    decode, encode = codec.expert()
    step, partition = Step(spec.model), TopicPartition(spec.topic, 0)
    consumer, producer = await _clients(
        spec, transactions=transactions, linger_ms=5, max_batch_size=1 << 18
    )
    in_hand, position, due = 0, 0, 0.0
    while step.n < spec.events_n:
        fetched = await consumer.getmany(
            timeout_ms=int(INTERVAL_S * 1000), max_records=BATCH - in_hand
        )
        for records in fetched.values():
            meter.start()
            if not in_hand:
                due = time.monotonic() + INTERVAL_S
                if transactions:
                    await producer.begin_transaction()
            for record in records:
                event_id, features, label = decode(record.value)
                value = encode(event_id, label, step(features, label))
                await producer.send(spec.name, value, key=record.key, partition=0)
            in_hand += len(records)
            position = records[-1].offset + 1
        full = in_hand >= BATCH or step.n >= spec.events_n
        if full or (in_hand and time.monotonic() >= due):
            if transactions:
                await producer.send_offsets_to_transaction({partition: position}, spec.name)
                await producer.commit_transaction()
            else:
                await producer.flush()
                await consumer.commit({partition: position})
            in_hand = 0
    meter.stop()


def run(spec: Spec, meter: Meter) -> None:
    """One of the module's loops."""
    if spec.variant == "naive":
        asyncio.run(naive(spec, meter))
    else:
        asyncio.run(expert(spec, meter, transactions=spec.variant == "expert-exactly-once"))


if __name__ == "__main__":
    serve(run)
