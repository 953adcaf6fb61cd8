"""PyFlink: a Kafka source, a keyed process function that learns, a Kafka sink; at least once.

process  Python in a process of its own beside the JVM (the default)
thread   Python in the JVM

The model lives on the function: a crash loses what it learned (in Flink's own state it would be
pickled for each event, as with Quix Streams).
"""

import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyflink.common import Configuration, SimpleStringSchema, Types, WatermarkStrategy
from pyflink.datastream import KeyedProcessFunction, StreamExecutionEnvironment
from pyflink.datastream.connectors.base import DeliveryGuarantee
from pyflink.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)

from tests.instruments.bench import codec
from tests.instruments.bench.meter import Meter, Spec, Stopwatch, between, serve
from tests.instruments.bench.peers.ending import wait_for_outputs
from tests.instruments.bench.peers.pace import FETCH_WAIT_MS
from tests.instruments.bench.step import Step

CHECKPOINT_EVERY_MS = 1_000


class Learn(KeyedProcessFunction):  # type: ignore[misc]  # no types in our own environment
    """The step; notes in `marks` when it saw the first event and how long it waited for a core."""

    def __init__(self, model: str, events_n: int, marks: str) -> None:
        self._model = model
        self._events_n = events_n
        self._marks = marks

    def open(self, runtime_context: Any) -> None:  # noqa: ARG002  # Flink's signature
        """Make the model, in the process that learns."""
        self._step = Step(self._model)
        self._watch = Stopwatch(whole_session=True)
        self._began: tuple[float, float, float] | None = None

    def process_element(self, value: str, ctx: Any) -> Iterator[str]:  # noqa: ARG002  # Flink's
        """One event."""
        event_id, features, label = codec.decode(value)
        if self._began is None:
            self._watch.start()
            self._began = self._watch.now()
        yield codec.encode(event_id, label, self._step(features, label)).decode()
        if self._step.n == self._events_n:
            marks = {"began": self._began, "waited": self._watch.now()[2]}
            Path(self._marks).write_text(json.dumps(marks))


def _environment(spec: Spec) -> Any:
    configuration = Configuration()
    configuration.set_string("python.execution-mode", spec.variant)
    configuration.set_string("python.executable", sys.executable)
    configuration.set_string("python.client.executable", sys.executable)
    environment = StreamExecutionEnvironment.get_execution_environment(configuration)
    environment.set_parallelism(1)
    environment.enable_checkpointing(CHECKPOINT_EVERY_MS)
    environment.add_jars(*(jar.as_uri() for jar in (Path(sys.prefix) / "jars").glob("*.jar")))
    return environment


def run(spec: Spec, meter: Meter) -> None:
    """One of the module's loops."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment, marks = _environment(spec), Path(spec.folder) / "marks"
    source = (
        KafkaSource.builder()
        .set_bootstrap_servers(spec.bootstrap)
        .set_topics(spec.topic)
        .set_group_id(spec.name)
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_property("fetch.max.wait.ms", str(FETCH_WAIT_MS))
        .set_value_only_deserializer(SimpleStringSchema())
        .build()
    )
    serializer = (
        KafkaRecordSerializationSchema.builder()
        .set_topic(spec.name)
        .set_value_serialization_schema(SimpleStringSchema())
        .build()
    )
    sink = (
        KafkaSink.builder()
        .set_bootstrap_servers(spec.bootstrap)
        .set_record_serializer(serializer)
        .set_delivery_guarantee(DeliveryGuarantee.AT_LEAST_ONCE)
        .build()
    )
    learn = Learn(spec.model, spec.events_n, str(marks))
    predictions = (
        environment.from_source(source, WatermarkStrategy.no_watermarks(), "events")
        .key_by(lambda _: "one", key_type=Types.STRING())
        .process(learn, output_type=Types.STRING())
    )
    predictions.sink_to(sink)
    environment.execute_async("bench")
    wait_for_outputs(spec)
    watch = Stopwatch(whole_session=True)
    ended = watch.now()
    while not marks.exists() or not marks.read_text():
        threading.Event().wait(0.01)
    told = json.loads(marks.read_text())
    began: tuple[float, float, float] = tuple(told["began"])
    meter.tell(taken=between(began, (ended[0], ended[1], told["waited"])))


if __name__ == "__main__":
    serve(run)
