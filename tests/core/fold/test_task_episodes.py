"""Monitors and the policy together: each change is told, once, and is over when it is over."""

import random
from dataclasses import replace
from typing import Any

import pytest

from stream.core.event import Kind
from stream.core.fold.task import Task
from stream.core.monitoring.detector_choice import default_severities, default_specs
from stream.core.monitoring.episodes import Severity
from stream.core.monitoring.policy_spec import PolicySpec
from stream.core.result import AlertValue
from tests.core.fold.test_task_monitors import SPEC, alerts, documents, firing, watched
from tests.folds import PARTITION

SECOND_MS = 1000
PLENTY = PolicySpec(burst_n=100)
"""Nothing is withheld: what is found is the question here."""


def told(found: list[AlertValue]) -> list[tuple[str | object, str, str]]:
    """State, measure and signal of each."""
    return [(each.state, each.detector, each.signal) for each in found]


def test_that_a_feature_moved_hides_nothing_that_breaks_later() -> None:
    """Neither of its own nor of another that had moved with it and had recovered."""
    made = documents(16_000)
    for at, each in enumerate(made):
        features = each["features"]
        if at >= 4000:
            features["y"] += 3
        if 4000 <= at < 6000:
            features["carrier"] = "ZZ"
        if at >= 9000:
            del features["carrier"]
        if at >= 12_000:
            del features["y"]
    plan = replace(watched(), extras=(PLENTY, SPEC))
    found = firing(Task(plan, partition=PARTITION), made)
    assert [(each.detector, each.signal) for each in found][1:] == [
        ("missing", "feature:carrier"), ("missing", "feature:y"),
    ]  # fmt: skip
    assert [4000 < found[0].offset < 5000, found[1].offset < 9500, found[2].offset < 12_500] == [
        True
    ] * 3


@pytest.mark.parametrize(
    "policy",
    [PolicySpec(), PolicySpec(cooldown=100), PolicySpec(cooldown=900 * SECOND_MS // 10, unit="ms")],
    ids=["default", "shorter than a block", "of time, shorter than a block"],
)
@pytest.mark.parametrize("share", [0.01, 1.0])
def test_what_goes_on_is_not_over(policy: PolicySpec, share: float) -> None:
    """One feature is missing now and then, or always, for good."""
    made, chance = documents(20_000), random.Random(7)
    for each in made[5000:]:
        if chance.random() < share:
            del each["features"]["y"]
    plan = replace(watched(), extras=(policy, SPEC))
    found = alerts(Task(plan, partition=PARTITION), made)
    assert told(found)[:1] == [("firing", "missing", "feature:y")]
    assert {each.state for each in found[1:]} <= {"reminder"}


def test_refusals_that_go_on_are_not_over() -> None:
    """One in a hundred records, for good."""
    made: list[Any] = documents(20_000)
    chance = random.Random(8)
    for at in range(5000, len(made)):
        if chance.random() < 0.01:
            made[at] = b"oops"
    found = alerts(Task(watched(), partition=PARTITION), made)
    assert told(found)[:1] == [("firing", "quarantine_rate", "quarantine")]
    assert {each.state for each in found[1:]} <= {"reminder"}


def test_a_feature_and_labels_that_come_late_are_watched() -> None:
    """Each by a reference of its own, that begins with it."""
    made = documents(16_000)
    chance = random.Random(9)
    for at, each in enumerate(made):
        if at < 4000:
            del each["label"]
        else:
            each["features"]["late"] = chance.gauss(0, 1) * (1000 if at >= 9000 else 1)
        if at >= 12_000:
            each["label"] = each["label"] or chance.random() < 0.8
    folded = Task(replace(watched(), extras=(PLENTY, SPEC)), partition=PARTITION)
    found = firing(folded, made)
    monitors = folded.state.extras["monitors"]
    assert monitors.watched() == (4, ())
    assert [each.offset < 9500 for each in found if each.signal == "feature:late"] == [True]
    assert [12_000 < each.offset < 13_000 for each in found if each.signal == "label"] == [True]


@pytest.mark.parametrize("labelled", [1.0, 0.6, 0.3])
def test_since_is_right_where_not_all_are_labelled(labelled: float) -> None:
    """A block is one of events."""
    made, chance = documents(12_000, seed=3), random.Random(4)
    for at, each in enumerate(made):
        if chance.random() >= labelled:
            del each["label"]
        elif at >= 8000:
            each["label"] = each["label"] or chance.random() < 0.9
    found = firing(Task(watched(), partition=PARTITION), made)
    one = next(each for each in found if (each.detector, each.signal) == ("psi", "label"))
    assert 7900 <= one.since.offset <= 8000  # type: ignore[union-attr]  # it is there when quiet


def test_both_sides_of_a_message_differ() -> None:
    """However large the numbers are."""
    made = documents(6000)
    for at, each in enumerate(made):
        each["features"]["day"] = 20240101 + (at >= 4000)
    (alert,) = firing(Task(watched(), partition=PARTITION), made)
    assert "above the 20240101 of the reference (20240102) in 100.0%" in alert.message


def test_a_rare_label_is_no_news_of_a_model_that_learns() -> None:
    """One in three hundred: predictions move for a long time, and DDM takes chance for a drift."""
    chance, made = random.Random(2), []
    for _ in range(25_000):
        is_rare = chance.random() < 1 / 300
        features = {"x": chance.gauss(3 * is_rare, 1), "z": chance.gauss(0, 1)}
        made.append({"features": features, "label": is_rare})
    plan = watched(detectors=default_specs(Kind.BINARY, is_quiet=True))
    assert told(firing(Task(plan, partition=PARTITION), made)) == []


def test_an_anomaly_detector_that_warms_up_tells_nothing() -> None:
    """Its score is 0 first, and then it is not."""
    policy = PolicySpec(severities=default_severities(Kind.ANOMALY))
    assert policy.severities == (("adwin", Severity.INFO),)
    plan = watched("tests.folds:small_trees", detectors=default_specs(Kind.ANOMALY, is_quiet=True))
    plan = replace(plan, extras=(policy, SPEC))
    made = documents(5000)
    for each in made:
        del each["label"], each["features"]["carrier"]
    assert told(firing(Task(plan, partition=PARTITION), made)) == []


def test_a_model_that_is_a_hair_worse_than_a_baseline_tells_nothing() -> None:
    """Labels that stand still for long, and an error that is nothing beside what they vary by."""
    made, label = [], 1.0
    chance = random.Random(5)
    for at in range(12_000):
        if at % 2000 == 0:
            label = chance.choice([1.0, 5.0, 9.0])
        made.append({"features": {"x": label}, "label": label})
    plan = watched("stream.models:linear_regression", replace(SPEC, inputs=False))
    assert [e for e in firing(Task(plan, partition=PARTITION), made) if e.kind == "score"] == []
