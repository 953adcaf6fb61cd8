"""The errors of a sandbox that does not come up; after either, `start` tries its next choice."""

from collections.abc import Sequence

from stream.errors import Retryable


class Unavailable(Retryable):
    """This choice cannot be had on this machine; the text is the reason."""


class NotReady(Retryable):
    """A server was started, but did not answer in time, or ended by itself.

    Args:
        problem: which server it was, and what it did not do, in one line.
        log_tail: the last lines of its log; a traceback shows them as a note.
    """

    def __init__(self, problem: str, *, log_tail: Sequence[str]) -> None:
        # Java's stack frames are indented; the line before them is the one that says something.
        telling = [line for line in log_tail if line and not line[0].isspace()]
        super().__init__(f"{problem}; its log ends: {telling[-1] if telling else '(empty)'}")
        self.log_tail = tuple(log_tail)
        self.add_note("\n".join(log_tail))
