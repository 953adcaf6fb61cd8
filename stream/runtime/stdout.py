"""A standard output that may lose its reader: a command's exit code still tells what it found."""

import io
import os
import select
import sys
from typing import TYPE_CHECKING

from stream.errors import Retryable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Lasting(io.FileIO):
    """Drops what is written after the reader has left."""

    has_lost_its_reader = False

    def write(self, data: "ReadableBuffer", /) -> int:
        """See `io.FileIO.write`."""
        try:
            return super().write(data)
        except BrokenPipeError:
            self.has_lost_its_reader = True
            self._write_nowhere()
            return super().write(data)
        except OSError as error:
            self._write_nowhere()  # so that Python's own last words do not fail, too
            raise Retryable(f"standard output: {error.strerror}") from error

    def _write_nowhere(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


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


def reader_left() -> bool:
    """Whether nobody reads stdout any more (`| head -1`): who follows something may end then."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, _Lasting):
        return False
    if not raw.has_lost_its_reader:
        # Asked, for it may be long until the next line is written.
        poll = select.poll()
        poll.register(raw.fileno(), 0)
        raw.has_lost_its_reader = any(event & select.POLLERR for _, event in poll.poll(0))
    return raw.has_lost_its_reader
