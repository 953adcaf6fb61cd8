"""What a forked child hands back of a state: its pickle, and why that would not come back."""

import struct
from typing import NamedTuple

from stream.core.fold.task import Task
from stream.ports import Clock

_HEAD = struct.Struct(">dI")


class Unpacked(NamedTuple):
    """What a child found.

    Attributes:
        checking_s: how long it read the pickle back, which is no part of what pickling costs.
        problem: why the pickle would not come back; "" if it does.
    """

    payload: bytes
    checking_s: float
    problem: str


def packed(task: Task, clock: Clock, *, is_checked: bool) -> bytes:
    """Pickle a state, and read it back if that is asked for; runs in a child."""
    payload, began_s = task.pickled(), clock.monotonic()
    problem = task.problem_with(payload).encode() if is_checked else b""
    return b"".join((_HEAD.pack(clock.monotonic() - began_s, len(problem)), problem, payload))


def unpacked(handed: bytes) -> Unpacked:
    """Take apart what `packed` made."""
    checking_s, length = _HEAD.unpack_from(handed)
    at = _HEAD.size + length
    return Unpacked(handed[at:], checking_s, handed[_HEAD.size : at].decode())
