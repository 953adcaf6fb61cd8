"""A broker that asks for a login and permissions: what is missing is said, what is enough works."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)

from stream.adapters.kafka_python import Connection, KafkaLog, KafkaTopics
from stream.core.event import Channel
from stream.errors import Misconfigured
from stream.sandbox import LocalKafka
from tests.broker import kafka_hands as hands
from tests.contract.kafka_world import TIMINGS, KafkaWorld
from tests.contract.worlds import at, create, output, values
from tests.patience import eventually

pytestmark = pytest.mark.broker

OUTPUTS = (Channel.PREDICTIONS, Channel.ALERTS, Channel.QUARANTINE)


@pytest.fixture(scope="module")
def secured(kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """One broker that permits nothing to `limited`."""
    assert kafka.running  # the fixture skips where there is no Java
    with LocalKafka.secured(folder=tmp_path_factory.mktemp("secured")) as broker:
        yield broker


@pytest.fixture
def world(secured: LocalKafka) -> Iterator[KafkaWorld]:
    """Topics that the administrator made."""
    opened = KafkaWorld(secured)
    opened.connection = replace(opened.connection, options=secured.client_options("admin"))
    create(opened)
    yield opened
    opened.close()


def limited(world: KafkaWorld) -> Connection:
    """What a worker's own user connects with."""
    return replace(world.connection, options=world.broker.client_options("limited"))


def needed(world: KafkaWorld) -> dict[str, ACL]:
    """All that a worker's user must be permitted."""
    names, group = world.connection.names, world.connection.group

    def allow(operation: ACLOperation, resource: ResourcePattern) -> ACL:
        return ACL("User:limited", "*", operation, ACLPermissionType.ALLOW, resource)

    prefix = ResourcePattern(
        ResourceType.TRANSACTIONAL_ID, f"{group}-", ACLResourcePatternType.PREFIXED
    )
    return {
        "events": allow(
            ACLOperation.READ, ResourcePattern(ResourceType.TOPIC, names[Channel.EVENTS])
        ),
        **{
            channel.value: allow(
                ACLOperation.WRITE, ResourcePattern(ResourceType.TOPIC, names[channel])
            )
            for channel in OUTPUTS
        },
        "group": allow(ACLOperation.READ, ResourcePattern(ResourceType.GROUP, group)),
        "transactions": allow(ACLOperation.WRITE, prefix),
    }


def permit(world: KafkaWorld, *, without: str | None = None) -> None:
    """Permit everything but one thing."""
    admin = KafkaAdminClient(
        bootstrap_servers=world.broker.bootstrap_servers, **world.broker.client_options("admin")
    )
    admin.create_acls([acl for name, acl in needed(world).items() if name != without])
    admin.close()
    expected = 0 if without is None else 1

    def known() -> bool:
        topics = KafkaTopics(limited(world))
        denied = topics.denied()
        topics.close()
        return len(denied) == expected

    eventually(known, "the broker knows the permissions")


def test_a_worker_needs_no_more_than_this(world: KafkaWorld) -> None:
    """READ on events and group, WRITE on outputs and on transactional ids with our prefix."""
    permit(world)
    topics = KafkaTopics(limited(world))
    assert topics.denied() == []
    events = topics.describe()[Channel.EVENTS]
    topics.close()
    assert events is not None
    assert events.retention_ms is None  # DESCRIBE_CONFIGS was not given

    log = KafkaLog(limited(world), timings=TIMINGS)
    hands.assigned(log, {0})
    log.commit([output(b"p")], {0: at(1)})
    assert log.committed({0}) == {0: at(1)}
    log.close()
    assert values(world.reader(), Channel.PREDICTIONS) == [b"p"]


def test_a_user_who_may_nothing_is_told_of_all(world: KafkaWorld) -> None:
    """One line for each missing permission; `describe` says that it may not."""
    topics = KafkaTopics(limited(world))
    denied = topics.denied()

    for key in ("topics.events", "topics.predictions", "topics.alerts", "topics.quarantine"):
        assert any(line.startswith(key) for line in denied)
    assert any("consumer group" in line for line in denied)
    assert any("transactional" in line for line in denied)
    assert len(denied) == 6
    with pytest.raises(Misconfigured, match="TopicAuthorizationFailed"):
        topics.describe()
    topics.close()


@pytest.mark.parametrize("missing", ["events", "predictions", "group", "transactions"])
def test_a_missing_permission_is_misconfigured(world: KafkaWorld, missing: str) -> None:
    """Not retried for ever, nothing half published, and nothing left behind."""
    permit(world, without=missing)
    threads = hands.threads()
    deadline_s = time.monotonic() + 10.0
    log = None

    def work() -> None:
        nonlocal log
        log = KafkaLog(limited(world), timings=TIMINGS)
        while not log.poll(timeout_s=0.1, records_max=10).assigned:
            assert time.monotonic() < deadline_s
        log.seek(0, 0)
        for _ in range(5):
            log.poll(timeout_s=0.1, records_max=10)
        log.commit([output(b"a", channel=Channel.ALERTS), output(b"p")], {0: at(1)})

    with pytest.raises(Misconfigured, match="AuthorizationFailed"):
        work()
    if log is not None:
        log.close()

    assert hands.threads() <= threads
    reader = world.reader()
    eventually(lambda: values(reader, Channel.ALERTS) == [], "nothing was published")
    assert reader.committed() == {}


def test_a_wrong_password_is_misconfigured(world: KafkaWorld) -> None:
    """The client itself only says that it timed out; the password is in no message."""
    options = {**world.broker.client_options("limited"), "sasl_plain_password": "wrong-3f1b"}
    wrong = replace(limited(world), options=options, bootstrap_timeout_ms=2_000)

    with hands.takes(6.0), pytest.raises(Misconfigured, match="Authentication") as failure:
        KafkaTopics(wrong)

    assert "wrong-3f1b" not in str(failure.value)
