"""A local Kafka and a local Redis: ready means ready, and they can be killed, paused, restarted."""

import socket
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from kafka.errors import KafkaError, TransactionalIdAuthorizationFailedError
from redis import Redis

from stream.errors import Retryable
from stream.sandbox import LocalKafka, LocalRedis, NotReady, ready
from tests.broker.checks import committed_values, listening, make_topic, process_lines, publish
from tests.patience import eventually
from tests.servers import shared_kafka, started


def test_a_started_broker_takes_a_transaction_at_once(kafka: LocalKafka, pipeline: str) -> None:
    """Ready means that transactions work, not that a port is open."""
    make_topic(kafka, pipeline)
    publish(kafka, pipeline, b"one")

    assert committed_values(kafka, pipeline) == [b"one"]


def test_a_killed_broker_comes_back_with_its_data(own_kafka: LocalKafka, pipeline: str) -> None:
    """SIGKILL, then start: same address, same records."""
    make_topic(own_kafka, pipeline)
    publish(own_kafka, pipeline, b"one")
    address, first_pid = own_kafka.bootstrap_servers, own_kafka.pid

    own_kafka.kill()
    assert not own_kafka.running
    assert not listening(address)
    own_kafka.start()

    assert address == own_kafka.bootstrap_servers
    assert first_pid != own_kafka.pid
    assert committed_values(own_kafka, pipeline) == [b"one"]


def test_a_restarted_broker_left_cleanly(own_kafka: LocalKafka, pipeline: str) -> None:
    """SIGTERM and start again: the records are there, and the log of both lives is kept."""
    make_topic(own_kafka, pipeline)
    publish(own_kafka, pipeline, b"one")

    own_kafka.restart()

    assert committed_values(own_kafka, pipeline) == [b"one"]
    assert own_kafka.log_text().count("Performing controller activation") == 2


def test_a_paused_broker_accepts_and_does_not_answer(own_kafka: LocalKafka) -> None:
    """SIGSTOP looks like a hung broker from outside; SIGCONT ends it."""
    own_kafka.pause()

    assert listening(own_kafka.bootstrap_servers)
    assert ready.kafka_problem(own_kafka.port, {}) is not None

    own_kafka.resume()
    eventually(lambda: ready.kafka_problem(own_kafka.port, {}) is None, "an answer")


def test_a_broker_that_ends_at_once_is_not_ready_and_its_log_says_why(
    kafka: LocalKafka, tmp_path: Path
) -> None:
    """The error is one line for people, and carries the log's last lines for a traceback."""
    assert kafka.running  # the fixture skips where there is no Java
    broken = LocalKafka(folder=tmp_path, properties={"node.id": "one"})

    with pytest.raises(NotReady, match=r"Kafka on \S+ ended before it was ready") as failure:
        broken.start()

    assert "\n" not in str(failure.value)
    assert "Invalid value one for configuration" in str(failure.value)
    assert len(failure.value.log_tail) > 2
    assert isinstance(failure.value, Retryable)


def test_a_broker_that_is_not_ready_in_time_is_killed(kafka: LocalKafka, tmp_path: Path) -> None:
    """After the deadline nothing keeps running in the background."""
    assert kafka.running  # the fixture skips where there is no Java
    slow = LocalKafka(folder=tmp_path)

    with pytest.raises(NotReady, match=r"was not ready within 0\.2 s"):
        slow.start(timeout_s=0.2)

    assert not slow.running
    assert process_lines(str(tmp_path)) == []


