"""A pipeline whose workers are exchanged for others of another version, while events come."""

import json
import re
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from river import base, compose, linear_model, preprocessing

from stream.errors import ExitCode
from tests.commands.forked import Background
from tests.end_to_end import plain_loop
from tests.end_to_end.outside import Pipeline, until, without_place

PARTITIONS = 4
BATCH_N = 400  # a partition
TAKES_S_MAX = 240
MODULE = """
from river import compose, linear_model, preprocessing
def make():
    numbers = compose.Discard("text") | preprocessing.StandardScaler()
    return numbers | linear_model.LogisticRegression()
"""
CONFIG = '[model]\nfactory = "own_model:make"\n[snapshots]\nrecovery_time_s = 6\n'
MODULES = {"own_model": MODULE}
"""A model of its user's, which no version of ours changes."""

MAY_END_WITH = (0, -signal.SIGKILL, ExitCode.FENCED)


def _model() -> base.Estimator:
    numbers = compose.Discard("text") | preprocessing.StandardScaler()
    return numbers | linear_model.LogisticRegression()


def _events(partition: int, batches: int) -> list[dict[str, Any]]:
    random = Random(partition)
    made = []
    for n in range(BATCH_N * batches):
        x = random.uniform(-1, 1)
        features = {"x": x, "noise": random.random(), "text": f"a{n % 7} b{n % 5}"}
        made.append({"features": features, "label": x > 0})
    return made


@dataclass(frozen=True)
class Version:
    """A program: the folder of its package (None: ours), and what its workers' environment has."""

    root: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class Rollout:
    """Batches of events, and workers of several versions that come and go meanwhile."""

    def __init__(self, pipeline: Pipeline, versions: Mapping[str, Version]) -> None:
        self.pipeline = pipeline
        self._versions = versions
        self._workers: list[Background] = []
        self._batches = 0

    def start(self, name: str) -> Background:
        """A worker of the version of this name."""
        version = self._versions[name]
        path = {} if version.root is None else {"PYTHONPATH": str(version.root)}
        worker = self.pipeline.start(**path, **version.environment)
        self._workers.append(worker)
        return worker

    def feed(self) -> None:
        """One more batch to each partition."""
        low = self._batches * BATCH_N
        self._batches += 1
        for partition in range(PARTITIONS):
            events = _events(partition, self._batches)[low:]
            self.pipeline.feed((partition, json.dumps(each).encode()) for each in events)

    def drained(self) -> None:
        """Everything fed so far has its prediction, and no worker has ended as it must not."""
        # Before the first worker has made the topics nobody could read them.
        what = f"{self._batches} batches\n{self.pipeline.log()}"
        until(lambda: "worker_started" in self.log(), timeout_s=TAKES_S_MAX, what=what)
        until(self._is_drained, timeout_s=TAKES_S_MAX, what=what)

    def _is_drained(self) -> bool:
        codes = [worker.poll() for worker in self._workers]
        assert all(code is None or code in MAY_END_WITH for code in codes), self.log()
        n = self._batches * BATCH_N
        return all(self.pipeline.has_predicted(n, p) for p in range(PARTITIONS))

    def leave(self, *workers: Background) -> None:
        """Ask workers to end, which they do well."""
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(TAKES_S_MAX) == 0, self.log()

    def end(self) -> None:
        """Kill what still runs."""
        for worker in self._workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait(TAKES_S_MAX)

    def log(self) -> str:
        """All that the workers wrote."""
        return self.pipeline.log(1_000_000)

    def origins(self) -> set[str]:
        """What partitions were restored from: "snapshot", "base", "untrained model"."""
        return set(re.findall(r' task_restored partition=\d+ origin="(.+?) at ', self.log()))

    def committed(self) -> list[str]:
        """The line beside the committed offset of each partition."""
        group, topic = self.pipeline.name, f"{self.pipeline.name}.events"
        admin = KafkaAdminClient(bootstrap_servers=self.pipeline.kafka.bootstrap_servers)
        try:
            offsets = admin.list_group_offsets([group])[group]
        finally:
            admin.close()
        places = [TopicPartition(topic, p) for p in range(PARTITIONS)]
        return [offsets[place].metadata.removesuffix("\0") for place in places]

    def check(self) -> None:
        """Predictions are a plain loop's, bit for bit: none lost, none twice."""
        for partition in range(PARTITIONS):
            expected = plain_loop.classify(_model(), _events(partition, self._batches))
            published = self.pipeline.values("predictions", partition)
            assert [each["offset"] for each in published] == list(range(len(expected)))
            assert [without_place(each) for each in published] == expected


def all_have(lines: Iterable[str], key: str) -> bool:
    """Whether each line beside an offset has this key."""
    return all(f";{key};" in f"{line};" for line in lines)
