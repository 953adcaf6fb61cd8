"""A wall clock that jumps, in a worker's own process."""

import os
import time

VARIABLE = "FAULTS_CLOCK"
JUMP_EVERY_S = 0.5


def install() -> None:
    """Let `time.time` jump an hour forth and back, if the environment asks for it."""
    if os.environ.pop(VARIABLE, None) is None:
        return
    real, began = time.time, time.monotonic()

    def jumping() -> float:
        turn = int((time.monotonic() - began) / JUMP_EVERY_S) % 3
        return real() + 3600.0 * (turn - 1)

    time.time = jumping
