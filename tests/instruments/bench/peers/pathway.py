"""Pathway: a Kafka source, a function of Python that learns, a Kafka sink; at least once.

The model lives in the process: a crash loses what it learned. Rows of one minibatch reach a
function in the order of their keys, not of their offsets.
"""

import threading

import pathway as pw

from tests.instruments.bench import codec
from tests.instruments.bench.meter import Meter, Spec, serve
from tests.instruments.bench.peers.ending import wait_for_outputs
from tests.instruments.bench.peers.pace import FETCH_WAIT_MS, INTERVAL_S
from tests.instruments.bench.step import Step


def run(spec: Spec, meter: Meter) -> None:
    """The loop; never returns."""
    step = Step(spec.model)
    source = pw.io.kafka.read(
        {
            "bootstrap.servers": spec.bootstrap,
            "group.id": spec.name,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": str(FETCH_WAIT_MS),
        },
        topic=spec.topic,
        format="raw",
        autocommit_duration_ms=int(INTERVAL_S * 1000),
    )

    def learn(value: bytes) -> bytes:
        event_id, features, label = codec.decode(value)
        meter.start()
        return codec.encode(event_id, label, step(features, label))

    learned = pw.udf(deterministic=False)(learn)
    predictions = source.select(data=learned(pw.this.data))
    pw.io.kafka.write(
        predictions, {"bootstrap.servers": spec.bootstrap}, topic_name=spec.name, format="raw"
    )
    threading.Thread(target=_end, args=(spec, meter), daemon=True).start()
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


def _end(spec: Spec, meter: Meter) -> None:
    wait_for_outputs(spec)
    meter.stop()
    meter.tell()


if __name__ == "__main__":
    serve(run)
