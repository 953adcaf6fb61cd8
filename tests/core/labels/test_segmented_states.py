"""A state with segments, pickled and read: they belong to it, and are no part of the pickle."""

import pickle
from typing import Any

import pytest
from river import linear_model

from stream.core.fold.task import Task
from stream.core.fold.tasks import task_of
from stream.core.labels import segments as module
from stream.core.labels.pending import RECENT_N
from stream.core.parts import PENDING
from stream.core.snapshots.payload import Payload, joined, parted, segments_of, whole
from tests import folds, late_labels
from tests.late_labels import event, label, outputs, task, workload

LR = "stream.models:logistic_regression"
WRITING = f"{__name__}:writing"
RECORDS = workload(700, seed=5, truth=lambda x: x > 0)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of a few dozen events."""
    monkeypatch.setattr(module, "SEGMENT_BYTES", 2_000)


def folded(n: int) -> Task:
    """A fold that has come so far."""
    fold = task(LR)
    outputs(fold, RECORDS[:n])
    return fold


def restored(payload: bytes) -> Task:
    """The fold that goes on from there."""
    return task_of(late_labels.recipe(LR), partition=folds.PARTITION, payload=payload)


def test_a_fold_goes_on_from_any_pickle_and_its_segments() -> None:
    """Pickled whole, or parted, or in another process: outputs, digest and segments are equal."""
    fold = folded(500)
    payload = fold.pickled()
    assert len(segments_of(payload)) > 3
    ways = payload, parted(whole(payload)), pickle.loads(pickle.dumps(payload))  # noqa: S301  # its own
    others = [restored(each) for each in (*ways, joined(bytes(payload), fold.segments()))]
    published = outputs(fold, RECORDS[500:])
    for other in others:
        assert outputs(other, RECORDS[500:]) == published
        assert other.metadata() == fold.metadata()
        assert other.segments() == fold.segments()
        assert len(other.pickled()) == len(fold.pickled())


def test_without_one_of_its_segments_a_state_is_refused() -> None:
    """As any other pickle that is not all there; and so it is with another one's bytes."""
    fold = folded(500)
    payload, segments = fold.pickled(), fold.segments()
    one, other, *_ = segments
    for held in ({}, {n: s for n, s in segments.items() if n != one}, segments | {one: b"\1"}):
        with pytest.raises(pickle.UnpicklingError, match="a segment of it is not there"):
            restored(joined(bytes(payload), held))
        assert fold.problem_with(joined(bytes(payload), held))
    assert not fold.problem_with(payload)
    assert segments[one] != segments[other]


def test_segments_are_shared_by_copies_and_a_copy_for_undoing_holds_none() -> None:
    """No copy has the bytes again; and what it goes back to keeps none alive."""
    fold = folded(500)
    first, second = fold.keep_copy(), fold.keep_copy()
    assert isinstance(first, Payload)
    assert segments_of(first)
    for name, each in segments_of(first).items():
        assert segments_of(second)[name] is each
    assert type(fold.serving.way_back.payload) is bytes
    rehearsed = restored(first)
    for name, each in segments_of(first).items():
        assert rehearsed.segments()[name] is each


class Writing(linear_model.LogisticRegression):
    """It leaves something in the features that it is asked for, and learns from that."""

    def predict_proba_one(self, x: Any, **_kwargs: Any) -> dict[Any, float]:
        """Ask, and write."""
        x["asked"] = x.get("asked", 0.0) + x["x"]
        return dict(super().predict_proba_one(x))  # type: ignore[no-untyped-call]


def writing() -> Writing:
    """See there."""
    return Writing()


def test_what_is_kept_unpacked_of_the_last_events_changes_nothing() -> None:
    """A restored fold has none of it: the features are those that came, whoever writes in them."""
    records, offset = [], 0
    for n in range(60):
        x = {"x": (n * 37) % 11 - 5.0, "y": (n * 17) % 7 - 3.0}
        true = x["x"] + x["y"] > 0
        for one in (
            event(offset, n, f"e{n}", **x),
            label(offset + 1, n, f"e{n}", true),
            label(offset + 2, n, f"e{n}", not true),
        ):
            records.append(one)
            offset += 1
    fold, restored = task(WRITING), task(WRITING)
    for each in records:
        restored = task_of(restored.recipe, partition=folds.PARTITION, payload=restored.pickled())
        assert outputs(fold, [each]) == outputs(restored, [each])
    assert fold.serving.learned == 120


def test_of_the_last_events_a_bounded_number_is_kept_unpacked() -> None:
    """Whatever waits."""
    fold = task(LR)
    pending = fold.state.extras[PENDING]
    outputs(fold, (event(n, n, f"e{n}") for n in range(RECENT_N * 2 + 100)))
    assert RECENT_N // 2 <= len(pending._recent) + len(pending._less_recent) <= RECENT_N


def test_a_payload_without_segments_is_plain_bytes() -> None:
    """Of a fold without labels nothing is other than it was."""
    fold = folds.task(LR)
    assert type(fold.pickled()) is bytes
    assert whole(fold.pickled()) == fold.pickled() == parted(fold.pickled())
    header = fold.header(topic_id="", taken_at_ms=0)
    assert not header.segments
