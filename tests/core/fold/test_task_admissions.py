"""`events.deduplicate` and `events.weight` in a fold."""

import json
from dataclasses import replace
from typing import Any

import pytest
from river import linear_model, preprocessing

from stream.core.event import Reason, Record
from stream.core.fold.task import Task
from stream.core.fold.tasks import task_of
from stream.core.labels.labels_spec import LabelsSpec
from stream.core.seen import SeenSpec
from stream.core.spec import EventShape
from tests import folds

PLAIN = "tests.folds:plain_pipeline"
HOUR_MS = 3_600_000


def task(*extras: Any, payload: bytes | None = None, **shape: Any) -> Task:
    """A fold with these parts."""
    made = replace(folds.recipe(PLAIN), extras=extras, shape=EventShape(**shape))
    return task_of(made, partition=folds.PARTITION, payload=payload)


def record(offset: int, document: dict[str, Any], *, time_ms: int = 0) -> Record:
    """A record of the events topic."""
    return Record(folds.PARTITION, offset, 10**12 + time_ms, None, json.dumps(document).encode())


def event(offset: int, event_id: str | None, *, time_ms: int = 0, label: Any = True) -> Record:
    """One with this id."""
    return record(
        offset, {"id": event_id, "features": {"x": offset % 7}, "label": label}, time_ms=time_ms
    )


@pytest.mark.parametrize("extras", [(), (LabelsSpec(wait_ms=1_000),)], ids=["", "labels later"])
def test_an_accepted_id_is_refused_within_its_time(extras: tuple[Any, ...]) -> None:
    """By the fold's time; nothing is learned of it, and snapshots know it, too."""
    under = task(SeenSpec(window_ms=HOUR_MS), *extras)
    assert under.step(event(0, "a")).refusal is None
    under = task(SeenSpec(window_ms=HOUR_MS), *extras, payload=under.keep_copy())
    refused = under.step(event(1, "a", label=False)).refusal
    assert refused is not None
    assert refused.reason is Reason.DUPLICATE
    assert under.serving.learned == 1
    assert under.step(event(2, "b")).refusal is None
    for offset in range(3, 9):
        under.step(event(offset, f"c{offset}", time_ms=HOUR_MS + 5_000))
    assert under.step(event(9, "a", time_ms=HOUR_MS + 5_000)).refusal is None


def test_a_refused_event_was_not_accepted() -> None:
    """Sent again without its fault it is taken."""
    under = task(SeenSpec(window_ms=HOUR_MS))
    broken = record(0, {"id": "a", "features": {"x": "s" * 1_000}, "label": True})
    assert under.step(broken).refusal is not None
    assert under.step(event(1, "a")).refusal is None


def test_without_it_nothing_is_different() -> None:
    """No part, no byte, no word in the recipe."""
    assert type(task()) is Task
    assert task().fingerprint == folds.task(PLAIN).fingerprint
    assert task(SeenSpec(window_ms=HOUR_MS)).fingerprint != task().fingerprint


def test_a_weight_is_what_a_plain_loop_teaches_with() -> None:
    """Bit for bit, restored and undone in between; without one an event has 1."""
    under = task(weight="w")
    loop = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for n in range(200):
        x, label, weight = {"x": (n * 37) % 11 - 5.0, "y": n % 3}, n % 5 < 2, (n % 4) / 2
        document: dict[str, Any] = {"features": x, "label": label}
        if n % 7:
            document["w"] = weight
        result = under.step(record(n, document))
        answer = result.prediction
        assert answer is not None
        wanted = loop.predict_proba_one(x)
        assert answer.probabilities == {str(k).lower(): v for k, v in wanted.items()}
        loop.learn_one(x, label, w=weight if n % 7 else 1.0)
        if n % 50 == 20:
            under.keep_copy()
        if n % 50 == 40:
            under._go_back("teaching")  # learns again what it learned since
        if n % 60 == 59:
            under = task(weight="w", payload=under.keep_copy())


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        (-1, Reason.OUT_OF_RANGE), (1e6 + 1, Reason.OUT_OF_RANGE), (1e30, Reason.OUT_OF_RANGE),
        ("2", Reason.BAD_FEATURE), (True, Reason.BAD_FEATURE), ([1], Reason.BAD_FEATURE),
    ],
)  # fmt: skip
def test_a_weight_that_is_none_is_refused(weight: Any, reason: Reason, *, flat: bool) -> None:
    """With the reason that tells what is wrong."""
    document = {"x": 1.0} if flat else {"features": {"x": 1.0}}
    refused = task(weight="w", flat=flat).step(record(0, {**document, "w": weight})).refusal
    assert refused is not None
    assert refused.reason is reason


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("weight", [0, 0.5, 1_000_000, None])
def test_a_weight_is_no_feature(weight: Any, *, flat: bool) -> None:
    """In flat events neither."""
    document = {"x": 1.0} if flat else {"features": {"x": 1.0}}
    under = task(weight="w", flat=flat)
    assert under.step(record(0, {**document, "w": weight, "label": True})).refusal is None
    assert under.state.names == {"x"}
    assert under.serving.learned == 1


def test_a_late_label_is_learned_with_its_events_weight() -> None:
    """Not with that of the event that was read last."""
    under = task(LabelsSpec(wait_ms=10**6), weight="w")
    loop = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for n in range(6):
        under.step(record(n, {"id": f"e{n}", "features": {"x": n - 2.5}, "w": n + 0.5}))
    for n in (3, 0, 5, 1):
        under.step(record(10 + under.next_offset, {"id": f"e{n}", "label": n % 2 == 0}))
        loop.learn_one({"x": n - 2.5}, n % 2 == 0, w=n + 0.5)
    answer = under.step(record(99, {"features": {"x": 1.0}})).prediction
    assert answer is not None
    assert answer.probabilities == {
        str(k).lower(): v for k, v in loop.predict_proba_one({"x": 1.0}).items()
    }
