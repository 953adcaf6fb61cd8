"""A fold with monitors: what it tells of inputs, outputs and flow, and that a replay repeats it."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from stream.core.event import Record
from stream.core.fold.task import Task
from stream.core.monitoring.monitors_spec import BLOCK_N, MonitorsSpec
from stream.core.monitoring.policy_spec import PolicySpec
from stream.core.recipe import Recipe
from stream.core.result import AlertValue
from stream.core.spec import DetectorSpec
from tests.folds import PARTITION, recipe

REFERENCE_N = 2500
SPEC = MonitorsSpec(reference_n=REFERENCE_N)
LOGISTIC = "stream.models:logistic_regression"
Change = Callable[[dict[str, Any], random.Random], Any]


def watched(
    factory: str = LOGISTIC, spec: MonitorsSpec = SPEC, detectors: tuple[DetectorSpec, ...] = ()
) -> Recipe:
    """A recipe with the policy and monitors."""
    return replace(recipe(factory, detectors=detectors), extras=(PolicySpec(), spec))


def documents(n: int, change: Change | None = None, *, at: int = 6000, seed: int = 1) -> list[Any]:
    """Events whose label follows from `x`; from `at` on each is changed."""
    chance = random.Random(seed)
    made = []
    for i in range(n):
        x, y = chance.gauss(0, 1), chance.gauss(5, 1)
        carrier = chance.choice(["AA", "AA", "UA", "WN"])
        document = {"features": {"x": x, "y": y, "carrier": carrier}, "label": x > 0}
        if change is not None and i >= at:
            document = change(document, chance) or document
        made.append(document)
    return made


def records(made: list[Any]) -> list[Record]:
    """The same, a second apart."""
    return [
        Record(
            partition=PARTITION, offset=offset, timestamp_ms=1_700_000_000_000 + 1000 * offset,
            key=None, value=each if isinstance(each, bytes) else json.dumps(each).encode(),
        )
        for offset, each in enumerate(made)
    ]  # fmt: skip


def alerts(folded: Task, made: list[Any]) -> list[AlertValue]:
    """All that is told of these events."""
    return [alert for each in records(made) for alert in folded.step(each).alerts]


def firing(folded: Task, made: list[Any]) -> list[AlertValue]:
    """What begins."""
    return [each for each in alerts(folded, made) if each.state == "firing"]


def test_a_stream_that_stays_tells_nothing() -> None:
    """Inputs, outputs and flow, for 20,000 events."""
    assert alerts(Task(watched(), partition=PARTITION), documents(20_000)) == []


def _without_y(document: dict[str, Any], _: random.Random) -> None:
    del document["features"]["y"]


def _y_moved(document: dict[str, Any], _: random.Random) -> None:
    document["features"]["y"] += 1


def _new_carrier(document: dict[str, Any], chance: random.Random) -> None:
    if chance.random() < 0.1:
        document["features"]["carrier"] = "ZZ"


@pytest.mark.parametrize(
    ("change", "measure", "feature"),
    [
        (_without_y, "missing", "y"),
        (_y_moved, "psi", "y"),
        (_new_carrier, "new_category", "carrier"),
    ],
)
def test_a_broken_feature_is_one_alert(change: Change, measure: str, feature: str) -> None:
    """Within 1,000 events; it names the feature, and both sides with their n."""
    (alert,) = firing(Task(watched(), partition=PARTITION), documents(11_000, change))
    assert 6000 < alert.offset <= 7000
    assert (alert.kind, alert.detector, alert.signal) == ("input", measure, f"feature:{feature}")
    assert (alert.severity, alert.direction) == ("warning", "changed")
    assert alert.episode == f"power/3/input/{measure}/feature:{feature}/{alert.offset}"
    evidence = alert.evidence
    assert (evidence.feature, evidence.measure) == (feature, measure)
    assert isinstance(evidence.value, float)
    assert isinstance(evidence.threshold, float)
    assert evidence.value > evidence.threshold
    assert evidence.before_n == REFERENCE_N
    assert evidence.after_n == BLOCK_N
    assert f'feature "{feature}"' in alert.message
    assert alert.suggestion


def test_what_is_over_is_resolved() -> None:
    """A cooldown after the feature came back."""

    def away(document: dict[str, Any], _: random.Random) -> None:
        if away.n < 1500:  # type: ignore[attr-defined]
            del document["features"]["y"]
        away.n += 1  # type: ignore[attr-defined]

    away.n = 0  # type: ignore[attr-defined]
    found = alerts(Task(watched(), partition=PARTITION), documents(11_000, away))
    assert [each.state for each in found] == ["firing", "resolved"]
    assert 8250 <= found[1].offset <= 8750


def test_features_that_break_together_are_one_alert() -> None:
    """It names them all."""

    def both(document: dict[str, Any], _: random.Random) -> None:
        del document["features"]["y"]
        document["features"]["carrier"] = None

    (alert,) = firing(Task(watched(), partition=PARTITION), documents(11_000, both))
    assert isinstance(alert.evidence.detectors, list)
    assert {each.feature for each in alert.evidence.detectors} == {"y", "carrier"}
    assert "of 2 features: y, carrier" in alert.message


def test_a_drift_names_what_moved() -> None:
    """The features that moved with it, first those that moved most."""

    def turned(document: dict[str, Any], chance: random.Random) -> None:
        document["label"] = document["label"] != (chance.random() < 0.2)
        document["features"]["y"] += 2

    adwin = DetectorSpec(name="adwin", type="ADWIN")
    found = firing(
        Task(watched(detectors=(adwin,)), partition=PARTITION), documents(11_000, turned)
    )
    drift = next(each for each in found if each.kind == "drift")
    assert isinstance(drift.evidence.moved, list)
    assert [each.feature for each in drift.evidence.moved] == ["y"]
    assert drift.evidence.moved[0].times > 1


def test_refusals_are_told_even_where_nothing_is_valid() -> None:
    """A block is one of records, not of events."""
    made = [*documents(6000), *[b"oops"] * 1000]
    (alert,) = firing(Task(watched(), partition=PARTITION), made)
    assert (alert.kind, alert.detector, alert.signal) == ("flow", "quarantine_rate", "quarantine")
    assert 6000 < alert.offset < 6500
    assert "were refused" in alert.message


def test_labels_that_turn_are_told_of_the_output() -> None:
    """The share of a label that rises, and that the labels stop."""

    def often(document: dict[str, Any], chance: random.Random) -> None:
        document["label"] = document["label"] or chance.random() < 0.7

    found = firing(Task(watched(), partition=PARTITION), documents(11_000, often))
    assert ("output", "psi", "label") in {(e.kind, e.detector, e.signal) for e in found}

    def none(document: dict[str, Any], _: random.Random) -> None:
        del document["label"]

    found = firing(Task(watched(), partition=PARTITION), documents(11_000, none))
    assert ("output", "missing", "label") in {(e.kind, e.detector, e.signal) for e in found}


def test_a_model_worse_than_the_last_label_again_is_told() -> None:
    """Labels in long runs that the features say nothing of."""
    chance, made, label = random.Random(5), [], True
    for _ in range(12_000):
        label = label if chance.random() < 0.98 else not label
        made.append({"features": {"x": chance.gauss(0, 1)}, "label": label})
    spec = replace(SPEC, inputs=False)
    found = firing(Task(watched(spec=spec), partition=PARTITION), made)
    one = next(each for each in found if each.detector == "baseline")
    assert (one.kind, one.name, one.signal, one.direction) == (
        "score",
        "no_change",
        "error",
        "worse",
    )
    assert 4999 <= one.offset <= 6500


def test_chances_that_do_not_come_true_are_told() -> None:
    """Labels become rarer at once, and a model learns that slowly."""
    made = documents(16_000)
    chance = random.Random(6)
    for each in made[8000:]:
        each["label"] = each["label"] and chance.random() < 0.5
    slow = replace(watched(spec=replace(SPEC, inputs=False)))
    slow = replace(slow, model=replace(slow.model, params={"learning_rate": 1e-4}))
    found = firing(Task(slow, partition=PARTITION), made)
    one = next(each for each in found if each.detector == "calibration" and each.offset > 8000)
    assert (one.kind, one.name, one.signal) == ("output", "high", "prediction")
    # Both sides since it began: half became a quarter, and nobody told the model.
    assert one.evidence.before == pytest.approx(0.5, abs=0.05)
    assert one.evidence.after == pytest.approx(0.25, abs=0.08)


def test_a_slice_that_becomes_worse_is_told() -> None:
    """Of one carrier alone the labels turn."""

    def one_carrier(document: dict[str, Any], _: random.Random) -> None:
        if document["features"]["carrier"] == "UA":
            document["label"] = not document["label"]

    spec = replace(SPEC, slices=("carrier",))
    found = firing(Task(watched(spec=spec), partition=PARTITION), documents(10_000, one_carrier))
    one = next(each for each in found if each.detector == "slice")
    assert (one.evidence.feature, one.evidence.slice) == ("carrier", "UA")
    assert one.signal == "slice:carrier=UA"


@pytest.mark.parametrize(
    "factory",
    [LOGISTIC, "stream.models:linear_regression", "tests.folds:small_trees",
     "stream.models:hoeffding_tree"],
)  # fmt: skip
def test_a_replay_from_any_point_repeats_every_bit(factory: str) -> None:
    """Copies that were pickled now and then, before, in and after the reference."""
    made: list[Any] = documents(4000, _y_moved, at=2000)
    if "linear" in factory:
        for each in made:
            each["label"] = each["features"]["x"] * 3
    chance = random.Random(8)
    for at in chance.sample(range(len(made)), 100):
        made[at] = b"oops"
    adwin = DetectorSpec(name="adwin", type="ADWIN",
                         signal="prediction" if "trees" in factory else "error")  # fmt: skip
    plan = watched(factory, replace(SPEC, slices=("carrier",)), (adwin,))
    whole, restored = Task(plan, partition=PARTITION), Task(plan, partition=PARTITION)
    cuts = {*chance.sample(range(len(made)), 40), 999, 1000, 1249, 1250}
    for each in records(made):
        assert whole.step(each).alerts == restored.step(each).alerts
        if each.offset in cuts:
            restored = Task(plan, partition=PARTITION, payload=restored.pickled())
    assert whole.state.digest == restored.state.digest


def test_an_event_that_is_refused_by_the_model_is_no_row() -> None:
    """Monitors see it among the refusals alone."""
    folded = Task(watched("tests.fragile:FragileClassifier"), partition=PARTITION)
    made = documents(20)
    for at in (11, 12, 17):
        made[at]["features"]["fail"] = "raise in learn"
    results = [folded.step(each) for each in records(made)]
    assert [each.refusal is not None for each in results].count(True) == 3
    assert len(folded.state.extras["monitors"].rows) == 17


def test_a_clock_is_said_to_be_not_monitorable() -> None:
    """Once the reference is whole; a counter, a clock and an id are never as they were."""
    made = documents(2 * REFERENCE_N)
    for at, each in enumerate(made):
        each["features"] |= {"clock": 1000 * at, "order": f"o-{at}", "version": 3}
    folded = Task(watched(), partition=PARTITION)
    monitors = folded.state.extras["monitors"]
    found = alerts(folded, made[: REFERENCE_N - 1])
    assert monitors.watched() is None
    for each in records(made)[REFERENCE_N - 1 :]:
        found += folded.step(each).alerts
    assert found == []
    assert monitors.watched() == (6, ("clock", "order"))


def test_ten_features_take_less_than_a_megabyte() -> None:
    """At the end of the reference there is most."""
    chance = random.Random(9)
    made = [
        {"features": {f"f{i}": chance.gauss(0, 1) for i in range(10)}, "label": True}
        for _ in range(5249)
    ]
    folded = Task(watched(spec=MonitorsSpec()), partition=PARTITION)
    largest = 0
    for each in records(made):
        folded.step(each)
        if each.offset % 250 in (0, 249) and each.offset > 4700:
            largest = max(largest, len(folded.pickled()))
    assert largest < 1_000_000
