"""Guarded servers for the broker tests, made once."""

from collections.abc import Iterator

import pytest

from stream.sandbox import LocalKafka, LocalRedis, Unavailable
from tests.broker.encrypted import Authority, EncryptedKafka, EncryptedRedis, tls_front
from tests.conftest import skip_or_fail


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that the servers' certificates come from."""
    try:
        return Authority.made(tmp_path_factory.mktemp("authority") / "ours")
    except Unavailable as error:
        skip_or_fail("kafka", error)


@pytest.fixture(scope="session")
def encrypted_kafka(
    kafka: LocalKafka, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EncryptedKafka]:
    """A broker with TLS, SCRAM and permissions."""
    assert kafka.running  # the fixture skips where there is no Java
    guarded = EncryptedKafka(tmp_path_factory.mktemp("encrypted-kafka"), authority)
    with guarded.broker:
        guarded.let_worker_in()
        yield guarded


@pytest.fixture(scope="session")
def encrypted_redis(
    redis_server: LocalRedis, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EncryptedRedis]:
    """A Redis with TLS, passwords and permissions."""
    assert redis_server.running  # the fixture skips where there is no redis-server
    with LocalRedis(folder=tmp_path_factory.mktemp("encrypted-redis")) as server:
        guarded = EncryptedRedis(server, authority)
        guarded.lock()
        with tls_front(guarded.port, server.port, authority):
            yield guarded
