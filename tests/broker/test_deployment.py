"""The image and docker-compose.yml, as an operator uses them: up, kill, stop, down, up again."""

import json
import os
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from kafka import KafkaConsumer, TopicPartition

from stream.sandbox.ready import free_port
from tests import patience
from tests.broker.checks import ROOT
from tests.conftest import skip_or_fail
from tests.end_to_end import plain_loop
from tests.end_to_end.outside import without_place

pytestmark = [pytest.mark.docker, pytest.mark.timeout(420)]

FLIGHTS = 45_000
RATE = 2_500
"""Events a second: the feed takes 18 s, so that everything can be killed in the middle of it."""

STOPS_WITHIN_S = 25.0  # after 30 Docker kills it
"""`docker stop` waits so long by default before it kills."""

eventually = partial(patience.eventually, every_s=0.25)
"""Most is asked by commands of Docker, each a process or two."""

ANSWER = """
import json, sys
from stream import models
model = models.{name}(**{params})
for one in classify(model, (json.loads(line) for line in sys.stdin)):
    print(json.dumps(one))
"""


def run(*command: str, given: str | None = None) -> str:
    """What a command says on stdout; it must succeed."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def inspect(container: str, path: str) -> str:
    """One field of what Docker knows of a container."""
    return run("docker", "inspect", "--format", f"{{{{{path}}}}}", container)


def said(container: str) -> str:
    """All that a container has written."""
    command = ["docker", "logs", container]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    )
    return done.stdout


class Stack:
    """docker-compose.yml under a project and a port of its own."""

    def __init__(self) -> None:
        self.project = f"streamfold-{uuid4().hex[:8]}"
        self.bootstrap_servers = f"127.0.0.1:{free_port()}"
        self._asking: KafkaConsumer | None = None
        self._environment = os.environ | {
            "KAFKA_PORT": self.bootstrap_servers.partition(":")[2],
            "FEEDER_RATE": str(RATE),
        }
        if shutil.which("docker") is None:
            skip_or_fail("docker", "the command `docker` is not installed")
        plugin = ["docker", "compose"]
        if subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode:
            if shutil.which("docker-compose") is None:
                skip_or_fail("docker", "neither `docker compose` nor docker-compose is installed")
            plugin = ["docker-compose"]
        files = ["-f", "docker-compose.yml", "-f", ".ci/compose.override.yml"]
        self._compose = [*plugin, "-p", self.project, *files]

    def compose(self, *arguments: str) -> str:
        """One command of compose, which must succeed; its output."""
        done = subprocess.run(
            [*self._compose, *arguments],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"compose {' '.join(arguments)}\n{done.stdout}"
        return done.stdout

    def container(self, service: str) -> str:
        """The id of a service's container."""
        wanted = (f"project={self.project}", f"service={service}", "oneoff=False")
        filters = [f"--filter=label=com.docker.compose.{each}" for each in wanted]
        found = run("docker", "ps", "-aq", "--no-trunc", *filters).split()
        assert len(found) == 1, f"{service}: {found}"
        return found[0]

    def volumes(self) -> set[str]:
        """The names of the volumes that hold something of this project."""
        mine = f"label=com.docker.compose.project={self.project}"
        names = run("docker", "volume", "ls", "--quiet", "--filter", mine).split()
        return {name.removeprefix(f"{self.project}_") for name in names}

    def one_off(self, *arguments: str) -> str:
        """The name of a new container beside the services; gone with the project."""
        name = f"{self.project}-{uuid4().hex[:8]}"
        self.compose("run", "-d", "--no-deps", "--name", name, *arguments)
        return name

    def restarts_n(self, service: str) -> int:
        """How often Docker has restarted a service's container."""
        return int(inspect(self.container(service), ".RestartCount"))

    def status(self) -> dict[str, Any]:
        """What `stream status --json` says of partition 0, asked in the worker's container."""
        command = ["stream", "status", "-c", "/etc/stream/stream.toml", "--json"]
        found = json.loads(run("docker", "exec", self.container("worker"), *command))
        (partition,) = found["partitions"]
        return dict(partition)

    def predicted(self, at_least: int) -> bool:
        """Whether that many predictions (and markers) can be seen from the host."""
        tp = TopicPartition("flights.predictions", 0)
        if self._asking is None:
            self._asking = self._consumer()
        return bool(self._asking.end_offsets([tp])[tp] >= at_least)

    def records(self, channel: str) -> list[Any]:
        """Every committed record of a topic's only partition, as a consumer on the host sees it."""
        tp = TopicPartition(f"flights.{channel}", 0)
        consumer = self._consumer()
        try:
            consumer.assign([tp])
            consumer.seek_to_beginning(tp)
            end, found = consumer.end_offsets([tp])[tp], []
            deadline = time.monotonic() + 60
            while consumer.position(tp) < end:
                assert time.monotonic() < deadline, f"{tp} could not be read to its end"
                for batch in consumer.poll(500, max_records=10_000).values():
                    found += batch
            return found
        finally:
            consumer.close()

    def _consumer(self) -> KafkaConsumer:
        return KafkaConsumer(
            bootstrap_servers=self.bootstrap_servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )

    def plain_loop(self, events: list[str]) -> list[dict[str, Any]]:
        """What river alone says of these events, under the image's Python and river."""
        config = tomllib.loads((ROOT / "docs" / "examples" / "stream.toml").read_text())
        module, _, name = config["model"]["factory"].partition(":")
        assert module == "stream.models"
        source = Path(plain_loop.__file__).read_text()
        source += ANSWER.format(name=name, params=config["model"]["params"])
        image = inspect(self.container("worker"), ".Image")
        command = ["docker", "run", "--rm", "-i", "--network=none", "--entrypoint=python", image]
        answer = run(*command, "-c", source, given="".join(f"{event}\n" for event in events))
        return [json.loads(line) for line in answer.splitlines()]

    def remove(self) -> None:
        """Take everything away again; its last words go to stdout, for a failure's report."""
        if self._asking is not None:
            self._asking.close()
        for command in (
            ["logs", "--no-color", "--tail=60", "worker"],
            ["--profile", "feeder", "down", "--volumes", "--remove-orphans", "--rmi", "local"],
        ):
            done = subprocess.run(
                [*self._compose, *command],
                cwd=ROOT,
                env=self._environment,
                capture_output=True,
                text=True,
                check=False,
            )
            print(done.stdout, done.stderr if done.returncode else "")  # noqa: T201


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The whole pipeline, up; nothing of it is left at the end."""
    stack = Stack()
    try:
        stack.compose("build", "key", "worker", "feeder")
        stack.compose("up", "-d")
        yield stack
    finally:
        stack.remove()


def test_kills_a_stop_and_a_down_leave_no_gap_and_no_repeat(stack: Stack) -> None:
    """Each event has its one prediction, bit for bit that of a plain loop over the topic."""
    eventually(lambda: "partitions_assigned" in said(stack.container("worker")), "a worker")
    feeder = stack.one_off("feeder")
    eventually(lambda: stack.predicted(4_000), "predictions come")

    # Docker restarts what crashes; what `docker kill` ended stays down until somebody starts it.
    crash = "kill -9 $(cat /proc/1/task/1/children)"
    before_n = stack.restarts_n("worker")  # on a busy machine Kafka may have been late at first
    run("docker", "exec", stack.container("worker"), "sh", "-c", crash)
    eventually(lambda: stack.restarts_n("worker") > before_n, "a restart")
    eventually(lambda: stack.predicted(15_000), "the restarted worker goes on")

    run("docker", "kill", stack.container("worker"))
    # On a slow machine the feed may be over by now, but not the work.
    assert not stack.predicted(FLIGHTS)
    stack.compose("up", "-d", "worker")
    eventually(lambda: stack.predicted(26_000), "the worker started by hand goes on")

    began = time.monotonic()
    run("docker", "stop", stack.container("worker"))
    assert time.monotonic() - began < STOPS_WITHIN_S
    assert inspect(stack.container("worker"), ".State.ExitCode") == "0"
    last_words = said(stack.container("worker"))
    assert "snapshot_saved" in last_words, last_words
    assert run("docker", "wait", feeder) == "0"

    stack.compose("down")
    assert stack.volumes() == {"kafka-data", "redis-data", "key"}
    stack.compose("up", "-d")
    eventually(
        lambda: stack.status()["committed_offset"] == FLIGHTS,
        "all is done",
        within_s=60,
        every_s=1.0,
    )

    logs = stack.compose("logs", "worker")
    assert "snapshot at" in logs, logs
    events = stack.records("events")
    assert [event.offset for event in events] == list(range(FLIGHTS))
    published = [json.loads(record.value) for record in stack.records("predictions")]
    assert [prediction["offset"] for prediction in published] == list(range(FLIGHTS))
    expected = stack.plain_loop([event.value.decode() for event in events])
    assert [without_place(prediction) for prediction in published] == expected
    assert stack.records("quarantine") == []
    alerts = [json.loads(record.value)["id"] for record in stack.records("alerts")]
    assert len(alerts) == len(set(alerts)) > 0


def test_health_is_progress(stack: Stack) -> None:
    """The container is healthy while a worker commits what there is."""
    eventually(
        lambda: inspect(stack.container("worker"), ".State.Health.Status") == "healthy",
        "healthy",
        within_s=90,
    )


def test_what_no_restart_can_help_is_held_and_unhealthy(stack: Stack) -> None:
    """Exit code 78 neither loops nor hides: the container stays, says why, and stops at once."""
    # A worker that cannot build its model, on a pipeline without lag: only being held tells.
    held = stack.one_off(
        "-e", "STREAM__MODEL__FACTORY=no_such_module:make",
        "-e", "STREAM__WORKER__INSTANCE=other", "worker",
    )  # fmt: skip
    eventually(lambda: "no restart can help" in said(held), "it says that it waits")
    assert "model.factory" in said(held)
    assert inspect(held, ".State.Running") == "true"

    check = json.loads(inspect(held, "json .Config.Healthcheck.Test"))
    assert check[0] == "CMD-SHELL"
    asked = subprocess.run(["docker", "exec", held, "sh", "-c", check[1]], check=False)
    assert asked.returncode == 1

    began = time.monotonic()
    run("docker", "stop", held)
    assert time.monotonic() - began < STOPS_WITHIN_S
    assert inspect(held, ".State.ExitCode") == "78"


def test_nothing_but_kafka_is_reachable_from_the_host_and_the_worker_has_no_rights(
    stack: Stack,
) -> None:
    """Kafka on loopback only, Redis not at all; no root, nothing to write to, no key in sight."""
    address, _, port = stack.bootstrap_servers.partition(":")
    assert run("docker", "port", stack.container("kafka")) == f"9092/tcp -> {address}:{port}"
    assert run("docker", "port", stack.container("redis")) == ""
    worker = stack.container("worker")
    assert run("docker", "exec", worker, "id", "-u") != "0"
    assert inspect(worker, ".HostConfig.ReadonlyRootfs") == "true"
    key = run("docker", "exec", worker, "cat", "/var/lib/stream/key")
    assert len(key) == 64
    assert key not in inspect(worker, "json .") + stack.compose("logs")
