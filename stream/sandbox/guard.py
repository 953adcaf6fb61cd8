"""Things that must not outlive this process: the parent's end of `reaper.py`."""

import json
import os
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from uuid import uuid4

from stream.errors import Internal
from stream.sandbox import reaper

Leftover = Literal["process", "containers", "folder"]
"""What a process that is gone can leave behind."""

ANSWER_WITHIN_S = 20.0  # a Python start on a busy machine
CLEANED_WITHIN_S = 60.0


class Guard:
    """A child process that removes what is listed with it as soon as this process is gone.

    List a thing before it is made, and nothing can slip through. Any thread may call.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # -P: the folder of the script must not be importable, its modules are no top-level ones.
        self._process = subprocess.Popen(  # noqa: S603  # our own file, no shell
            [sys.executable, "-P", reaper.__file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in a terminal must not reach it
        )

    def add(self, kind: Leftover, name: str) -> None:
        """List a thing; on return it cannot outlive us. Raises: Internal."""
        self._tell("add", kind, name)

    def remove(self, kind: Leftover, name: str) -> None:
        """Strike a thing that is gone already. Raises: Internal."""
        self._tell("remove", kind, name)

    def close(self) -> None:
        """Remove all that is still listed; returns when that is done. Raises: Internal."""
        with self._lock:
            if self._process.stdin is None or self._process.stdin.closed:
                return
            try:
                self._process.communicate(timeout=CLEANED_WITHIN_S)
            except subprocess.TimeoutExpired as error:
                self._process.kill()
                self._process.wait()
                raise Internal("the sandbox could not be cleaned up in time") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _tell(self, verb: str, kind: Leftover, name: str) -> None:
        """Send one line to the reaper process, and wait for its answer. Raises: Internal."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101  # we asked for both pipes
        assert stdout is not None  # noqa: S101
        with self._lock:
            try:
                stdin.write(json.dumps([verb, kind, name]).encode() + b"\n")
                stdin.flush()
            except (BrokenPipeError, ValueError) as error:
                raise Internal("the sandbox's reaper process is gone") from error
            # `select` takes no descriptor beyond 1023, and a long run with many clients has those.
            answer = select.poll()
            answer.register(stdout, select.POLLIN)
            if not answer.poll(ANSWER_WITHIN_S * 1000) or os.read(stdout.fileno(), 1) != b"\n":
                raise Internal("the sandbox's reaper process does not answer")


@contextmanager
def own_folder(parent: Path | None, *, name: str = "streamfold-sandbox") -> Iterator[Path]:
    """A new folder that only this user can read; gone at the end, and whenever we are gone.

    Args:
        parent: where to make it, made if missing; None: the system's temporary folder.
        name: what the new folder's name begins with.

    Raises: Internal: it could not be removed.
    """
    place = Path(tempfile.gettempdir()) if parent is None else parent
    place.mkdir(parents=True, exist_ok=True)
    folder = place.absolute() / f"{name}-{uuid4().hex[:12]}"
    with Guard() as guard:
        guard.add("folder", str(folder))
        folder.mkdir(mode=0o700)
        yield folder
    if folder.exists():
        raise Internal(f"the sandbox's folder could not be removed: {folder}")
