"""A broker that has just started: no group has a coordinator yet."""

import subprocess
import sys
from pathlib import Path

import pytest

from stream.sandbox import LocalKafka
from tests.patience import HANGS_AFTER_S

pytestmark = pytest.mark.broker

ASK = """
import sys, time
from stream.adapters import MODULE
from stream.core.event import Channel
from stream.errors import Retryable

connection = MODULE.Connection(
    bootstrap_servers=sys.argv[1], names={c: f"cold.{c}" for c in Channel}, group="cold"
)
topics = MODULE.KafkaTopics(connection)
topics.create(Channel.EVENTS, partitions=1, retention_ms=-1)
topics.close()
reader = MODULE.KafkaReader(connection)
for _ in range(60):  # "not yet" is an answer, too
    try:
        print(reader.committed())
    except Retryable:
        time.sleep(0.5)
        continue
    break
reader.close()
"""


@pytest.mark.parametrize("client", ["kafka_python", "confluent"])
def test_the_first_question_to_a_new_broker_has_an_answer(client: str, tmp_path: Path) -> None:
    """With librdkafka an administrator asks, and the process ended with a segmentation fault."""
    kafka = LocalKafka(folder=tmp_path)
    kafka.start()
    try:
        done = subprocess.run(
            [sys.executable, "-c", ASK.replace("MODULE", client), kafka.bootstrap_servers],
            capture_output=True, text=True, check=False, timeout=HANGS_AFTER_S,
        )  # fmt: skip
    finally:
        kafka.stop()

    assert (done.returncode, done.stdout.strip()) == (0, "{}"), done
