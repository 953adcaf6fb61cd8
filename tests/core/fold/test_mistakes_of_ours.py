"""A mistake of ours ends the process: no event is refused for it."""

from typing import Any

import pytest

from stream.core.event import Kind
from stream.core.fold.task import Task
from stream.core.monitoring import detectors as detectors_module
from tests.folds import ON_PREDICTION, PARTITION, event, fold, outputs_of, recipe, workload


def typo(*_: object, **__: object) -> None:
    """What a name of ours that is not there comes to."""
    raise NameError("a name of ours")


PLACES: dict[str, Any] = {
    "reading an answer": lambda task: (task.serving, "read"),
    "writing a prediction": lambda task: (task, "_answered"),
    "scoring": lambda task: (task, "_error_of"),
    "the signal": lambda task: (task, "_signal_of"),
    "going through the detectors": lambda task: (task, "_detect"),
    "feeding a detector": lambda _: (detectors_module, "_update"),
    "counting an alert": lambda task: (task._alerts, "alerts"),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_a_mistake_of_ours_is_no_events_fault(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is: with the model's answer, the label, or what the detectors found."""
    parts = recipe("tests.fragile:FragileClassifier", detectors=(ON_PREDICTION,))
    task = Task(parts, partition=PARTITION)
    fold(task, workload(Kind.BINARY, 20))
    # As if there were something to tell of the next event.
    task.state.closed_n, task.admission.left_out_n = 10**9, task.state.n
    owner, name = place(task)
    monkeypatch.setattr(owner, name, typo)

    with pytest.raises(NameError, match="a name of ours"):
        outputs_of(task, event(task.next_offset, {"a": 1.0}, label=True))