def test_a_secured_broker_lets_a_user_do_what_the_admin_allowed(
    kafka: LocalKafka, tmp_path: Path, pipeline: str
) -> None:
    """The limited user has no permission until an ACL gives it; a wrong password gives nothing."""
    assert kafka.running  # the fixture skips where there is no Java

    def limited_writer() -> None:
        producer = KafkaProducer(
            bootstrap_servers=broker.bootstrap_servers,
            transactional_id=pipeline,
            max_block_ms=10_000,
            **broker.client_options("limited"),
        )
        try:
            producer.init_transactions()
        finally:
            producer.close(timeout=1)

    with LocalKafka.secured(folder=tmp_path) as broker:
        with pytest.raises(TransactionalIdAuthorizationFailedError):
            limited_writer()
        admin = KafkaAdminClient(
            bootstrap_servers=broker.bootstrap_servers, **broker.client_options()
        )
        resource = ResourcePattern(ResourceType.TRANSACTIONAL_ID, pipeline)
        allowed = ACLPermissionType.ALLOW
        admin.create_acls([ACL("User:limited", "*", ACLOperation.ALL, allowed, resource)])
        admin.close()
        eventually(lambda: raises_nothing(limited_writer), "the permission to write")

        wrong = {**broker.client_options(), "sasl_plain_password": "wrong"}
        assert ready.kafka_problem(broker.port, wrong) is not None


def raises_nothing(call: Callable[[], None]) -> bool:
    """Whether Kafka has no objection."""
    try:
        call()
    except KafkaError:
        return False
    return True


def test_redis_restarts_empty_on_the_same_port(own_redis: LocalRedis) -> None:
    """A killed Redis forgets all: the worst case for those who cache in it."""
    client = Redis.from_url(own_redis.url)
    client.set("key", "value")

    own_redis.kill()
    assert not listening(own_redis.url)
    own_redis.start()

    assert client.get("key") is None


def test_redis_keeps_its_keys_where_it_is_told_to(redis_server: LocalRedis, tmp_path: Path) -> None:
    """The arguments are redis-server's own."""
    assert redis_server.running  # the fixture skips where there is no Redis
    always = ("--appendonly", "yes", "--appendfsync", "always")
    with LocalRedis(folder=tmp_path, arguments=always) as keeping:
        client = Redis.from_url(keeping.url)
        client.set("key", "value")
        keeping.kill()
        keeping.start()

        assert client.get("key") == b"value"


def test_a_paused_redis_accepts_and_does_not_answer(own_redis: LocalRedis) -> None:
    """SIGSTOP looks like a hung Redis from outside; SIGCONT ends it; a paused one still stops."""
    own_redis.pause()
    assert listening(own_redis.url)
    assert ready.redis_problem(own_redis.port) is not None

    own_redis.resume()
    assert ready.redis_problem(own_redis.port) is None

    own_redis.pause()
    own_redis.stop()
    assert not listening(own_redis.url)


def test_a_server_outlives_the_thread_that_started_it(
    redis_server: LocalRedis, tmp_path: Path
) -> None:
    """Only the end of the process is the end of its servers."""
    assert redis_server.running  # the fixture skips where there is no Redis
    server = LocalRedis(folder=tmp_path)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()

    assert ready.redis_problem(server.port) is None
    server.stop()


@pytest.mark.parametrize("kind", [LocalKafka, LocalRedis])
def test_a_test_s_server_takes_another_port_when_somebody_took_its_own(
    kind: type[LocalKafka] | type[LocalRedis], kafka: LocalKafka, redis_server: LocalRedis,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Between choosing a port and listening on it there is a second; many tests choose."""
    assert kafka.running  # the fixtures skip where there is no Java or no Redis
    assert redis_server.running
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter((taken.getsockname()[1], None))

        server = started(lambda: kind(folder=tmp_path, port=next(ports)))

        assert server.port != taken.getsockname()[1]
        assert server.running
        server.kill()


def test_processes_of_one_run_share_a_broker_that_ends_with_the_run(
    kafka: LocalKafka, tmp_path: Path
) -> None:
    """Who comes first starts it, whoever that is; it needs none of those who use it."""
    assert kafka.running  # the fixture skips where there is no Java
    with subprocess.Popen(["sleep", "600"]) as run:
        try:
            with ThreadPoolExecutor() as pool:
                one, other = pool.map(lambda _: shared_kafka(tmp_path, run=run.pid), range(2))
            assert (one.pid, one.port) == (other.pid, other.port)
            assert other.running
            assert ready.kafka_problem(other.port, {}) is None
        finally:
            run.kill()

    eventually(lambda: not one.running, "the broker is gone")
