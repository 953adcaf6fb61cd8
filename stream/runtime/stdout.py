"""A standard output that may lose its reader: a command's exit code still tells what it found."""

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Lasting(io.FileIO):
    """What is written after the reader has left goes nowhere."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """See `io.FileIO.write`."""
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return super().write(data)


def outlive_readers() -> None:
    """Let stdout's reader leave (`| head -1`), or there be none (`>&-`).

    Python would raise in the middle of a command, and click end it with 1: no code of ours.
    """
    # Without one, Python's name is None.
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115  # as long as we live
    if not sys.stdout:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        return
    lasting = _Lasting(sys.stdout.fileno(), "w", closefd=False)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(lasting),
        encoding=sys.stdout.encoding,
        errors=sys.stdout.errors,
        line_buffering=bool(sys.stdout.line_buffering),
    )
