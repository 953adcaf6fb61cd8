"""A command as a fork of a process that has loaded river: loading takes each a second of CPU.

Its second process (see `stream.runtime.repeating`) is a fork, too: see `other_world`. What a fork
cannot show (loading, a terminal, signals while it starts) is tried with processes of their own: by
`Project.running`, `terminal`, and in `tests.broker.test_demo` and `tests.instruments.faults`.
"""

import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

import stream
from stream.__main__ import main
from stream.deferred import load_river
from tests.commands import forking
from tests.commands.other_world import OtherWorld

REPOSITORY = Path(__file__).resolve().parents[2]


class Forks:
    """The process whose forks are the commands; it ends with this one."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._plain = _without_test(os.environ)
        self._variables = dict(variables)
        self._other_world = OtherWorld(variables)
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            subprocess.Popen(
                [sys.executable, "-m", "tests.commands.forked", str(its.fileno())],
                cwd=REPOSITORY, env={**os.environ, **variables}, pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip

    def can(self, more: Mapping[str, str]) -> bool:
        """Whether a command with these variables is the same in a fork: some are read only once."""
        is_ours = all(name.startswith("STREAM__") for name in more)
        return is_ours and _without_test(os.environ) == self._plain

    def start(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], *,
        out: IO[Any] | int, err: IO[Any] | int,
    ) -> "Fork":  # fmt: skip
        """Start `python -m stream …` in the background; as `subprocess.Popen`."""
        variables = {**environment, **self._variables}
        request = {
            "command": command, "folder": str(folder), "environment": variables,
            "python": str(self._other_world.python),
        }  # fmt: skip
        answers, its = socket.socketpair()
        with its:
            files = [
                its.fileno(),
                0,
                *(f if isinstance(f, int) else f.fileno() for f in (out, err)),
            ]
            socket.send_fds(self._socket, [json.dumps(request).encode()], files)
        return Fork(command, answers)

    def run(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], timeout_s: float
    ) -> "subprocess.CompletedProcess[str]":
        """Run `python -m stream …` to its end; as `subprocess.run`.

        Raises: subprocess.TimeoutExpired (and the command was killed).
        """
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            fork = self.start(command, folder, environment, out=out, err=err)
            try:
                code = fork.wait(timeout_s)
            except subprocess.TimeoutExpired:
                fork.kill()
                raise
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(command, code, out.read(), err.read())


class Fork:
    """A command that was started; what `subprocess.Popen` has of it.

    Attributes:
        pid: of its process, which nobody reaps before its end was told.
        returncode: None until `poll` or `wait` saw its end.
    """

    def __init__(self, command: Sequence[str], answers: socket.socket) -> None:
        self._command, self._answers, self._unread = list(command), answers, b""
        self.returncode: int | None = None
        self.pid = int(self._line(None) or b"")  # waits until river is loaded

    def poll(self) -> int | None:
        """Its exit code; None: it runs."""
        if self.returncode is None and (line := self._line(0.0)) is not None:
            self.returncode = int(line)
            self._answers.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it ended. Raises: subprocess.TimeoutExpired."""
        if self.returncode is None:
            line = self._line(timeout)
            if line is None:
                raise subprocess.TimeoutExpired(self._command, timeout or 0.0)
            self.returncode = int(line)
            self._answers.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _line(self, timeout_s: float | None) -> bytes | None:
        """The next line of answers; None: not within that time. None waits for ever."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while b"\n" not in self._unread:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._answers], [], [], left)[0]:
                return None
            received = self._answers.recv(64)
            assert received, "the process that forks is gone"
            self._unread += received
        line, _, self._unread = self._unread.partition(b"\n")
        return line


Background = Fork | subprocess.Popen[bytes]
"""A command that was started, in either way."""


@cache
def forks(hash_seed: int) -> Forks:
    """Those of this process, with a hash seed; the first command waits until river is loaded."""
    return Forks(at_once(hash_seed))


def at_once(hash_seed: int) -> dict[str, str]:
    """The variables with which a worker need not begin again as a new interpreter."""
    return {"PYTHONHASHSEED": str(hash_seed), "MALLOC_ARENA_MAX": "2"}


def _without_test(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: v for name, v in environment.items() if name != "PYTEST_CURRENT_TEST"}


def _load_and_serve(requests: int) -> None:
    load_river()
    for found in pkgutil.walk_packages(stream.__path__, "stream."):
        importlib.import_module(found.name)
    gc.freeze()
    with socket.socket(fileno=requests) as asked:
        words = forking.serve(asked, owner=asked)
    if words:
        main()


if __name__ == "__main__":
    _load_and_serve(int(sys.argv[1]))
