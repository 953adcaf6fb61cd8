"""A process that has loaded much, and forks once for each request: the forks' side of `forked`."""

import json
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

LONGEST_REQUEST = 1 << 17
FILES_N = 4
"""What a request brings: a socket for answers, and the three files of a command."""


def serve(requests: socket.socket, owner: socket.socket) -> list[str]:
    """Fork until the owner is gone. Returns: the fork's arguments; in the process itself none."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who answer
    while requests in select.select([requests, owner], [], [])[0]:
        message, files, _, _ = socket.recv_fds(requests, LONGEST_REQUEST, FILES_N)
        if not message:
            break
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if (pid := os.fork()) == 0:
                return _become(json.loads(message), files)
            _answer(files[0], pid)
        for file in files:
            os.close(file)
    return []


def _answer(file: int, pid: int) -> None:
    """Tell who it is and how it ends; end it, should nobody be there any more to hear that."""
    os.write(file, f"{pid}\n".encode())
    ended = os.pidfd_open(pid)
    if ended not in select.select([ended, file], [], [])[0]:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with suppress(OSError):
        os.write(file, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(request: dict[str, Any], files: Sequence[int]) -> list[str]:
    """Take the command's files, folder, variables and arguments, and random numbers of its own."""
    import numpy as np  # noqa: PLC0415  # loaded by now; what serves says when

    answers, *standard = files
    os.close(answers)
    for number, file in enumerate(standard):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.executable = request["python"]
    sys.orig_argv = request["command"]
    sys.argv = request["command"][2:]
    sys.path[0] = request["folder"]
    np.random.seed()  # noqa: NPY002  # Python's own generator does so by itself
    return [*request["command"][1:]]
