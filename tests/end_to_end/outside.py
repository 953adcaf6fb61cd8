"""What anybody outside sees of a pipeline: its commands and its topics, and nothing of its code."""

import json
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from stream.sandbox import LocalKafka, LocalRedis
from tests.commands.forked import Background, at_once, forks
from tests.commands.project import HASH_SEED, seeded

REPOSITORY = Path(__file__).resolve().parents[2]

ALERTS = '[alerts]\npolicy = "raw"\n'
"""A plain loop knows each firing of a detector, and nothing more."""


@dataclass
class Pipeline:
    """One pipeline on real servers.

    Attributes:
        config: TOML below the server's addresses.
        alerts: the tables [alerts] and [monitors].
        modules: name -> source of Python modules beside the configuration.
    """

    name: str
    folder: Path
    kafka: LocalKafka
    redis: LocalRedis
    config: str
    modules: Mapping[str, str] = field(default_factory=dict)
    partitions: int = 1
    alerts: str = ALERTS
    _asking: dict[int, KafkaConsumer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.configure()
        for module, source in self.modules.items():
            (self.folder / f"{module}.py").write_text(source)
        self.make_topic("events")

    def make_topic(self, channel: str) -> None:
        """Make a topic that upstreams write, with the pipeline's partitions; kept for ever."""
        settings = {
            "num_partitions": self.partitions,
            "replication_factor": 1,
            "configs": {"retention.ms": "-1"},
        }
        with self.administrator() as admin:
            admin.create_topics({f"{self.name}.{channel}": settings}, wait_for_metadata=True)

    def configure(self) -> None:
        """Write its configuration; under whatever name, the hash seed is that of `forks`."""
        (self.folder / "stream.toml").write_text(
            f'pipeline = "{self.name}"\n'
            f'[kafka]\nbootstrap_servers = "{self.kafka.bootstrap_servers}"\n'
            f'[redis]\nurl = "{self.redis.url}"\n{self.alerts}{seeded(self.config)}'
        )

    def administrator(self) -> AbstractContextManager[KafkaAdminClient]:
        """Of the broker's topics and groups."""
        return closing(KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers))

    def feed(self, values: Iterable[bytes | tuple[int, bytes]]) -> int:
        """Append events; a bare value goes to partition 0. Returns: how many."""
        producer = KafkaProducer(
            bootstrap_servers=self.kafka.bootstrap_servers, linger_ms=20, batch_size=1 << 18
        )
        sent = []
        for n, item in enumerate(values):
            partition, value = item if isinstance(item, tuple) else (0, item)
            sent.append(
                producer.send(f"{self.name}.events", value, f"k{n}".encode(), partition=partition)
            )
        producer.flush(60)
        assert all(s.succeeded() for s in sent)
        producer.close()
        return len(sent)

    def send(self, channel: str, rows: Iterable[tuple[int, int, bytes]]) -> int:
        """Append to a topic: (partition, timestamp_ms, value). Returns: how many."""
        producer = KafkaProducer(
            bootstrap_servers=self.kafka.bootstrap_servers, linger_ms=20, batch_size=1 << 18
        )
        topic = f"{self.name}.{channel}"
        sent = [
            producer.send(topic, value, b"key", partition=partition, timestamp_ms=timestamp_ms)
            for partition, timestamp_ms, value in rows
        ]
        producer.flush(60)
        assert all(s.succeeded() for s in sent)
        producer.close()
        return len(sent)

    def environment(self, **more: str) -> dict[str, str]:
        """A worker's environment, with its own place for its own key."""
        state = {"PYTHONPATH": str(REPOSITORY), "XDG_STATE_HOME": str(self.folder / "state")}
        return os.environ | state | at_once(HASH_SEED) | more

    def start(self, *arguments: str, **environment: str) -> Background:
        """A worker in the background; its log goes to worker.log."""
        with (self.folder / "worker.log").open("ab") as log:
            return self.begin("run", *arguments, out=log, **environment)

    def begin(
        self, command: str, *arguments: str, out: IO[bytes], **environment: str
    ) -> Background:
        """A command in the background; all that it says goes to a file.

        It is a fork, which has river loaded, unless its environment asks for another interpreter.
        """
        words = [sys.executable, "-m", "stream", command, "-c", "stream.toml", *arguments]
        variables = self.environment(**environment)
        if forks(HASH_SEED).can(environment):
            return forks(HASH_SEED).start(words, self.folder, variables, out=out, err=out)
        return subprocess.Popen(words, cwd=self.folder, env=variables, stdout=out, stderr=out)

    def control(self, what: str, *more: str, **environment: str) -> subprocess.Popen[bytes]:
        """`stream control`, in the background."""
        command = [sys.executable, "-m", "stream", "control", "-c", "stream.toml", what]
        return subprocess.Popen(
            [*command, "--why", "a test", "--by", "ada", *more], cwd=self.folder,
            env=self.environment(**environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run_until_end(self, *words: str, timeout_s: float = 120, **environment: str) -> None:
        """A worker that does all there is, and ends well."""
        code = self.ended("--until-end", *words, environment=environment, timeout_s=timeout_s)
        assert code == 0, self.log()

    def ended(self, *arguments: str, environment: Mapping[str, str], timeout_s: float = 120) -> int:
        """The exit code of a worker that ends by itself; it is a fork, which has river loaded.

        Raises: subprocess.TimeoutExpired (and the worker was killed).
        """
        command = [sys.executable, "-m", "stream", "run", "-c", "stream.toml", *arguments]
        variables = self.environment(**environment)
        done = forks(HASH_SEED).run(command, self.folder, variables, timeout_s)
        with (self.folder / "worker.log").open("a") as log:
            log.write(done.stderr)
        return done.returncode

    def log(self, lines: int = 30) -> str:
        """The last lines that the workers wrote."""
        return "\n".join((self.folder / "worker.log").read_text().splitlines()[-lines:])

    def records(self, channel: str, partition: int = 0) -> list[Any]:
        """Every committed record of a topic's partition, as any read_committed consumer gets it."""
        tp = TopicPartition(f"{self.name}.{channel}", partition)
        consumer = KafkaConsumer(
            bootstrap_servers=self.kafka.bootstrap_servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        consumer.assign([tp])
        consumer.seek_to_beginning(tp)
        end, found = consumer.end_offsets([tp])[tp], []
        deadline = time.monotonic() + 60
        while consumer.position(tp) < end:
            assert time.monotonic() < deadline, f"{tp} could not be read to its end"
            for batch in consumer.poll(500, max_records=10_000).values():
                found += batch
        consumer.close()
        return found

    def values(self, channel: str, partition: int = 0) -> list[dict[str, Any]]:
        """The JSON of every committed record."""
        return [json.loads(r.value) for r in self.records(channel, partition)]

    def predicted_n(self, partitions: Iterable[int] = (0,)) -> int:
        """How far the predictions have come: end offsets, markers included; cheap to ask often."""
        tps = [TopicPartition(f"{self.name}.predictions", p) for p in partitions]
        known = max(tp.partition for tp in tps)  # of a partition that came later none is told
        if known not in self._asking:
            self._asking[known] = KafkaConsumer(bootstrap_servers=self.kafka.bootstrap_servers)
            weakref.finalize(self, self._asking[known].close)
        return sum(self._asking[known].end_offsets(tps).values())

    def has_predicted(self, n: int, partition: int = 0) -> bool:
        """Whether so many predictions are committed; they are read only once there may be."""
        return (
            self.predicted_n([partition]) >= n and len(self.records("predictions", partition)) >= n
        )


def until(condition: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    """Wait for a condition, at most so long."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


def without_place(prediction: dict[str, Any]) -> dict[str, Any]:
    """A prediction record without where it was: what a plain loop can know."""
    return {k: v for k, v in prediction.items() if k not in {"v", "id", "partition", "offset"}}
