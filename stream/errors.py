"""Everything this program raises. Each class says who must act.

StreamError
├── Usage                the person at the keyboard: the command's words are off        64
├── BadInput             the sender: a file or a stored thing is not what it must be    65
│   └── LogLost          the log no longer holds what the state was made of             65
├── Misconfigured        the operator: configuration, model or permissions              78
│   └── Missing          nobody made a topic, or a partition of it, that is asked for   78
├── Fenced               nobody: another instance took over; restart later              75
├── Retryable            the world: the same call may work later                        69
│   ├── NotReady         a server that is there has just started: the same call soon works
│   └── CommitLost       a commit failed or its fate is unknown: read the offsets again
└── Internal             us: a deadline passed or an invariant broke; restart           70

Bad *records* are no exceptions: they are `Rejection` values (core/event.py).
"""

from enum import IntEnum
from typing import ClassVar, Self


class ExitCode(IntEnum):
    """What the process says when it ends (names and numbers of sysexits.h)."""

    OK = 0
    USAGE = 64
    BAD_INPUT = 65
    UNREACHABLE = 69
    INTERNAL = 70
    FENCED = 75
    CONFIG = 78


class StreamError(Exception):
    """The root; never raised itself. Its text is one line that says what to do."""

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL


class Usage(StreamError):
    """The command's words are off; say it again, corrected."""

    exit_code = ExitCode.USAGE


class BadInput(StreamError):
    """A file, or something stored, is not what it must be; a restart cannot help."""

    exit_code = ExitCode.BAD_INPUT


class LogLost(BadInput):
    """The log no longer holds the records a state is made of, or does not reproduce it."""


class Misconfigured(StreamError):
    """Configuration, model or permissions are wrong; the operator must change something.

    Args:
        problems: one line each, with the key and what to write instead.
    """

    exit_code = ExitCode.CONFIG

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Missing(Misconfigured):
    """There is no such topic, or no such partition of it; nobody was refused anything."""


class Fenced(StreamError):
    """Another process with the same instance name took over; stop, and come back later."""

    exit_code = ExitCode.FENCED

    @classmethod
    def by_twin(cls, instance: str | None) -> Self:
        """What the older of two workers of one name says.

        >>> str(Fenced.by_twin("a"))  # doctest: +ELLIPSIS
        'a newer worker took over as instance "a", so this one stops; if both are meant to run, ...'
        """
        return cls(
            f'a newer worker took over as instance "{instance}", so this one stops; if both are '
            "meant to run, give each worker its own worker.instance"
        )


class Retryable(StreamError):
    """The outside world failed; the same call may work later. Back off and try again."""

    exit_code = ExitCode.UNREACHABLE


class NotReady(Retryable):
    """A server answers, and is not ready yet: it starts, loads, or elects. Worth a short wait."""


class CommitLost(Retryable):
    """A commit failed, or nobody knows: drop the work in hand and ask for the committed offsets."""


class Internal(StreamError):
    """A deadline passed or an invariant broke. The process ends; a restart is the tested way on."""

    exit_code = ExitCode.INTERNAL


def forget_frames(error: BaseException, *, meaning: StreamError) -> None:
    """Let an error that means a lost commit keep nothing of the frames it was raised through.

    A client keeps its last error, and an error its frames: a cycle that holds the commit's outputs,
    megabytes, and the producer's threads until somebody looks for cycles. Other meanings end the
    process, and their frames may be read.
    """
    if isinstance(meaning, CommitLost):
        error.__traceback__ = None
