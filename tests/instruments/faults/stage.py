"""The servers of a run: brought up when a row asks for them, made anew when one ruined them."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, Self
from uuid import uuid4

import redis

from stream.sandbox import LocalKafka, LocalRedis
from stream.sandbox.ready import free_port
from tests.instruments.faults.cluster import Cluster
from tests.instruments.faults.guarded import Guarded
from tests.instruments.faults.proxy import Proxy

Client = Literal["kafka-python", "confluent"]
TAKE_OVERS_N = 6

AS_SHIPPED = {
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "10000",
    "group.initial.rebalance.delay.ms": "3000",
}


class Stage:
    """Servers for rows, one row at a time; a context manager.

    Args:
        folder: for all of it.
        say: gets a line when something takes long.
        client: of the workers.
        take_overs_n: how often row 50 changes the owner.
    """

    def __init__(
        self,
        folder: Path,
        say: Callable[[str], None],
        client: Client = "kafka-python",
        take_overs_n: int = TAKE_OVERS_N,
    ) -> None:
        self.folder = folder
        self.say = say
        self.client: Client = client
        self.take_overs_n = take_overs_n
        self._kafka: LocalKafka | None = None
        self._shipped: LocalKafka | None = None
        self._proxy: Proxy | None = None
        self._redis: LocalRedis | None = None
        self._cluster: Cluster | None = None
        self._guarded: Guarded | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    @property
    def kafka(self) -> LocalKafka:
        """One broker, with a second listener that leads through `proxy`."""
        if self._kafka is None:
            with ExitStack() as stack:
                port, behind, before = free_port(), free_port(), free_port()
                broker = LocalKafka(
                    folder=self.folder / f"kafka-{uuid4().hex[:6]}",
                    port=port,
                    properties=_two_listeners(port, behind, before),
                )
                stack.callback(broker.kill)
                broker.start()
                proxy = Proxy(port=before, to_port=behind)
                proxy.start()
                stack.pop_all()
            self._kafka, self._proxy = broker, proxy
        if not self._kafka.running:
            self._kafka.start()
        return self._kafka

    @property
    def shipped(self) -> LocalKafka:
        """A broker with the intervals that it is shipped with: what recovery really waits for."""
        if self._shipped is None:
            folder = self.folder / f"shipped-{uuid4().hex[:6]}"
            self._shipped = LocalKafka(folder=folder, properties=AS_SHIPPED)
        self._shipped.start()
        return self._shipped

    @property
    def guarded(self) -> Guarded:
        """A broker where a worker may do what it is permitted."""
        if self._guarded is None:
            self._guarded = Guarded.made(self.folder / f"guarded-{uuid4().hex[:6]}")
        self._guarded.start()
        return self._guarded

    @property
    def proxy(self) -> Proxy:
        """Between the workers of a row that asks for it, and `kafka`."""
        assert self.kafka is not None
        assert self._proxy is not None
        return self._proxy

    @property
    def redis(self) -> LocalRedis:
        """A Redis that is up, empty, and as it was shipped."""
        if self._redis is None:
            self._redis = LocalRedis(folder=self.folder / f"redis-{uuid4().hex[:6]}")
        self._redis.start()
        return self._redis

    @property
    def cluster(self) -> Cluster:
        """Three brokers, all running."""
        if self._cluster is None:
            self._cluster = Cluster(self.folder / f"cluster-{uuid4().hex[:6]}")
        self._cluster.start()
        return self._cluster

    def ask_redis(self, *command: str) -> Any:
        """One command, as an operator types it."""
        with redis.Redis.from_url(self.redis.url, protocol=2) as client:
            return client.execute_command(*command)

    def end_cluster(self) -> None:
        """Three brokers cost a gigabyte: end them when no other row needs them."""
        if self._cluster is not None:
            self._cluster.kill()
            shutil.rmtree(self._cluster.folder, ignore_errors=True)
            self._cluster = None

    def discard(self) -> None:
        """End all servers; the next row gets new ones."""
        self.end_cluster()
        if self._proxy is not None:
            self._proxy.stop()
        for server in (self._kafka, self._shipped, self._guarded, self._redis):
            if server is not None:
                server.kill()
                shutil.rmtree(server.folder, ignore_errors=True)
        self._kafka = self._shipped = self._guarded = self._proxy = self._redis = None


def _two_listeners(port: int, behind: int, before: int) -> dict[str, str]:
    """`port` leads to the broker; a client that comes to `behind` is told to go to `before`."""
    own, via = f"127.0.0.1:{port}", f"127.0.0.1:{behind}"
    controller = free_port()
    return {
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"PLAINTEXT://{own},VIA://{via},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://{own},VIA://127.0.0.1:{before}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,VIA:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }
