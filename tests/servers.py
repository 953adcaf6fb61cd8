"""Servers for tests; one broker for all processes of a run, or each had to start and warm a JVM.

The first process that needs the broker starts a keeper, which ends the broker when the run is over.
"""

import fcntl
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from stream.sandbox import LocalKafka, LocalRedis, NotReady, Unavailable
from stream.sandbox.kafka_settings import JVM_BRIEF
from tests.processes import alive

Server = TypeVar("Server", bound=LocalKafka | LocalRedis)
_PORT_TRIES = 3
_JVM = (*JVM_BRIEF, "-Xmx640m")
"""Of the shared broker: four processes use it at a time. Java takes the last of two sizes."""

_SHARED = {"num.network.threads": "3", "num.io.threads": "4"}


def started(make: Callable[[], Server]) -> Server:
    """Start a server; on another port if somebody took the one it had chosen.

    Raises: Unavailable, NotReady.
    """
    for tries_left in reversed(range(_PORT_TRIES)):
        server = make()
        try:
            server.start()
        except NotReady as error:
            if not tries_left or not any("already in use" in line for line in error.log_tail):
                raise
        else:
            return server
    raise AssertionError("the last try returns, or raises")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the keeper tells: where the broker is, or why there is none."""

    pid: int = 0
    port: int = 0
    unavailable: str = ""
    not_ready: str = ""


class SharedKafka(LocalKafka):
    """A broker that the keeper started: to be used, and not to be ended."""

    def __init__(self, folder: Path, kept: Kept) -> None:
        super().__init__(folder=folder, port=kept.port)
        self._pid = kept.pid

    @property
    def pid(self) -> int:
        """The broker's process id."""
        return self._pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return alive(self._pid)


def shared_kafka(folder: Path, *, run: int) -> SharedKafka:
    """The broker of a run.

    Args:
        folder: one that all processes of the run have.
        run: the process whose end is the run's.

    Raises: Unavailable: it cannot be had here. NotReady.
    """
    told = folder / "kafka.json"
    with (folder / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            command = [sys.executable, "-m", "tests.servers", str(folder), str(run)]
            keeper = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            assert keeper.stdout is not None
            with keeper.stdout:
                answer = keeper.stdout.readline()
            told.write_text(answer.decode() or json.dumps({"not_ready": "the keeper failed"}))
        kept = Kept(**json.loads(told.read_text()))
    if kept.unavailable:
        raise Unavailable(kept.unavailable)
    if kept.not_ready:
        raise NotReady(kept.not_ready, log_tail=())
    return SharedKafka(folder / "kafka", kept)


def _keep(folder: Path, run: int) -> None:
    """Start the broker, tell about it on stdout, and end it when the run is over."""
    over = os.pidfd_open(run)
    try:
        make = partial(LocalKafka, folder=folder / "kafka", jvm=_JVM, properties=_SHARED)
        broker = started(make)
        kept = Kept(pid=broker.pid, port=broker.port)
    except Unavailable as error:
        kept = Kept(unavailable=str(error))
    except NotReady as error:
        kept = Kept(not_ready=str(error))
    sys.stdout.write(f"{json.dumps(asdict(kept))}\n")
    sys.stdout.flush()
    if kept.pid:
        select.select([over], [], [])
        broker.kill()


if __name__ == "__main__":
    _keep(Path(sys.argv[1]), int(sys.argv[2]))
