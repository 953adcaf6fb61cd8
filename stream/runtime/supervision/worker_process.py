"""A supervisor's end of the line to a worker: the worker's process."""

import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from stream.runtime.supervision.worker_link import Report

_RECEIVE_BYTES = 65_536


class Hired(Protocol):
    """One worker process, as the supervisor uses it."""

    @property
    def pid(self) -> int:
        """The worker's process id."""
        ...

    def code(self) -> int | None:
        """The worker's exit code, -N for signal N; None: it runs."""
        ...

    def reports(self) -> list[Report]:
        """What it reported since the last call."""
        ...

    def drain(self) -> None:
        """Ask it to stop: commit, snapshot, leave."""
        ...

    def show_stacks(self) -> None:
        """Ask it to write on stderr where each of its threads is."""
        ...

    def kill(self) -> None:
        """End it at once; it cannot refuse."""
        ...


class WorkerProcess:
    """See `Hired`. The process starts when this is made.

    The process has our working directory and streams, and nothing else of ours.

    Args:
        words: the command's words after `stream`; where its end of the line is follows them.
        environment: all variables that the process gets.

    Raises: OSError: there was no memory, or no process, to be had.
    """

    def __init__(self, words: Sequence[str], *, environment: Mapping[str, str]) -> None:
        self._line, theirs = socket.socketpair()
        self._line.setblocking(False)
        self._received = b""
        self._decode = msgspec.json.Decoder(Report).decode
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603  # this very program
                    [sys.executable, "-m", "stream", *words, "--supervised", str(theirs.fileno())],
                    env=environment,
                    pass_fds=[theirs.fileno()],
                )
        except OSError:
            self._line.close()
            raise

    @property
    def pid(self) -> int:
        """See `Hired.pid`."""
        return self._process.pid

    def code(self) -> int | None:
        """See `Hired.code`."""
        code = self._process.poll()
        if code is not None:
            self._line.close()
        return code

    def reports(self) -> list[Report]:
        """See `Hired.reports`."""
        try:
            while received := self._line.recv(_RECEIVE_BYTES):
                self._received += received
        except OSError:
            pass  # nothing more for now; or the line is closed, or its other end was lost
        *lines, self._received = self._received.split(b"\n")
        return [self._decode(line) for line in lines]

    def drain(self) -> None:
        """See `Hired.drain`."""
        self._line.close()

    def show_stacks(self) -> None:
        """See `Hired.show_stacks`."""
        self._process.send_signal(signal.SIGUSR1)

    def kill(self) -> None:
        """See `Hired.kill`."""
        self._process.kill()
