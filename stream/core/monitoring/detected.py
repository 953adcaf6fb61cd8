"""What a detector gives: an alert, or that it raised."""

from typing import Literal

import msgspec

from stream.core.spec import DetectorSpec


class DetectorRaised(Exception):
    """River's detector raised; river's parts in Rust panic with what is no Exception."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class Alert(msgspec.Struct, frozen=True):
    """What a detector found at one event.

    Attributes:
        before: mean of the signal before the change, as the detector saw it; None if unknown.
        after: mean of the signal since; finite, like `before`.
        values_n: the change probably began so many values ago, with this one; None if unknown.
        is_weak: it was found by a test that is wrong oftener where there were so few errors.
    """

    kind: Literal["drift", "warning"]
    spec: DetectorSpec
    before: float | None
    after: float | None
    values_n: int | None = None
    is_weak: bool = False
