"""A command as a fork of a process that has loaded river: loading takes each a second of CPU.

What a fork cannot show (variables, loading, a terminal, signals) is tried with processes of their
own: by `Project.running`, `terminal`, and in `tests.end_to_end`.
"""

import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import stream
from stream.__main__ import main
from stream.deferred import load_river

REPOSITORY = Path(__file__).resolve().parents[2]
_LONGEST_REQUEST = 1 << 17
_FILES_N = 4
"""What a request brings: a file for answers, and the command's three."""


class Forks:
    """The process whose forks are the commands; it ends with this one."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._plain = _without_test(os.environ)
        self._variables = dict(variables)
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            subprocess.Popen(
                [sys.executable, "-m", "tests.commands.forked", str(its.fileno())],
                cwd=REPOSITORY, env={**os.environ, **variables}, pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip

    def can(self, more: Mapping[str, str]) -> bool:
        """Whether a command with these variables is the same in a fork: some are read only once."""
        return not more and _without_test(os.environ) == self._plain

    def run(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], timeout_s: float
    ) -> "subprocess.CompletedProcess[str]":
        """Run `python -m stream …` to its end; as `subprocess.run`.

        Raises: subprocess.TimeoutExpired (and the command was killed).
        """
        variables = {**environment, **self._variables}
        request = {"command": command, "folder": str(folder), "environment": variables}
        answers, its = socket.socketpair()
        with answers, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            with its:
                files = [its.fileno(), 0, out.fileno(), err.fileno()]
                socket.send_fds(self._socket, [json.dumps(request).encode()], files)
            answers.settimeout(timeout_s)
            with answers.makefile("r") as lines:
                pid = int(lines.readline())
                try:
                    code = int(lines.readline())
                except TimeoutError:
                    os.kill(pid, signal.SIGKILL)
                    raise subprocess.TimeoutExpired(list(command), timeout_s) from None
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(command, code, out.read(), err.read())


@cache
def forks(hash_seed: int) -> Forks:
    """Those of this process, with a hash seed; the first command waits until river is loaded."""
    return Forks(at_once(hash_seed))


def at_once(hash_seed: int) -> dict[str, str]:
    """The variables with which a worker need not begin again as a new interpreter."""
    return {"PYTHONHASHSEED": str(hash_seed), "MALLOC_ARENA_MAX": "2"}


def _without_test(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: v for name, v in environment.items() if name != "PYTEST_CURRENT_TEST"}


def _serve(requests: socket.socket) -> None:
    """Answer until the other end is gone; returns in a fork, too, that has become a command."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who answer
    while True:
        message, files, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, _FILES_N)
        if not message:
            return
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if (pid := os.fork()) == 0:
                _become(json.loads(message), files)
                return
            _answer(files[0], pid)
        for file in files:
            os.close(file)


def _answer(file: int, pid: int) -> None:
    os.write(file, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    os.write(file, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(request: dict[str, Any], files: Sequence[int]) -> None:
    """Take the command's files, folder, variables and arguments, and random numbers of its own."""
    answers, *standard = files
    os.close(answers)
    for number, file in enumerate(standard):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.orig_argv = request["command"]
    sys.argv = request["command"][2:]
    sys.path[0] = request["folder"]
    np.random.seed()  # noqa: NPY002  # Python's own generator does so by itself


def _load_and_serve(requests: int) -> None:
    load_river()
    for found in pkgutil.walk_packages(stream.__path__, "stream."):
        importlib.import_module(found.name)
    gc.freeze()
    here = os.getpid()
    with socket.socket(fileno=requests) as listening:
        _serve(listening)
    if os.getpid() != here:
        main()


if __name__ == "__main__":
    _load_and_serve(int(sys.argv[1]))
