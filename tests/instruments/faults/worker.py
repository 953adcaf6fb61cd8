"""A worker's process, as its supervisor sees it."""

import signal
import subprocess
import time
from datetime import datetime
from pathlib import Path

LOG_LINES = 12
START_S = 3.0
"""What the start of a process may take; a machine that is busy with other work takes longer."""

RESTART_CODES = (69, 70, 75)
"""With which a supervisor starts a worker again."""


class Broke(Exception):
    """Something that must hold did not."""


def resident_bytes(pid: int) -> int:
    """The memory that a process has now."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


class Worker:
    """A process that runs `stream run`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log_path = log
        self.began_at = time.time()

    @property
    def log(self) -> str:
        """All that it wrote."""
        return self.log_path.read_text(errors="replace")

    @property
    def start_s(self) -> float:
        """How long the process took until it said that it works: Python, imports, connections.

        From its first line's clock, as everything else may be late to look.
        """
        line = next(ln for ln in self.log.splitlines() if "worker_started" in ln)
        said = datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").astimezone()
        return said.timestamp() - self.began_at

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def has_started(self) -> bool:
        """Whether it said that it works: now it knows its signals, and what comes is its own."""
        return "worker_started" in self.log

    @property
    def is_stopped(self) -> bool:
        """Whether SIGSTOP holds it."""
        status = Path(f"/proc/{self.process.pid}/stat").read_text()
        return status.rpartition(")")[2].split()[0] == "T"

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        if self.running:
            self.process.kill()
        self.process.wait()

    def ends(self, *, within_s: float) -> int:
        """Its exit code. Raises: Broke: it still runs then."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            tail = " | ".join(self.log.splitlines()[-LOG_LINES:])
            raise Broke(f"a worker did not end within {within_s:g} s: {tail}") from None

    def ends_with(self, code: int, *, within_s: float, says: str = "") -> None:
        """Raises: Broke: it ends otherwise, or does not say why."""
        found = self.ends(within_s=within_s)
        if found != code or says not in self.log:
            tail = " | ".join(self.log.splitlines()[-LOG_LINES:])
            raise Broke(f"exit {found} instead of {code} (with {says!r}): {tail}")
