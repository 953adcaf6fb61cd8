"""A terminal of so many columns, in which a command runs."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

from tests.commands.project import Done, Project

_STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def on_terminal(project: Project, *arguments: str, columns: int, errors: bool = False) -> Done:
    """Run a command with its output on a terminal, and with `errors` its errors too.

    Returns: how it ended, the output without styles.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {"TERM": "xterm-256color", **project.environment({})}
    environment.pop("COLUMNS", None)
    with subprocess.Popen(
        [sys.executable, "-m", "stream", *arguments],
        cwd=project.folder, env=environment, stdin=its, stdout=its, text=True,
        stderr=its if errors else subprocess.PIPE,
    ) as process:  # fmt: skip
        os.close(its)
        shown = b""
        while piece := _read(ours):
            shown += piece
        os.close(ours)
        said = "" if process.stderr is None else process.stderr.read()
    text = _STYLES.sub("", shown.decode()).replace("\r\n", "\n")
    return Done(process.returncode, text, said)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the other end was closed
        return b""
