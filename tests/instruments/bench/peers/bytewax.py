"""Bytewax: a Kafka source, a stateful map that learns, a Kafka sink; at least once.

plain     no recovery store: a crash loses what was learned
recovery  the model is pickled into an SQLite recovery store at the end of every epoch, each second
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.connectors import kafka
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import run_main

from tests.instruments.bench import codec
from tests.instruments.bench.meter import Meter, Spec, serve
from tests.instruments.bench.peers.pace import FETCH_WAIT_MS
from tests.instruments.bench.step import Step

EPOCH = timedelta(seconds=1)


def run(spec: Spec, meter: Meter) -> None:
    """One of the module's loops."""

    def learn(step: Step | None, record: Any) -> tuple[Step, Any]:
        step = step or Step(spec.model)
        event_id, features, label = codec.decode(record.value)
        meter.start()
        value = codec.encode(event_id, label, step(features, label))
        return step, kafka.KafkaSinkMessage(record.key, value)

    brokers = [spec.bootstrap]
    # `tail=False` ends the flow at the end of the topic.
    source = kafka.KafkaSource(
        brokers, [spec.topic], tail=False, add_config={"fetch.wait.max.ms": str(FETCH_WAIT_MS)}
    )
    flow = Dataflow("bench")
    records = op.input("events", flow, source)
    keyed = op.key_on("key", records, lambda record: record.key.decode())
    learned = op.stateful_map("learn", keyed, learn)
    predictions = op.map("unkey", learned, lambda pair: pair[1])
    op.output("predictions", predictions, kafka.KafkaSink(brokers, spec.name))
    if spec.variant == "recovery":
        store = Path(spec.folder) / "recovery"
        store.mkdir()
        init_db_dir(store, 1)
        run_main(flow, epoch_interval=EPOCH, recovery_config=RecoveryConfig(str(store)))
    else:
        run_main(flow)
    meter.stop()  # the sink flushes after each batch, and the flow ends with the last epoch


if __name__ == "__main__":
    serve(run)
