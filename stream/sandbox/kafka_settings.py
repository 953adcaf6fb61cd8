"""The settings of a throw-away broker: one node, KRaft, no internal topic that waits for others."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

KAFKA_VERSION = "4.1.1"

#: Whoever runs it. Kafka's defaults ask three brokers for the internal topics: init_transactions
#: would wait for them for ever. Fewer partitions and shorter intervals start and stop faster.
ONE_NODE: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "num.partitions": "1",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "log.retention.check.interval.ms": "1000",
    "num.network.threads": "2",
    "num.io.threads": "2",
}

NO_PROPERTIES: Mapping[str, str] = MappingProxyType({})

AS_ON_A_LAPTOP: Mapping[str, str] = {
    "auto.create.topics.enable": "true",
    # Retention goes by event time: such a topic would soon lose a history that is replayed.
    "log.retention.ms": "-1",
}
"""A topic is there at its first use. The tests want a missing topic to be an error."""

JVM_BRIEF = (
    "-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
)  # fmt: skip
"""A broker that is up soon, and small: for minutes."""

JVM_STEADY = ("-Xms1g", "-Xmx1g", "-XX:+UseZGC")
"""A broker that never stands still: to measure latency, once it is warm.

With the collector of Kafka's own scripts (G1) all requests stand still for 11 to 23 ms each second.
"""

LOG4J2 = """rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c: %m%n
"""


def server_properties(*, port: int, controller_port: int, data: Path) -> dict[str, str]:
    """The settings of a broker that listens on the loopback interface only."""
    return {
        **ONE_NODE,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "log.dirs": str(data),
    }


def container_variables(
    *, port: int, jvm: Sequence[str], properties: Mapping[str, str] = NO_PROPERTIES
) -> dict[str, str]:
    """The same for the public image, which reads `KAFKA_` variables and then has no defaults.

    Args:
        port: the host's port that is bound to the container's 9092.
        jvm: Java's options, in place of the image's.
        properties: settings that override ours.
    """
    # The broker asks itself about each transaction whose offsets it is to commit, at the address
    # that it tells to brokers. The host's port leads nowhere in here: it would answer
    # COORDINATOR_LOAD_IN_PROGRESS for ever.
    settings = {
        **ONE_NODE,
        "controller.quorum.voters": "1@localhost:9093",
        "inter.broker.listener.name": "INSIDE",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT,"
        "CONTROLLER:PLAINTEXT",
        "listeners": "PLAINTEXT://:9092,INSIDE://:9094,CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},INSIDE://localhost:9094",
        **properties,
    }
    named = {f"KAFKA_{key.upper().replace('.', '_')}": value for key, value in settings.items()}
    return {**named, "KAFKA_HEAP_OPTS": " ".join(jvm), "KAFKA_JVM_PERFORMANCE_OPTS": "-server"}


def secured(port: int, controller_port: int, passwords: Mapping[str, str]) -> dict[str, str]:
    """The further settings of a broker where everyone logs in, and only `admin` may do all.

    The controller's listener asks for a password too: StandardAuthorizer looks at requests between
    broker and controller as well, and without one they would come from User:ANONYMOUS.

    Args:
        port: where the broker listens, as in `server_properties`.
        controller_port: where its controller listens.
        passwords: the password of each user; `admin` must be one of them.
    """
    users = " ".join(f'user_{user}="{password}"' for user, password in passwords.items())
    login = (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'username="admin" password="{passwords["admin"]}" {users};'
    )
    clients, controller = f"127.0.0.1:{port}", f"127.0.0.1:{controller_port}"
    return {
        "listeners": f"SASL_PLAINTEXT://{clients},CONTROLLER://{controller}",
        "advertised.listeners": f"SASL_PLAINTEXT://{clients}",
        "listener.security.protocol.map": "SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
        "inter.broker.listener.name": "SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": login,
        "listener.name.controller.plain.sasl.jaas.config": login,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:admin",
    }


def properties_text(properties: Mapping[str, str]) -> str:
    """A server.properties file."""
    return "".join(f"{key}={value}\n" for key, value in properties.items())
