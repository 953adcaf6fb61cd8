"""What becomes of a worker that ended: a decision on its exit code, and nothing else.

| ended with | then |
|---|---|
| 64, 65, 78 | no restart can help: all end, with this code |
| 75 | start it again, later; the fourth time in ten minutes all end, with this code |
| 69, 70, a signal, any other | start it again, after a while that doubles each time |
| 0 | the same: somebody else stopped it |

75 says that another process has the worker's name, or that the worker stood still for longer than
its transaction may last: a broker tells no difference. The second is over with a restart. Of the
first, two supervisors with one name, one must give way, or they would fence each other for ever.
"""

import signal
from dataclasses import dataclass

from stream.errors import ExitCode

FIRST_S = 0.5
MOST_S = 30.0
CALM_S = 60.0
"""A worker that ran this long has recovered: its next wait is short again."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Start it again, so many seconds from now; so many ends have now followed each other."""

    after_s: float
    ends_n: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """All the others must stop too, and the supervisor ends with this code."""

    code: ExitCode


FENCED_MOST = 3
FENCED_WITHIN_S = 600.0
"""More fences than that in this time are another process's doing."""

LATER_S = 5.0

_HOPELESS = (ExitCode.USAGE, ExitCode.BAD_INPUT, ExitCode.CONFIG)


def decide(
    code: int, *, ran_s: float, ends_n: int, fenced_n: int = 0, jitter: float = 0.0
) -> Restart | GiveUp:
    """What to do about a worker that ended by itself.

    Args:
        code: its exit code; -N: ended by signal N.
        ran_s: how long it ran.
        ends_n: how many times in a row it had ended before, each within `CALM_S` of its start.
        fenced_n: how many of its ends in the last `FENCED_WITHIN_S` were 75, this one included.
        jitter: a number in [0, 1]; spreads the restarts of workers that ended together.
    """
    if code in _HOPELESS or (code == ExitCode.FENCED and fenced_n > FENCED_MOST):
        return GiveUp(ExitCode(code))
    before_n = 0 if ran_s >= CALM_S else ends_n
    wait_s = min(MOST_S, FIRST_S * 2 ** min(before_n, 10)) * (1 - jitter / 2)
    if code == ExitCode.FENCED:
        wait_s = max(wait_s, LATER_S)
    return Restart(wait_s, before_n + 1)


def final_code(codes: list[int]) -> int:
    """How the supervisor ends once all workers did what it asked of them.

    Args:
        codes: how each ended; one that it had to kill, or that a signal ended first, as -N.

    >>> [int(final_code(codes)) for codes in ([0, 0], [0, 69], [-9, 0], [-15, 0])]
    [0, 69, 70, 0]
    """
    for code in codes:
        # A stop signal to the whole process group finds some before they can heed it.
        if code in (ExitCode.OK, -signal.SIGTERM, -signal.SIGINT):
            continue
        return code if code > 0 else ExitCode.INTERNAL
    return ExitCode.OK


def exit_text(code: int) -> str:
    """An exit code for people.

    >>> exit_text(70), exit_text(-9)
    ('exit code 70', 'killed by SIGKILL')
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
