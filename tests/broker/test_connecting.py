"""Connections that cannot work, each told soon, in one line with what to do; on real brokers."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from stream.adapters import confluent, kafka_python
from stream.core.event import Channel
from stream.errors import Misconfigured, Retryable, StreamError
from stream.sandbox import LocalKafka
from stream.sandbox.local_redis import LocalRedis
from stream.sandbox.ready import LOOPBACK, free_port
from tests.broker.encrypted import EncryptedKafka
from tests.broker.guarded_pipeline import LIBRDKAFKAS

pytestmark = pytest.mark.broker

NAMES = {channel: f"connecting.{channel}" for channel in Channel}
SOON_S = 8.0
"""What takes a second or two, on a machine that may be busy; giving up takes ten."""

CLIENTS = {"kafka-python": kafka_python, "confluent": confluent}


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    """Each client of Kafka."""
    return str(request.param)


def _refused(client: str, servers: str, options: Mapping[str, Any]) -> StreamError:
    """What a command's first client ends with, soon."""
    words = {} if client == "kafka-python" else LIBRDKAFKAS
    connection = CLIENTS[client].Connection(
        bootstrap_servers=servers, names=NAMES, group="connecting",
        options={words.get(key, key): value for key, value in options.items()},
    )  # fmt: skip
    began_s = time.monotonic()
    with pytest.raises(StreamError) as raised:
        connection.admin()
    assert time.monotonic() - began_s < SOON_S
    assert "\n" not in str(raised.value)
    return raised.value


@pytest.fixture
def good(encrypted_kafka: EncryptedKafka) -> dict[str, Any]:
    """What the broker with TLS and SCRAM takes."""
    return {**encrypted_kafka.options(), "sasl_plain_password": encrypted_kafka.password}


@pytest.fixture
def guarded(encrypted_kafka: EncryptedKafka) -> str:
    """Its address."""
    return f"{LOOPBACK}:{encrypted_kafka.port}"


def test_a_wrong_password_is_final(client: str, guarded: str, good: dict[str, Any]) -> None:
    """Not tried for ten seconds."""
    told = _refused(client, guarded, {**good, "sasl_plain_password": "guess"})

    assert isinstance(told, Misconfigured)
    assert "SCRAM-SHA-512" in str(told)


def test_a_login_that_the_broker_does_not_know_is_final(
    client: str, guarded: str, good: dict[str, Any]
) -> None:
    """And those that it knows are named."""
    told = _refused(client, guarded, {**good, "sasl_mechanism": "PLAIN"})

    assert isinstance(told, Misconfigured)
    assert "SCRAM-SHA-512" in str(told)


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_a_plain_client_at_a_tls_port_is_told_so(
    client: str, guarded: str, good: dict[str, Any], protocol: str
) -> None:
    """And what to write instead."""
    told = _refused(client, guarded, {**good, "security_protocol": protocol})

    assert isinstance(told, Misconfigured)
    assert "it speaks TLS, and this client does not" in str(told)
    assert '"SASL_SSL"' in str(told)


def test_a_tls_client_at_a_plain_port_is_told_so(
    client: str, kafka: LocalKafka, good: dict[str, Any]
) -> None:
    """And what to write instead."""
    options = {"security_protocol": "SSL", "ssl_cafile": good["ssl_cafile"]}
    told = _refused(client, kafka.bootstrap_servers, options)

    assert isinstance(told, Misconfigured)
    assert "it speaks no TLS, and this client does" in str(told)
    assert '"PLAINTEXT"' in str(told)


def test_no_login_where_one_is_wanted(client: str, guarded: str, good: dict[str, Any]) -> None:
    """TLS alone does not let anybody in."""
    options = {"security_protocol": "SSL", "ssl_cafile": good["ssl_cafile"]}
    told = _refused(client, guarded, options)

    assert isinstance(told, Misconfigured)
    assert "wants a login (SCRAM-SHA-512)" in str(told)


def test_a_ca_file_that_is_not_there_is_named(
    client: str, guarded: str, good: dict[str, Any], tmp_path: Path
) -> None:
    """By its path, and by the option."""
    missing = tmp_path / "no-ca.pem"
    told = _refused(client, guarded, {**good, "ssl_cafile": str(missing)})

    assert isinstance(told, Misconfigured)
    assert f"{missing}: there is no such file" in str(told)
    assert "kafka.options.ssl" in str(told)


def test_a_redis_at_kafka_s_address_is_told(client: str, redis_server: LocalRedis) -> None:
    """The two addresses exchanged: it is silent to what a Kafka's client says, and yet no Kafka."""
    told = _refused(client, redis_server.url.split("/")[2], {})

    assert isinstance(told, Misconfigured)
    assert "what answers there is no Kafka; check kafka.bootstrap_servers" in str(told)


@pytest.fixture(scope="module")
def hidden(kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker in a container, as it looks from outside: it names a host of its own network."""
    assert kafka.running
    broker, port = LocalKafka(folder=tmp_path_factory.mktemp("hidden")), free_port()
    plain, hidden = f"PLAINTEXT://{broker.address}", f"HIDDEN://{LOOPBACK}:{port}"
    controller = f"CONTROLLER://{LOOPBACK}:{broker._controller_port}"
    broker._properties |= {
        "listeners": f"{plain},{hidden},{controller}",
        "advertised.listeners": f"{plain},HIDDEN://kafka.invalid:29092",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,HIDDEN:PLAINTEXT,"
        "CONTROLLER:PLAINTEXT",
    }
    with broker:
        yield f"{LOOPBACK}:{port}"


def test_a_broker_that_names_an_unknown_host_is_told(client: str, hidden: str) -> None:
    """The bootstrap answers, and nothing else would: with both addresses, and what to set."""
    told = _refused(client, hidden, {})

    assert isinstance(told, Retryable)
    assert f"Kafka answers at {hidden}" in str(told)
    assert "kafka.invalid:29092" in str(told)
    assert "advertised.listeners" in str(told)
