"""Faust (faust-streaming): an agent that sends a prediction for each event; at least once.

The model lives in the process: a crash loses what it learned.
"""

import asyncio
from typing import Any

import faust

from tests.instruments.bench import codec
from tests.instruments.bench.meter import Meter, Spec, serve
from tests.instruments.bench.peers.pace import BATCH, INTERVAL_S
from tests.instruments.bench.step import Step


def run(spec: Spec, meter: Meter) -> None:
    """The loop; never returns."""
    step = Step(spec.model)
    app = faust.App(
        spec.name,
        broker=f"kafka://{spec.bootstrap}",
        store="memory://",
        datadir=spec.folder,
        web_enabled=False,
        topic_partitions=1,
        topic_disable_leader=True,
        processing_guarantee="at_least_once",
        broker_commit_every=BATCH,
        broker_commit_interval=INTERVAL_S,
        consumer_auto_offset_reset="earliest",
        producer_linger=0.005,
        stream_wait_empty=False,
    )
    raw: dict[str, Any] = {
        "key_type": bytes, "key_serializer": "raw", "value_type": bytes, "value_serializer": "raw",
    }  # fmt: skip
    source, target = app.topic(spec.topic, **raw), app.topic(spec.name, **raw)
    ending: list[asyncio.Task[None]] = []

    async def finish(sent: Any) -> None:
        await sent
        await app.producer.flush()
        await app.consumer.commit()
        meter.stop()
        meter.tell()

    async def learn(stream: Any) -> None:
        async for record in stream.events():
            event_id, features, label = codec.decode(record.value)
            meter.start()
            value = codec.encode(event_id, label, step(features, label))
            sent = await target.send(key=record.key, value=value)
            if step.n == spec.events_n:
                ending.append(asyncio.ensure_future(finish(sent)))

    app.agent(source)(learn)
    worker = faust.Worker(app, loglevel="warning", override_logging=True)
    worker.execute_from_commandline()


if __name__ == "__main__":
    serve(run)
