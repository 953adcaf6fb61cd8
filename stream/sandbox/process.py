"""One server process: started, stopped, killed, paused; never longer alive than this process."""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from stream.sandbox.failures import Unavailable
from stream.sandbox.guard import Guard

STOPPED_WITHIN_S = 10.0  # SIGTERM, then SIGKILL
LOG_TAIL_LINES = 20

# The shell waits for a line before it becomes the server: by then the guard knows its id. When we
# die in between, it reads the end of the pipe instead and ends.
WAIT_FOR_GUARD = 'read -r _ && exec "$@" < /dev/null'


class ServerProcess:
    """A command run in `folder` as the leader of its own process group, all it says in one file.

    It may be started again after it ended; the log file then goes on.

    Args:
        name: used as the log's file name (`NAME.log`) and in error texts.
        command: the program and its arguments.
        folder: its working directory; made if missing.
    """

    def __init__(self, *, name: str, command: Sequence[str], folder: Path) -> None:
        self.name = name
        self._command = tuple(command)
        self._folder = folder
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

    @property
    def pid(self) -> int:
        """The process id. Raises: Unavailable: it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise Unavailable(f"{self.name} does not run")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended (a paused one runs)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; no waiting for readiness. Does nothing while it runs. Raises: Unavailable."""
        if self.running:
            return
        self._forget()
        self._folder.mkdir(parents=True, exist_ok=True)
        guard = Guard()
        with self._log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603  # the caller's command is the purpose
                ["/bin/sh", "-c", WAIT_FOR_GUARD, self.name, *self._command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                start_new_session=True,
            )
        self._process, self._guard = process, guard
        assert process.stdin is not None  # noqa: S101  # we asked for the pipe
        with process.stdin as gate:
            guard.add("process", str(process.pid))
            gate.write(b"\n")

    def stop(self) -> None:
        """SIGTERM, SIGKILL after a while; returns when it is gone. Fine if it does not run."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        if self.wait(timeout_s=STOPPED_WITHIN_S) is None:
            self._signal(signal.SIGKILL)
        self._forget()

    def kill(self) -> None:
        """SIGKILL; returns when it is gone. Fine if it does not run."""
        self._signal(signal.SIGKILL)
        self._forget()

    def pause(self) -> None:
        """SIGSTOP: its sockets stay open and nobody answers. Raises: Unavailable."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`. Raises: Unavailable."""
        os.killpg(self.pid, signal.SIGCONT)

    def wait(self, *, timeout_s: float) -> int | None:
        """Its exit status once it ended; None if it still runs then, or never ran."""
        if self._process is None:
            return None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def log_text(self) -> str:
        """Everything it said since the first start."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def log_tail(self) -> list[str]:
        """The last lines that it said."""
        return self.log_text().splitlines()[-LOG_TAIL_LINES:]

    def _signal(self, number: signal.Signals) -> None:
        # poll() is asked first: the id of a reaped process may belong to somebody else by now.
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _forget(self) -> None:
        """Collect the exit status of the ended process, and let its guard go."""
        if self._process is None or self._guard is None:
            return
        self._process.wait()
        self._guard.remove("process", str(self._process.pid))
        self._guard.close()
        self._process = self._guard = None
