"""One pipeline under a fault: its upstream, its workers, and the verifier that watches it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self
from uuid import uuid4

from kafka import KafkaAdminClient, TopicPartition, errors
from kafka.structs import OffsetAndMetadata

from tests.instruments.faults import expected, models, settled
from tests.instruments.faults.feeder import Feeder
from tests.instruments.faults.stage import Stage
from tests.instruments.faults.verifier import CHANNELS, Verifier
from tests.instruments.faults.worker import LOG_LINES, Broke, Worker

REPOSITORY = Path(__file__).resolve().parents[3]
LATE_S = 0.4
"""What was committed before a fault may be read so late: the verifier looks every 0.2 s."""


NO_NODES: Mapping[str, Sequence[int]] = MappingProxyType({})
NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


class Run:
    """A context manager: at the end everything of it is gone, whatever happened.

    Args:
        bootstrap: for the upstream and the verifier; no fault is between them and the brokers.
        config: TOML below the servers' addresses.
        rate: events a second and partition that the upstream appends all the while; 0: none.
        model: of the plain loop.
        replicas: of the topics.
        patience_s: of the verifier.
        nodes: of a topic's partitions, by the topic's channel, the leader first; without: any.
        settings: of the events topic.
        is_commanded: the plain loop is told what the ledger says was done, and where.
        environment: of each worker.
    """

    def __init__(
        self,
        stage: Stage,
        *,
        bootstrap: str | None = None,
        config: str = "",
        partitions_n: int = 2,
        rate: float = 150.0,
        recovery_time_s: float = 6.0,
        commit_interval_ms: int = 100,
        model: Callable[[], Any] = models.logistic,
        replicas: int = 1,
        is_dense: bool = True,
        patience_s: float = 10.0,
        nodes: Mapping[str, Sequence[int]] = NO_NODES,
        settings: Mapping[str, str] | None = None,
        is_commanded: bool = False,
        environment: Mapping[str, str] = NO_ENVIRONMENT,
    ) -> None:
        self.stage = stage
        self.bootstrap = bootstrap or stage.kafka.bootstrap_servers
        self.name = f"faults-{uuid4().hex[:8]}"
        self.folder = stage.folder / self.name
        self.partitions_n = partitions_n
        self.recovery_time_s = recovery_time_s
        self.model = model
        self.is_event: expected.IsEvent = expected.event_of
        self.is_commanded = is_commanded
        self.environment = dict(environment)
        self.workers: list[Worker] = []
        self.recoveries: list[float] = []
        self.config = (
            f"[delivery]\ncommit_interval_ms = {commit_interval_ms}\n"
            f"[snapshots]\nrecovery_time_s = {recovery_time_s}\n"
            f'[alerts]\npolicy = "raw"\n{config}'  # a plain loop knows each firing of a detector
        )
        if "[model]" not in config:
            self.config += '\n[model]\nfactory = "tests.instruments.faults.models:logistic"\n'
        self._replicas = replicas
        self.nodes = dict(nodes)
        self._settings = {"retention.ms": "-1", **(settings or {})}
        self.feeder = Feeder(
            bootstrap=self.bootstrap,
            topic=f"{self.name}.events",
            partitions_n=partitions_n,
            rate=rate,
        )
        self._rate = rate
        self.variables = {
            "PYTHONPATH": str(REPOSITORY), "XDG_STATE_HOME": str(self.folder / "state"),
            "STREAM__KAFKA__CLIENT": stage.client,
        }  # fmt: skip
        self.verifier = Verifier(
            bootstrap=self.bootstrap,
            pipeline=self.name,
            partitions_n=partitions_n,
            is_dense=is_dense,
            patience_s=patience_s,
        )

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        self.configure(self.config)
        self.make_topics(("events", *CHANNELS))
        self.verifier.start()
        if self._rate:
            self.feeder.start()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            if worker.running:
                worker.process.kill()
                worker.process.wait()
        self.feeder.stop()
        self.verifier.stop()

    def configure(self, config: str) -> None:
        """Write the workers' configuration."""
        (self.folder / "stream.toml").write_text(
            f'pipeline = "{self.name}"\n'
            f'[kafka]\nbootstrap_servers = "{self.bootstrap}"\n'
            f'[redis]\nurl = "{self.stage.redis.url}"\n{config}'
        )

    def make_topics(self, channels: tuple[str, ...]) -> None:
        """Make topics of the pipeline."""
        admin = self.admin()
        try:
            admin.create_topics(
                {f"{self.name}.{channel}": self._new_topic(channel) for channel in channels},
                wait_for_metadata=True,
            )
        finally:
            admin.close()

    def _new_topic(self, channel: str) -> dict[str, Any]:
        configs = self._settings if channel == "events" else {}
        if channel in self.nodes:
            nodes = list(self.nodes[channel])
            return {"assignments": dict.fromkeys(range(self.partitions_n), nodes),
                    "configs": configs}  # fmt: skip
        return {"num_partitions": self.partitions_n, "replication_factor": self._replicas,
                "configs": configs}  # fmt: skip

    def admin(self) -> KafkaAdminClient:
        """An administrator's client."""
        return KafkaAdminClient(bootstrap_servers=self.bootstrap)

    def start(
        self,
        *,
        instance: str | None = None,
        behind_proxy: bool = False,
        environment: Mapping[str, str] = NO_ENVIRONMENT,
    ) -> Worker:
        """A worker in the background."""
        number = len(self.workers)
        variables = {**self.variables, "PYTHONFAULTHANDLER": "1", **self.environment,
                     **environment}  # fmt: skip
        if instance is not None:
            variables["STREAM__WORKER__INSTANCE"] = instance
        if behind_proxy:
            at = f"127.0.0.1:{self.stage.proxy.port}"
            variables["STREAM__KAFKA__BOOTSTRAP_SERVERS"] = at
        path = self.folder / f"worker-{number}.log"
        with path.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "stream", "run", "-c", "stream.toml"],
                cwd=self.folder,
                env=os.environ | variables,
                stdout=log,
                stderr=log,
            )
        self.workers.append(Worker(process, path))
        return self.workers[-1]

    def command(
        self,
        *arguments: str,
        is_checked: bool = True,
        environment: Mapping[str, str] = NO_ENVIRONMENT,
    ) -> subprocess.CompletedProcess[str]:
        """What a user types, to its end; `is_checked`: it ends well."""
        return subprocess.run(
            [sys.executable, "-m", "stream", *arguments], cwd=self.folder,
            env={**os.environ, **self.variables, **environment},
            capture_output=True, text=True, check=is_checked,
        )  # fmt: skip

    def flowing(
        self, *, within_s: float = 90.0, after: float | None = None, partition: int | None = None
    ) -> float:
        """Wait for the next committed outcome. Returns: how long after `after` (now) it came."""
        began = time.monotonic() if after is None else after
        self.until(
            lambda: self.verifier.next_arrival(began, partition) is not None,
            within_s=within_s,
            what="a next outcome",
        )
        at = self.verifier.next_arrival(began, partition)
        assert at is not None
        return at - began

    def recovered(
        self, after: float, *, within_s: float = 90.0, partition: int | None = None
    ) -> float:
        """As `flowing`, and counts as a recovery."""
        took_s = LATE_S + self.flowing(within_s=within_s, after=after + LATE_S, partition=partition)
        self.recoveries.append(took_s)
        return took_s

    def until(self, holds: Callable[[], bool], *, within_s: float, what: str) -> None:
        """Wait. Raises: Broke: too long."""
        deadline = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > deadline:
                raise Broke(f"not within {within_s:g} s: {what}; {self.said()}")
            time.sleep(0.02)

    def said(self) -> str:
        """The last lines of the last worker."""
        if not self.workers:
            return "no worker yet"
        return " | ".join(self.workers[-1].log.splitlines()[-LOG_LINES:])

    def every_log(self) -> str:
        """What all workers wrote."""
        return "\n".join(worker.log for worker in self.workers)

    def caught_up(
        self, *, within_s: float = 60.0, look: Callable[[], object] = lambda: None
    ) -> dict[int, list[tuple[int, bytes]]]:
        """Wait until what the events topic holds now is committed and seen. Raises: Broke.

        Args:
            within_s: longest wait for it.
            look: called now and then while it waits: for whoever looks after a worker.

        Returns: what it holds, by partition.
        """
        records = settled.inputs(self.verifier)

        def is_done() -> bool:
            look()
            return settled.lag_gone(self.verifier, records)

        self.until(
            is_done,
            within_s=within_s,
            what=f"I7: lag 0; committed {self.verifier.committed}, "
            f"ends { {p: len(r) for p, r in records.items()} }",
        )
        return records

    def finish(self, *, within_s: float = 60.0, look: Callable[[], object] = lambda: None) -> None:
        """Stop feeding, wait for the end (see `caught_up`), and check everything. Raises: Broke."""
        self.feeder.stop()
        records = self.caught_up(within_s=within_s, look=look)
        for worker in self.workers:
            if worker.running:
                worker.signal(signal.SIGTERM)
        for worker in self.workers:
            with suppress(Broke):
                worker.ends(within_s=120)
            worker.kill()
        self.judge(records)

    def judge(self, records: dict[int, list[tuple[int, bytes]]] | None = None) -> None:
        """The final checks. Raises: Broke."""
        given = settled.inputs(self.verifier) if records is None else records
        time.sleep(0.5)  # one more look of the verifier
        self.verifier.stop()
        broken = self.verifier.broken + settled.problems(
            self.verifier,
            given,
            self.model,
            is_event=self.is_event,
            open_transactions_s=self.recovery_time_s + 5,
            is_commanded=self.is_commanded,
        )
        if broken:
            raise Broke("; ".join(broken[:4]))

    def set_offset(self, offset: int, partition: int = 0, metadata: str = "") -> None:
        """An operator sets the group's offset, once no dead worker's session is left."""
        self.until(self.group_is_empty, within_s=30, what="the group is empty")
        tp = TopicPartition(f"{self.name}.events", partition)
        admin = self.admin()
        try:
            answers = admin.alter_group_offsets(
                self.name, {tp: OffsetAndMetadata(offset, metadata, -1)}
            )
        finally:
            admin.close()
        assert answers == {tp: errors.NoError}, answers

    def group_is_empty(self) -> bool:
        """Whether the dead members' sessions are over."""
        admin = self.admin()
        try:
            found = admin.describe_groups([self.name])
        except errors.KafkaError:
            return False
        finally:
            admin.close()
        return '"Empty"' in json.dumps(found, default=str)
