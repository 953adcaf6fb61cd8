"""The second process of a first start (see `stream.runtime.repeating`) as a fork, too.

Its world differs as that of a new interpreter: the clock is ahead before river is loaded, objects
lie elsewhere, and each fork makes some more. `tests.runtime.test_repeating` has new interpreters.
"""

import gc
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from stream.deferred import load_river
from stream.runtime import second_process
from tests.commands import forking

REPOSITORY = Path(__file__).resolve().parents[2]

PYTHON = """#!{python} -IS
import json, os, socket, sys
words = sys.argv[1:]
is_second = words[:3] == ["-m", "stream.runtime.second_process", "other"]
if not is_second or os.environ.get("PYTHONHASHSEED") != "{hash_seed}":
    os.execv("{python}", ["{python}", *words])
request = {{
    "command": ["{python}", *words], "folder": os.getcwd(), "environment": dict(os.environ),
    "python": "{python}",
}}
answers, its = socket.socketpair()
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asked, its:
    asked.connect("{path}")
    socket.send_fds(asked, [json.dumps(request).encode()], [its.fileno(), 0, 1, 2])
_, code = answers.makefile()
sys.exit(int(code))
"""
"""In the place of a fork's interpreter; all but second processes are of the real one."""


class OtherWorld:
    """The process whose forks are second processes; it ends with this one.

    Args:
        variables: its own; with another hash seed a second process is a new interpreter.

    Attributes:
        python: the interpreter that a command is to start.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="other-world-")
        folder = Path(self._folder.name)
        self.python = folder / "python"
        self.python.write_text(
            PYTHON.format(
                python=sys.executable, hash_seed=variables["PYTHONHASHSEED"], path=folder / "asked"
            )
        )
        self.python.chmod(0o700)
        self._owner, its = socket.socketpair()
        with its, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as requests:
            requests.bind(str(folder / "asked"))
            numbers = [each.fileno() for each in (requests, its)]
            subprocess.Popen(
                [sys.executable, "-m", "tests.commands.other_world", *map(str, numbers)],
                cwd=REPOSITORY, env={**os.environ, **variables, "PYTHONDONTWRITEBYTECODE": "1"},
                pass_fds=numbers, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip


def _load_and_serve(requests: int, owner: int) -> None:
    kept = second_process.other_addresses()
    second_process.other_clock()
    load_river()
    from stream.runtime import repeated_fold  # noqa: PLC0415  # after river, as there

    kept.append(repeated_fold)
    gc.freeze()
    with socket.socket(fileno=requests) as asked, socket.socket(fileno=owner) as owned:
        words = forking.serve(asked, owned)
    if words:
        _, _, world, deadline_s = words
        second_process.main(world, int(deadline_s))


if __name__ == "__main__":
    _load_and_serve(*map(int, sys.argv[1:]))
