"""The program's own command line, as a user starts it: each command a process of its own.

Everything that they write goes to one file each in the demo's folder. None outlives this process.
"""

import os
import signal
import sys
from pathlib import Path

import stream
from stream.errors import ExitCode, Internal
from stream.sandbox.process import ServerProcess

ENDS_WITHIN_S = 30.0
LINES_SHOWN = 12

_IMPORTED_FROM = Path(stream.__file__).resolve().parents[1]


class Failed(Internal):
    """A command ended when it should not have, or did not end well.

    Args:
        log_tail: the last lines that it wrote.
    """

    def __init__(self, problem: str, *, log_tail: list[str]) -> None:
        super().__init__(f"{problem}; the last lines of its log are above")
        self.log_tail = log_tail


class Child:
    """One command; it may be started again after it ended.

    Args:
        name: what people read; its log file has this name, with hyphens for spaces.
        arguments: what `python` is called with.
        folder: where it runs and writes.
        hash_seed: its PYTHONHASHSEED; None: Python's own choice.
    """

    def __init__(
        self, name: str, *arguments: str, folder: Path, hash_seed: int | None = None
    ) -> None:
        self.name = name
        self._process = ServerProcess(
            name=name.replace(" ", "-"),
            command=["env", *_environment(folder, hash_seed), sys.executable, *arguments],
            folder=folder,
        )

    @property
    def pid(self) -> int:
        """Its process id. Raises: Unavailable: it does not run."""
        return self._process.pid

    def start(self) -> None:
        """Start it."""
        self._process.start()

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._process.kill()

    def log_text(self) -> str:
        """Everything that it wrote since its first start."""
        return self._process.log_text()

    def ended(self) -> bool:
        """Whether it has ended, and well. Raises: Failed: not well."""
        code = self._process.wait(timeout_s=0)
        if code not in (None, ExitCode.OK):
            raise self._failed(f"{self.name} ended with exit code {code}")
        return code is not None

    def check_runs(self) -> None:
        """Raises: Failed: it has ended."""
        if self.ended():
            raise self._failed(f"{self.name} ended by itself")

    def stop(self) -> None:
        """SIGTERM, and wait until it has ended well. Raises: Failed: it has not."""
        self.check_runs()
        os.kill(self.pid, signal.SIGTERM)
        if self._process.wait(timeout_s=ENDS_WITHIN_S) is None:
            raise self._failed(f"{self.name} did not stop within {ENDS_WITHIN_S:.0f} s")
        self.ended()

    def _failed(self, problem: str) -> Failed:
        return Failed(problem, log_tail=self._process.log_tail()[-LINES_SHOWN:])


def _environment(folder: Path, hash_seed: int | None) -> list[str]:
    """Our environment, changed so that a child finds the program and leaves nothing behind."""
    path = [str(_IMPORTED_FROM), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    settings = [f"PYTHONPATH={os.pathsep.join(filter(None, path))}"]
    settings.append(f"XDG_STATE_HOME={folder}")  # where a worker keeps the key of its snapshots
    if hash_seed is not None:
        settings.append(f"PYTHONHASHSEED={hash_seed}")
    return settings
