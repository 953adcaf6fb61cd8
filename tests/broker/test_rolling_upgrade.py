"""Two versions of this program in one group: nothing is lost, nothing twice, nothing else."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from river import linear_model, preprocessing

from stream.sandbox import LocalKafka, LocalRedis
from tests.conftest import skip_or_fail
from tests.end_to_end import plain_loop
from tests.end_to_end.outside import REPOSITORY, Pipeline, until, without_place

pytestmark = pytest.mark.broker

EARLIER = "8c7f87619566288ac3d59fd8ea96dd04f0b800fd"
"""The commit to upgrade from: the last release, or one that folds as we do (`recipe.FOLD`)."""

PARTITIONS = 4
BATCH_N = 400  # a partition
MODEL = """
from river import linear_model, preprocessing
def make():
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()
"""
CONFIG = '[model]\nfactory = "own_model:make"\n[snapshots]\nrecovery_time_s = 6\n'


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as it was at that commit."""
    folder = tmp_path_factory.mktemp("earlier")
    archive = ["git", "-C", str(REPOSITORY), "archive", EARLIER, "stream"]
    found = subprocess.run(archive, capture_output=True, check=False)
    if found.returncode:
        skip_or_fail("history", found.stderr.decode(errors="replace").strip())
    subprocess.run(["tar", "-x", "-C", str(folder)], input=found.stdout, check=True)
    # That it is another program, and that it is the one that runs.
    code = "import stream.cli, stream.core as core; print(core.__path__[0])"
    environment = os.environ | {"PYTHONPATH": str(folder)}
    asked = [sys.executable, "-c", code]
    answer = subprocess.run(asked, env=environment, cwd=folder, capture_output=True, check=True)
    assert Path(answer.stdout.decode().strip()) == folder / "stream" / "core"
    return folder


@pytest.fixture
def upgraded(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str
) -> Pipeline:
    """A pipeline with a model of its user's, which no version of ours changes."""
    return Pipeline(
        pipeline, tmp_path, kafka, redis_server, CONFIG, {"own_model": MODEL}, PARTITIONS
    )


def _events(partition: int, batches: int) -> list[dict[str, Any]]:
    random = Random(partition)
    made = []
    for _ in range(BATCH_N * batches):
        x = random.uniform(-1, 1)
        made.append({"features": {"x": x, "noise": random.random()}, "label": x > 0})
    return made


class Rollout:
    """Batches of events, and workers of either version that come and go meanwhile."""

    def __init__(self, pipeline: Pipeline, earlier: Path) -> None:
        self._pipeline = pipeline
        self._earlier = earlier
        self._workers: list[subprocess.Popen[bytes]] = []
        self.batches = 0

    def start(self, version: str) -> subprocess.Popen[bytes]:
        """A worker, `old` or `new`."""
        root = {"old": self._earlier, "new": REPOSITORY}[version]
        worker = self._pipeline.start(PYTHONPATH=str(root))
        self._workers.append(worker)
        return worker

    def feed(self) -> None:
        """One more batch to each partition."""
        low = self.batches * BATCH_N
        self.batches += 1
        for partition in range(PARTITIONS):
            events = _events(partition, self.batches)[low:]
            self._pipeline.feed((partition, json.dumps(each).encode()) for each in events)

    def drained(self) -> None:
        """Everything fed so far has its prediction."""

        def done() -> bool:
            assert all(worker.poll() in (None, 0, -signal.SIGKILL) for worker in self._workers)
            return all(
                len(self._pipeline.records("predictions", p)) >= self.batches * BATCH_N
                for p in range(PARTITIONS)
            )

        # Before the first worker has made the topics nobody could read them.
        until(self._is_working, timeout_s=240, what=f"a start\n{self._pipeline.log()}")
        until(done, timeout_s=240, what=f"{self.batches} batches\n{self._pipeline.log()}")

    def _is_working(self) -> bool:
        return "worker_started" in self._pipeline.log(100_000)

    def end(self) -> None:
        """Kill what still runs."""
        for worker in self._workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait(240)


@pytest.fixture
def rollout(upgraded: Pipeline, earlier: Path) -> Iterator[Rollout]:
    """The workers are gone at the end."""
    made = Rollout(upgraded, earlier)
    yield made
    made.end()


def _leave(worker: subprocess.Popen[bytes]) -> None:
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(240) == 0


def test_a_rolling_upgrade_and_the_way_back(rollout: Rollout, upgraded: Pipeline) -> None:
    """One worker after the other is exchanged, politely or by SIGKILL, under load."""
    rollout.feed()
    old = [rollout.start("old"), rollout.start("old")]
    rollout.drained()
    rollout.feed()
    new = [rollout.start("new")]  # a mixed group from here on
    rollout.drained()
    rollout.feed()
    _leave(old[0])
    rollout.drained()
    rollout.feed()
    old[1].kill()
    new.append(rollout.start("new"))
    rollout.drained()
    rollout.feed()
    back = rollout.start("old")  # the operator thinks better of it
    _leave(new[0])
    rollout.drained()
    rollout.feed()
    new[1].kill()
    rollout.drained()
    _leave(back)

    for partition in range(PARTITIONS):
        model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
        expected = plain_loop.classify(model, _events(partition, rollout.batches))
        published = upgraded.values("predictions", partition)
        assert [each["offset"] for each in published] == list(range(len(expected)))
        assert [without_place(each) for each in published] == expected
    log = upgraded.log(100_000)
    assert log.count("worker_started") == 5
    assert "snapshot at" in log, "each version loads what the other left"
    assert "recipe_changed" not in log
    assert "snapshot_rejected" not in log
