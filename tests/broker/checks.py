"""What the broker tests look at from outside: processes, ports, records."""

import os
import socket
import subprocess
from pathlib import Path

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic

from stream.sandbox import LocalKafka
from stream.sandbox.reaper import CONTAINER_LABEL
from tests.patience import HANGS_AFTER_S, eventually

ROOT = Path(__file__).parents[2]
HAPPENS_WITHIN_S = HANGS_AFTER_S


def environment(**changes: str) -> dict[str, str]:
    """Ours, with this repository importable."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


def containers_of(port: str) -> list[str]:
    """Ids of the sandbox containers that publish `port`."""
    command = ["docker", "ps", "-aq", "--filter", f"label={CONTAINER_LABEL}"]
    publishing = [*command, "--filter", f"publish={port}"]
    return subprocess.run(publishing, capture_output=True, check=True, text=True).stdout.split()


def process_lines(needle: str) -> list[str]:
    """The command lines of all live processes that mention `needle`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if needle in line:
            found.append(line)
    return found


def listening(address: str) -> bool:
    """Whether somebody accepts connections there."""
    host, port = address.removeprefix("redis://").split("/")[0].split(":")
    try:
        socket.create_connection((host, int(port)), 1.0).close()
    except OSError:
        return False
    return True


def make_topic(broker: LocalKafka, topic: str) -> None:
    """A topic with one partition, made by the administrator."""
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers, **broker.client_options())
    admin.create_topics([NewTopic(topic, 1, 1)])
    admin.close()


def publish(broker: LocalKafka, topic: str, value: bytes) -> None:
    """One record in one transaction."""
    producer = KafkaProducer(
        bootstrap_servers=broker.bootstrap_servers, transactional_id=f"{topic}-writer"
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic, value)
    producer.commit_transaction()
    producer.close(timeout=5)


def committed_values(broker: LocalKafka, topic: str) -> list[bytes]:
    """All committed records of a topic that has at least one."""
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap_servers,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    values: list[bytes] = []

    def polled() -> bool:
        for records in consumer.poll(200).values():
            values.extend(record.value for record in records)
        return bool(values)

    eventually(polled, f"a record in {topic}")
    consumer.close()
    return values
