"""The faults of a soak: each makes its trouble, waits a while, and mends it.

One fault of a kind at a time; faults of several kinds overlap. What a fault does is drawn from its
own seed: the same plan makes the same faults, though the threads of a real machine never meet twice
in the same way.
"""

import random
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis

from stream.sandbox import LocalRedis
from tests.instruments.faults.cluster import NODES, Cluster
from tests.instruments.faults.keeper import Keeper
from tests.instruments.faults.proxy import (
    ADD_OFFSETS,
    ADD_PARTITIONS,
    END_TXN,
    INIT_PRODUCER_ID,
    PRODUCE,
    TXN_OFFSET_COMMIT,
    Proxy,
    Rule,
)

START_WITHIN_S = 180.0
"""A node that finds only half of a cluster, on a machine that is busy."""

APIS = (INIT_PRODUCER_ID, ADD_PARTITIONS, ADD_OFFSETS, END_TXN, TXN_OFFSET_COMMIT, PRODUCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What faults are made on.

    Attributes:
        keepers: of all workers; the last one is steady: it is never killed or asked to end, so
            that what leaks at each fault adds up in it.
        over: set when the soak ends early; every wait returns then.
    """

    cluster: Cluster
    redis: LocalRedis
    keepers: Sequence[Keeper]
    over: threading.Event

    def wait(self, seconds: float) -> None:
        """Let the fault last."""
        self.over.wait(seconds)

    @property
    def mortal(self) -> Sequence[Keeper]:
        """All but the steady one."""
        return self.keepers[:-1]

    @property
    def proxies(self) -> list[Proxy]:
        """Of all nodes."""
        return list(self.cluster.proxies.values())


Make = Callable[[Field, random.Random], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, and how often it is drawn."""

    kind: str
    name: str
    make: Make
    weight: int = 1


def worker_killed(field: Field, chance: random.Random) -> None:
    """SIGKILL."""
    chance.choice(field.mortal).kill()


def workers_killed(field: Field, chance: random.Random) -> None:
    """Two at once."""
    field.wait(chance.uniform(0.0, 0.5))
    for keeper in field.mortal:
        keeper.kill()


def worker_ended(field: Field, chance: random.Random) -> None:
    """SIGTERM, and a new one when it is gone: a rolling update."""
    chance.choice(field.mortal).terminate()


def worker_stopped(field: Field, chance: random.Random) -> None:
    """SIGSTOP, shorter or longer than the session; then SIGCONT."""
    keeper = chance.choice(field.keepers)
    seconds = chance.choice((chance.uniform(0.5, 3.0), chance.uniform(8.0, 15.0)))
    with keeper.held() as worker:
        worker.signal(signal.SIGSTOP)
        field.wait(seconds)
        if worker.running:
            worker.signal(signal.SIGCONT)


def broker_killed(field: Field, chance: random.Random) -> None:
    """SIGKILL of one node, which comes back."""
    node = field.cluster.nodes[chance.choice(NODES)]
    node.kill()
    field.wait(chance.uniform(0.0, 8.0))
    node.start(timeout_s=START_WITHIN_S)
    field.cluster.whole()


def brokers_rolled(field: Field, chance: random.Random) -> None:
    """Each node in turn is stopped cleanly and started again, the cluster whole in between."""
    for n in chance.sample(NODES, len(NODES)):
        node = field.cluster.nodes[n]
        node.stop()
        field.wait(chance.uniform(0.0, 2.0))
        node.start(timeout_s=START_WITHIN_S)
        field.cluster.whole()


def broker_hung(field: Field, chance: random.Random) -> None:
    """SIGSTOP of one node, shorter or longer than the cluster waits for it."""
    node = field.cluster.nodes[chance.choice(NODES)]
    seconds = chance.choice((chance.uniform(0.5, 3.0), chance.uniform(10.0, 15.0)))
    node.pause()
    field.wait(seconds)
    node.resume()
    field.cluster.whole()


def redis_killed(field: Field, chance: random.Random) -> None:
    """It comes back, and is empty."""
    field.redis.kill()
    field.wait(chance.uniform(0.0, 8.0))
    field.redis.start()


def redis_flushed(field: Field, _: random.Random) -> None:
    """Everything is gone."""
    _ask(field, "FLUSHALL")


def redis_hung(field: Field, chance: random.Random) -> None:
    """SIGSTOP."""
    field.redis.pause()
    field.wait(chance.uniform(1.0, 10.0))
    field.redis.resume()


def redis_full(field: Field, chance: random.Random) -> None:
    """Nothing can be stored."""
    _ask(field, "CONFIG", "SET", "maxmemory", "1")
    field.wait(chance.uniform(1.0, 8.0))
    _ask(field, "CONFIG", "SET", "maxmemory", "0")


def _ask(field: Field, *command: str) -> Any:
    with redis.Redis.from_url(field.redis.url, protocol=2) as client:
        return client.execute_command(*command)


def cut(field: Field, chance: random.Random) -> None:
    """Some connections, several times."""
    for _ in range(chance.randint(1, 6)):
        chance.choice(field.proxies).cut(chance.uniform(0.1, 1.0))
        field.wait(chance.uniform(0.1, 1.0))


def cut_in_frames(field: Field, chance: random.Random) -> None:
    """Every connection after some bytes, in the middle of a frame."""
    for proxy in field.proxies:
        proxy.cut_after_bytes = chance.randint(5_000, 100_000)
    _healed_after(field, chance.uniform(1.0, 5.0))


def half_open(field: Field, chance: random.Random) -> None:
    """Connections stay and nothing passes; of one node, or of all."""
    for proxy in chance.choice((field.proxies, [chance.choice(field.proxies)])):
        proxy.is_half_open = True
    _healed_after(field, chance.uniform(0.5, 7.0))


def slow(field: Field, chance: random.Random) -> None:
    """Each frame takes longer, each way."""
    latency_s = chance.uniform(0.02, 0.3)
    for proxy in field.proxies:
        proxy.latency_s = latency_s
    _healed_after(field, chance.uniform(2.0, 6.0))


def answers_lost(field: Field, chance: random.Random) -> None:
    """The k-th answers of one transactional call are dropped, or the connections cut instead."""
    api, first = chance.choice(APIS), chance.randint(1, 4)
    do = "drop" if chance.random() < 0.5 else "cut"
    for proxy in field.proxies:
        rule = Rule(api=api, do="drop" if do == "drop" else "cut", first=first, last=first)
        proxy.rules = [rule]
    _healed_after(field, chance.uniform(2.0, 5.0))


def end_held(field: Field, chance: random.Random) -> None:
    """An EndTxn arrives late, over the old connection."""
    for proxy in field.proxies:
        proxy.rules = [Rule(api=END_TXN, do="hold", side="request", first=1, last=1)]
    field.wait(chance.uniform(0.2, 2.0))
    for proxy in field.proxies:
        proxy.release()
        proxy.heal()


def _healed_after(field: Field, seconds: float) -> None:
    field.wait(seconds)
    for proxy in field.proxies:
        proxy.heal()


FAULTS = (
    Fault("worker", "worker SIGKILL", worker_killed, 4),
    Fault("worker", "two workers SIGKILL", workers_killed, 1),
    Fault("worker", "worker SIGTERM and restart", worker_ended, 2),
    Fault("worker", "worker SIGSTOP, SIGCONT", worker_stopped, 3),
    Fault("broker", "broker SIGKILL", broker_killed, 3),
    Fault("broker", "brokers rolled, one by one", brokers_rolled, 1),
    Fault("broker", "broker SIGSTOP, SIGCONT", broker_hung, 2),
    Fault("redis", "Redis SIGKILL", redis_killed, 1),
    Fault("redis", "Redis FLUSHALL", redis_flushed, 1),
    Fault("redis", "Redis SIGSTOP, SIGCONT", redis_hung, 1),
    Fault("redis", "Redis full", redis_full, 1),
    Fault("network", "connections cut", cut, 2),
    Fault("network", "connections cut inside frames", cut_in_frames, 1),
    Fault("network", "connections half-open", half_open, 1),
    Fault("network", "slow network", slow, 1),
    Fault("network", "answers of a transactional call lost", answers_lost, 3),
    Fault("network", "EndTxn late, on its old connection", end_held, 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One fault of the plan.

    Attributes:
        pause_s: before it begins.
        seed: of what it draws.
    """

    fault: Fault
    pause_s: float
    seed: int


class Plan:
    """Faults without end, from a seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._weights = [fault.weight for fault in FAULTS]

    def next(self) -> Planned:
        """The next fault."""
        (fault,) = self._chance.choices(FAULTS, self._weights)
        pause_s = self._chance.choice((0.0, self._chance.uniform(0.5, 3.0), 6.0))
        return Planned(fault=fault, pause_s=pause_s, seed=self._chance.getrandbits(32))


class Kinds:
    """Runs faults, one of a kind at a time, each in a thread."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._threads: dict[str, threading.Thread] = {}
        self.failed: list[str] = []

    def begin(self, planned: Planned) -> bool:
        """Begin a fault. Returns: False: another one of its kind is still there."""
        if self.busy(planned.fault.kind):
            return False
        thread = threading.Thread(target=self._make, args=(planned,), daemon=True)
        self._threads[planned.fault.kind] = thread
        thread.start()
        return True

    def _make(self, planned: Planned) -> None:
        try:
            planned.fault.make(self._field, random.Random(planned.seed))
        except Exception as error:  # noqa: BLE001  # in a thread: the main one ends the soak with it
            self.failed.append(f"{planned.fault.name} could not be made: {error!r}")

    def busy(self, kind: str) -> bool:
        """Whether one of this kind is there."""
        return kind in self._threads and self._threads[kind].is_alive()

    @property
    def any_busy(self) -> bool:
        """Whether one is there."""
        return any(thread.is_alive() for thread in self._threads.values())

    def end(self) -> None:
        """Let all end now."""
        self._field.over.set()
        for thread in self._threads.values():
            with suppress(RuntimeError):
                thread.join(90)
