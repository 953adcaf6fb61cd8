"""How long a test waits before it calls something hung.

A limit is a bound on hanging, not a measure of speed: on a machine with other things to do all
takes ten times as long. What is promised of time is measured as processor time or by order, or
against the much longer wait that it is not.
"""

import time
from collections.abc import Callable

HANGS_AFTER_S = 240.0
HELD_UP_S = 10.0
"""By which a busy machine may be late with a wait that was promised to be short."""


def eventually(
    holds: Callable[[], bool],
    what: str,
    *,
    within_s: float = HANGS_AFTER_S,
    every_s: float = 0.05,
) -> None:
    """Poll until it holds; fail after the deadline. To ask by a command takes CPU: seldom."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(every_s)
