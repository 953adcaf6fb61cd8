"""Three brokers on one machine, each a controller too: replication factor 3, min.isr 2."""

import base64
import re
import shutil
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from kafka import KafkaAdminClient, errors
from kafka.admin import ConfigResource, ConfigResourceType

from stream.sandbox import LocalKafka, kafka_jars
from stream.sandbox.ready import free_port
from tests.instruments.faults.proxy import Proxy

NODES = (1, 2, 3)
WHOLE_WITHIN_S = 180.0
METADATA_WITHIN_S = 3.0


class Node(LocalKafka):
    """A broker of a cluster.

    It serves when it knows the cluster: alone, transactions would wait for the others for ever.
    """

    def _problem(self) -> str | None:
        try:
            _metadata(self.bootstrap_servers)
        except KafkaException as error:
            return repr(error)
        return None


def _metadata(bootstrap: str) -> Any:
    """What a broker knows of the cluster. Raises: KafkaException.

    By librdkafka: a client of kafka-python that cannot connect leaves a thread and sockets behind,
    and a long soak asks often.
    """
    silent: dict[str, Any] = {"bootstrap.servers": bootstrap, "log_level": 0}
    return AdminClient(silent).list_topics(timeout=METADATA_WITHIN_S)


class Cluster:
    """Nodes 1, 2 and 3, each killed and started by itself.

    Attributes:
        proxies: one before each node, if `with_proxies` asks for them: before "clients", of which
            one that begins at one of them is led through them ever after, or between "brokers".
    """

    def __init__(
        self, folder: Path, *, with_proxies: Literal["clients", "brokers"] | None = None
    ) -> None:
        self.folder = folder
        ports = {n: (free_port(), free_port()) for n in NODES}
        voters = ",".join(f"{n}@127.0.0.1:{controller}" for n, (_, controller) in ports.items())
        self.nodes: dict[int, Node] = {}
        self.proxies: dict[int, Proxy] = {}
        for n, (port, controller) in ports.items():
            properties = {**_properties(n, port, controller), "controller.quorum.voters": voters}
            if with_proxies:
                self.proxies[n] = Proxy(port=free_port(), to_port=free_port())
                properties |= _via(port, controller, self.proxies[n])
            if with_proxies == "brokers":
                properties["inter.broker.listener.name"] = "VIA"
            self.nodes[n] = Node(folder=folder / str(n), port=port, properties=properties)
        for proxy in self.proxies.values():
            proxy.start()

    @property
    def bootstrap_via(self) -> str:
        """All three, through their proxies."""
        return ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.proxies.values())

    @property
    def bootstrap_servers(self) -> str:
        """All three."""
        return ",".join(node.bootstrap_servers for node in self.nodes.values())

    def start(self, nodes: Collection[int] = NODES) -> None:
        """Start those that do not run, together: one alone has no quorum."""
        missing = [n for n in nodes if not self.nodes[n].running]
        for n in missing:
            _formatted(self.nodes[n].folder / "data", n)
        with ThreadPoolExecutor(len(NODES)) as together:
            for started in [together.submit(self.nodes[n].start) for n in missing]:
                started.result()
        if set(nodes) == set(NODES):
            self.whole()

    def whole(self, *, within_s: float = WHOLE_WITHIN_S) -> None:
        """Wait until all nodes are there and every partition is in sync."""
        deadline = time.monotonic() + within_s
        while True:
            odd = self._odd()
            if not odd:
                return
            assert time.monotonic() < deadline, f"the cluster is not whole: {odd}"
            time.sleep(0.3)

    def _odd(self) -> str:
        up = [node.bootstrap_servers for node in self.nodes.values() if node.running]
        try:
            found = _metadata(",".join(up))
        except KafkaException as error:
            return repr(error)
        behind = [
            f"{name}-{number}"
            for name, topic in found.topics.items()
            for number, partition in topic.partitions.items()
            if set(partition.isrs) != set(partition.replicas)
        ]
        brokers_n = len(found.brokers)
        return (
            "" if brokers_n == len(NODES) and not behind else f"{brokers_n} brokers, {behind[:3]}"
        )

    def admin(self) -> KafkaAdminClient:
        """An administrator's client of whichever node answers."""
        up = [node.bootstrap_servers for node in self.nodes.values() if node.running]
        return KafkaAdminClient(
            bootstrap_servers=up, bootstrap_timeout_ms=5_000, request_timeout_ms=10_000
        )

    def controller(self) -> int:
        """The node that leads the controllers."""
        admin = self.admin()
        try:
            quorum: Any = admin.describe_metadata_quorum()
        finally:
            admin.close()
        return int(quorum["topics"][0]["partitions"][0]["leader_id"])

    def leader(self, topic: str, partition: int = 0) -> int:
        """The node that leads a partition; -1: none does, or nobody can tell now."""
        try:
            admin = self.admin()
            try:
                (found,) = admin.describe_topics([topic])
            finally:
                admin.close()
        except (errors.KafkaError, OSError):
            return -1
        return next(
            int(p["leader_id"]) for p in found["partitions"] if p["partition_index"] == partition
        )

    def not_triple(self, topics: Sequence[str]) -> list[str]:
        """Which of these are not on all three nodes, or need no second acknowledgement."""
        admin = self.admin()
        try:
            described = admin.describe_topics(list(topics))
            of_topics: Any = admin.describe_configs(
                [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics],
                config_filter="all",
            )
        finally:
            admin.close()
        lacking = {
            topic["name"]
            for topic in described
            if any(set(p["replica_nodes"]) != set(NODES) for p in topic["partitions"])
        }
        for name, settings in of_topics["topic"].items():
            if settings["min.insync.replicas"]["value"] != "2":
                lacking.add(name)
        return sorted(lacking)

    def kill(self) -> None:
        """SIGKILL all."""
        for proxy in self.proxies.values():
            proxy.stop()
        for node in self.nodes.values():
            node.kill()


def _properties(n: int, port: int, controller: int) -> dict[str, str]:
    return {
        "node.id": str(n),
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "offsets.topic.replication.factor": "3",
        "transaction.state.log.replication.factor": "3",
        "transaction.state.log.min.isr": "2",
        "min.insync.replicas": "2",
        "default.replication.factor": "3",
        "replica.lag.time.max.ms": "4000",
        "controller.quorum.election.timeout.ms": "1000",
        "controller.quorum.fetch.timeout.ms": "2000",
    }


def _via(port: int, controller: int, proxy: Proxy) -> dict[str, str]:
    """A second listener, which tells its clients to come through the proxy."""
    own, via = f"127.0.0.1:{port}", f"127.0.0.1:{proxy.to_port}"
    return {
        "listeners": f"PLAINTEXT://{own},VIA://{via},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://{own},VIA://127.0.0.1:{proxy.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,VIA:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }


def _formatted(data: Path, n: int) -> None:
    """An empty broker's data, of this node: the one that all begin with says that it is node 1's.

    Every node has a directory id of its own.
    """
    if data.exists():
        return
    installed = kafka_jars.installation(say=lambda _: None)
    shutil.copytree(installed / "formatted", data)
    meta = data / "meta.properties"
    text = re.sub(r"node\.id=\d+", f"node.id={n}", meta.read_text())
    directory = base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=").replace("-", "x", 1)
    meta.write_text(re.sub(r"directory\.id=\S+", f"directory.id={directory}", text))
