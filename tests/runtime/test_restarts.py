"""What becomes of a worker that ended."""

import signal

import pytest

from stream.errors import ExitCode
from stream.runtime.supervision.restarts import (
    CALM_S,
    FENCED_MOST,
    FIRST_S,
    LATER_S,
    MOST_S,
    GiveUp,
    Restart,
    decide,
    final_code,
)


@pytest.mark.parametrize("code", [ExitCode.USAGE, ExitCode.BAD_INPUT, ExitCode.CONFIG])
def test_what_no_restart_can_help_ends_all(code: ExitCode) -> None:
    """Whenever it happens."""
    assert decide(code, ran_s=0, ends_n=0) == GiveUp(code)
    assert decide(code, ran_s=10 * CALM_S, ends_n=3) == GiveUp(code)


@pytest.mark.parametrize(
    "code", [ExitCode.OK, ExitCode.UNREACHABLE, ExitCode.INTERNAL, 1, 255, -9, -11, -15]
)
def test_any_other_end_is_followed_by_a_start(code: int) -> None:
    """A crash, a kill, a server that is away, somebody's own stop signal."""
    assert decide(code, ran_s=0, ends_n=0) == Restart(FIRST_S, 1)


def test_one_that_was_fenced_comes_back_later_and_not_for_ever() -> None:
    """It may only have stood still for too long; a name is not fought over."""
    for fenced_n in range(1, FENCED_MOST + 1):
        assert decide(ExitCode.FENCED, ran_s=0, ends_n=0, fenced_n=fenced_n) == Restart(LATER_S, 1)

    decision = decide(ExitCode.FENCED, ran_s=0, ends_n=0, fenced_n=FENCED_MOST + 1)
    assert decision == GiveUp(ExitCode.FENCED)


def test_waits_double_up_to_a_limit_and_are_short_again_after_a_good_while() -> None:
    """Exponential, capped; jitter only ever shortens."""
    waits = []
    ends_n = 0
    for _ in range(20):
        decision = decide(ExitCode.INTERNAL, ran_s=CALM_S - 1, ends_n=ends_n)
        assert isinstance(decision, Restart)
        waits.append(decision.after_s)
        ends_n = decision.ends_n

    assert waits[:4] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert waits[-1] == MOST_S
    assert waits == sorted(waits)
    assert decide(ExitCode.INTERNAL, ran_s=CALM_S, ends_n=ends_n) == Restart(FIRST_S, 1)
    jittered = decide(ExitCode.INTERNAL, ran_s=0, ends_n=ends_n, jitter=1.0)
    assert jittered == Restart(MOST_S / 2, ends_n + 1)


@pytest.mark.parametrize(
    ("codes", "final"),
    [
        ([], 0),
        ([0, 0, 0], 0),
        ([0, -signal.SIGTERM, -signal.SIGINT], 0),  # a signal to all found it before it listened
        ([0, ExitCode.UNREACHABLE, ExitCode.INTERNAL], ExitCode.UNREACHABLE),
        ([-signal.SIGKILL, 0], ExitCode.INTERNAL),  # it did not stop in time
    ],
)
def test_a_drain_ends_as_its_workers_ended(codes: list[int], final: int) -> None:
    """0 only if all stopped well."""
    assert final == final_code(codes)
