"""What a local Kafka and a local Redis have in common: starting, stopping, pausing, killing."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from stream.sandbox.process import ServerProcess
from stream.sandbox.ready import LOOPBACK, READY_WITHIN_S, free_port, wait_until_ready


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where the servers of one kind of sandbox are.

    Attributes:
        bootstrap_servers: Kafka's address; None if embedded.
        redis_url: Redis' address; None if embedded.
        log_path: the SQLite file to use if embedded; else None.
        ended: asks whether a server ended by itself: its name, or None.
    """

    bootstrap_servers: str | None = None
    redis_url: str | None = None
    log_path: Path | None = None
    ended: Callable[[], str | None] = lambda: None


class LocalServer(ABC):
    """One server process on the loopback interface; a context manager that starts and stops it.

    The process dies with ours; its folder stays. Everything but `start` and `restart` is fine at
    any time, unless it says otherwise.

    Args:
        folder: where its data, settings and log are; made if missing.
        port: where it listens, over every restart; None: a free one.
    """

    name = "server"

    def __init__(self, *, folder: Path, port: int | None = None) -> None:
        self.folder = folder.absolute()
        self.port = free_port() if port is None else port
        self._process: ServerProcess | None = None

    @abstractmethod
    def _make_process(self) -> ServerProcess:
        """Write what it needs into the folder. Raises: Unavailable."""

    @abstractmethod
    def _problem(self) -> str | None:
        """What still keeps it from serving; None: nothing."""

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`, the same over every restart."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process id. Raises: Unavailable: it does not run."""
        return self._prepared().pid

    @property
    def running(self) -> bool:
        """Whether the process lives (a paused one does)."""
        return self._process is not None and self._process.running

    def start(self, *, timeout_s: float = READY_WITHIN_S) -> None:
        """Start, on the same port and in the same folder as before; returns when it serves.

        Raises: Unavailable: something it needs is not here. NotReady: it did not come up, or not
            in time; it does not run then.
        """
        process = self._prepared()
        process.start()
        ready = False
        try:
            wait_until_ready(
                what=f"{self.name} on {self.address}",
                problem=self._problem,
                running=lambda: process.running,
                log_tail=process.log_tail,
                timeout_s=timeout_s,
            )
            ready = True
        finally:
            if not ready:
                process.kill()

    def stop(self) -> None:
        """SIGTERM (it leaves cleanly), SIGKILL after a while."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        if self._process is not None:
            self._process.kill()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered. Raises: Unavailable."""
        self._prepared().pause()

    def resume(self) -> None:
        """SIGCONT after `pause`. Raises: Unavailable."""
        self._prepared().resume()

    def restart(self) -> None:
        """`stop`, then `start`. Raises: NotReady, Unavailable."""
        self.stop()
        self.start()

    def log_text(self) -> str:
        """Everything that it logged, over all starts."""
        return "" if self._process is None else self._process.log_text()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _prepared(self) -> ServerProcess:
        if self._process is None:
            self._process = self._make_process()
        return self._process
