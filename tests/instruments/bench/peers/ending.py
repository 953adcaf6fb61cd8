"""When a loop is done that cannot say so itself: all its predictions can be read."""

import threading
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from tests.instruments.bench.meter import Spec

LOOK_EVERY_S = 0.01


def wait_for_outputs(spec: Spec) -> None:
    """Return as soon as the topic of the predictions holds as many as there are events."""
    settings = {"bootstrap.servers": spec.bootstrap, "group.id": f"{spec.name}.end"}
    consumer: Any = Consumer(settings)
    partition, nothing = TopicPartition(spec.name, 0), threading.Event()
    while consumer.get_watermark_offsets(partition, timeout=10)[1] < spec.events_n:
        nothing.wait(LOOK_EVERY_S)
