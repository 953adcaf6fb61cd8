"""When a state is over its ceiling, and how that is said: once, and again whenever it has doubled.

A fold takes in no new feature name and no new class then (`Admission.close_if_heavy`). A model may
grow without any: by words as values, by trees that go deeper. Nobody but its owner can bound that.
"""

import logging

from stream.core.fold.task import Task
from stream.telemetry import LogEvent, Telemetry

NAMES_CLOSED = (
    "from the next commit on no new feature name or class is taken in; does an upstream invent "
    "them? Else raise limits.state_bytes_max (another recipe: see model.on_change)"
)
STILL_GROWS = (
    "no new name or class is taken in, so it grows by what the model keeps of values, or by its "
    "splits: bound that in the model (model.params: fewer categories, names or models, less depth; "
    "in a model of your own, whatever it adds to), before the memory ends: docs/OPERATING.md"
)


class Ceiling:
    """Weighs each copy that is made of a state.

    Args:
        telemetry: told of a state that is over its ceiling.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._said_up_to: dict[int, int] = {}

    def weigh(self, task: Task, payload_bytes: int) -> None:
        """Take note of a copy's size; say so if the state is over its ceiling."""
        task.admission.weigh(payload_bytes)
        most = task.recipe.limits.state_bytes_max
        if payload_bytes <= self._said_up_to.get(task.partition, most):
            return
        self._said_up_to[task.partition] = 2 * payload_bytes
        is_closed = task.state.closed_n is not None
        self._telemetry.say(
            LogEvent.STATE_TOO_LARGE,
            level=logging.WARNING,
            partition=task.partition,
            next_offset=task.next_offset,
            size_bytes=payload_bytes,
            state_bytes_max=most,
            names=len(task.state.names),
            classes=len(task.state.classes),
            then=STILL_GROWS if is_closed else NAMES_CLOSED,
        )

    def release(self, partition: int) -> None:
        """Forget what was said of a partition: it has another state now, or none."""
        self._said_up_to.pop(partition, None)
