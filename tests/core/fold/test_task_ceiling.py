"""A state that has reached its ceiling takes in no new name, in every replay from the same step."""

from typing import Any

import pytest

from stream.core.event import Channel, Record
from stream.core.fold.task import Task
from stream.core.snapshots.metadata import Metadata, parse_metadata
from stream.core.spec import Limits
from tests.folds import PARTITION, document_of, event, fold, outputs_of, prediction_of, recipe

LIMITS = Limits(state_bytes_max=1024)


def build(factory: str = "stream.models:hoeffding_tree", **others: Any) -> Task:
    """A fold without detectors and with a low ceiling."""
    return Task(recipe(factory, detectors=(), limits=LIMITS), partition=PARTITION, **others)


def records(n: int = 40) -> list[Record]:
    """Every event brings a new name, from the tenth on."""
    return [
        event(i, {"a": i % 5, "b": i % 3} | ({f"new {i}": 1.0} if i >= 10 else {}), i % 2 == 0)
        for i in range(n)
    ]


def closed_at(n: int, log: list[Record]) -> tuple[Task, list[Any]]:
    """A fold that was found to be too large after n steps, and all that it gave."""
    folded = build()
    outputs = fold(folded, log[:n])
    folded.admission.weigh(len(folded.keep_copy()))
    folded.admission.close_if_heavy()
    return folded, outputs + fold(folded, log[n:])


def test_what_is_new_is_left_out_and_the_rest_is_learned() -> None:
    """As if the new names were not there; it is said once, by an alert."""
    log = records()
    folded, outputs = closed_at(15, log)
    other = build()
    plain = [event(i, {"a": i % 5, "b": i % 3}, i % 2 == 0) for i in range(15, 40)]
    expected = fold(other, log[:15]) + fold(other, plain)
    assert [prediction_of(each) for each in outputs] == [prediction_of(each) for each in expected]
    assert folded.serving.learned == 40
    assert folded.state.names == {"a", "b", *(f"new {i}" for i in range(10, 15))}
    alerts = [document_of(o) for each in outputs for o in each if o.channel is Channel.ALERTS]
    assert [(a["kind"], a["detector"], a["offset"]) for a in alerts] == [
        ("input", "state_bytes", 15)
    ]
    assert alerts[0]["evidence"] == {"before": None, "after": 7.0}
    assert "limits.state_bytes_max" in alerts[0]["message"]


def test_an_event_of_which_nothing_is_known_is_refused() -> None:
    """There is nothing left to ask the model."""
    folded, _ = closed_at(15, records(20))
    refused = outputs_of(folded, event(20, {"x": 1, "y": 2}, label=True))
    assert dict(refused[0].headers)["stream.reason"] == b"too_many_features"


def test_a_small_state_is_left_alone() -> None:
    """And a large one too, until who commits it has been told."""
    folded = build()
    fold(folded, records(1))
    folded.admission.weigh(LIMITS.state_bytes_max)
    folded.admission.close_if_heavy()
    assert folded.metadata().closed_n is None
    folded.admission.weigh(LIMITS.state_bytes_max + 1)
    assert folded.metadata().closed_n is None
    folded.admission.close_if_heavy()
    assert folded.metadata().closed_n == 1


def test_a_model_that_is_too_large_untrained_learns_all_the_same() -> None:
    """Closed before it knows a name, it would refuse every event for ever."""
    folded = build()
    folded.admission.weigh(LIMITS.state_bytes_max + 1)
    folded.admission.close_if_heavy()
    first = outputs_of(folded, records(1)[0])
    folded.admission.close_if_heavy()
    assert folded.metadata().closed_n == 1
    assert first[0].channel is Channel.PREDICTIONS


@pytest.mark.parametrize("cut", [0, 5, 14, 15, 16, 30])
def test_a_replay_takes_it_from_what_was_committed(cut: int) -> None:
    """Whenever it makes copies itself: when one is made is nothing that it could repeat."""
    log = records()
    direct, outputs = closed_at(15, log)
    known = parse_metadata(direct.metadata().encode())
    assert known is not None
    assert known.closed_n == 15
    first = build()
    fold(first, log[:cut])
    if cut > 15:
        first, _ = closed_at(15, log[:cut])
    restored = build(payload=first.keep_copy())
    restored.state.closed_n = known.closed_n
    assert fold(restored, log[cut:]) == outputs[cut:]
    assert restored.metadata() == direct.metadata()


def test_going_back_to_a_copy_of_before_keeps_it() -> None:
    """An event on which the model raises does not open the state again."""
    folded = build("tests.fragile:FragileRegressor")
    for i in range(6):
        outputs_of(folded, event(i, {"a": 1.0, f"n{i}": 2.0}, 1))
    folded.admission.is_heavy = True
    folded.admission.close_if_heavy()
    outputs_of(folded, event(6, {"a": 1.0, "n7": 2.0}, 1))
    outputs_of(folded, event(7, {"a": 1.0, "fail": "raise in learn"}, 1))
    assert folded.state.closed_n == 6
    assert folded.state.closed_said_n == 6
    outputs_of(folded, event(8, {"a": 1.0, "n8": 2.0}, 1))
    assert folded.state.names == {"a", *(f"n{i}" for i in range(6))}


def test_the_line_beside_an_offset_tells_it() -> None:
    """Where nothing was closed it is as it always was."""
    parts: dict[str, Any] = {"n": 3, "digest": "0" * 16, "fingerprint": "deadbeef"}
    for paused in (False, True):
        for closed in (None, 0, 17):
            written = Metadata(**parts, genesis=0, learned=2, is_paused=paused, closed_n=closed)
            assert parse_metadata(written.encode()) == written
            assert (";c=" in written.encode()) == (closed is not None)


def test_a_closed_state_takes_in_no_new_class_either() -> None:
    """A model of classes grows by each of them; the two that it can do nothing without may come."""
    folded = build()
    for i, label in enumerate(("x", "x", "y", "z", "x")):
        outputs = outputs_of(folded, event(i, {"a": i}, label))
        folded.admission.is_heavy = True
        folded.admission.close_if_heavy()
        assert (outputs[0].channel is Channel.QUARANTINE) == (label == "z")
    assert folded.state.classes == {"x", "y"}
    refused = outputs_of(folded, event(5, {"a": 1}, "w"))
    assert dict(refused[0].headers)["stream.reason"] == b"bad_label"
    assert dict(refused[0].headers)["stream.detail"] == (
        b'over limits.state_bytes_max with 2 classes; new: "w"'
    )
