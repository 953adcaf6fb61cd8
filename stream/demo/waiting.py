"""Waiting for what other processes do, with a deadline."""

import time
from collections.abc import Callable

from stream.demo.screen import Screen
from stream.errors import Internal, Retryable

TICK_S = 0.2
READY_WITHIN_S = 90.0  # Python, river and the clients, on a machine with other things to do
STALLED_AFTER_S = 60.0
NOTED_EVERY_S = 4  # a step that takes longer shows that it goes on


def wait_until(
    screen: Screen, holds: Callable[[], bool], within_s: float, problem: str, *, doing: str = ""
) -> None:
    """Ask until the answer is yes; a server that is busy, or has just come up, is asked again.

    Meanwhile it is said every few seconds what is being done, if that is given.

    Raises: Internal: not within that time.
    """
    began_s = time.monotonic()
    deadline_s = began_s + within_s
    answer: Retryable | None = None
    while True:
        if doing:
            took_s = round((time.monotonic() - began_s) // NOTED_EVERY_S * NOTED_EVERY_S)
            screen.note(f"{doing}, {took_s} s" if took_s else doing)
        try:
            if holds():
                return
        except Retryable as error:
            answer = error
        if time.monotonic() > deadline_s:
            text = f"{problem} within {within_s:.0f} s; start the demo again"
            raise Internal(text) from answer
        time.sleep(TICK_S)
