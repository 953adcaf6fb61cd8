"""What a label taught that came later than its event."""

from typing import Any

import msgspec


class Lesson(msgspec.Struct, gc=False):
    """What whoever goes back to a copy has to learn again.

    Attributes:
        value: the event's; key, headers: nothing, as its size is measured like a record's.
        known: the last label that had come when it was predicted.
        is_scored: whether the score and the detectors had it, too.
    """

    value: bytes
    label: Any
    predicted: Any
    known: Any
    is_scored: bool
    key: bytes | None = None
    headers: tuple[()] = ()
