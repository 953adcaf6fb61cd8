"""The policy on alerts as a part of the fold: what is published, replayed, restored, carried."""

import json
import random
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import pytest

from stream.core.event import Reason, Record
from stream.core.fold.carrying import kept
from stream.core.fold.task import Task
from stream.core.formats import canonical
from stream.core.formats.records import alert_in
from stream.core.monitoring.episodes import Severity
from stream.core.monitoring.monitors_spec import MonitorsSpec
from stream.core.monitoring.policy_spec import PolicySpec
from stream.core.recipe import Recipe
from stream.core.result import AlertValue
from stream.core.spec import DetectorSpec, EventShape, Limits, ModelSpec

ADWIN, DDM, ECUSUM = (
    DetectorSpec(name=each.lower(), type=each) for each in ("ADWIN", "DDM", "ECUSUM")
)
RAW = Recipe(
    pipeline="power",
    events_topic="power.events",
    model=ModelSpec(factory="stream.models:logistic_regression"),
    detectors=(ADWIN, DDM, ECUSUM),
    shape=EventShape(),
    limits=Limits(),
    hash_seed=1,
)
QUIET = replace(RAW, extras=(PolicySpec(),))
BY_TIME = replace(RAW, extras=(PolicySpec(cooldown=600_000, unit="ms"),))
EVERY_EVENT = DetectorSpec(
    name="always", type="PageHinkley", params={"min_instances": 1, "threshold": -1.0}
)
DRIFT_AT, EVENTS_N = 5_000, 8_000


@cache
def records() -> tuple[Record, ...]:
    """A concept that is turned over; a tenth of the labels lie, and some values are junk."""
    chance, made = random.Random(5), list[Record]()
    for offset in range(EVENTS_N):
        x = chance.uniform(-1, 1)
        label = (x > 0) != (offset >= DRIFT_AT) != (chance.random() < 0.1)
        event = {"features": {"x": x}, "label": label}
        value = b"junk" if chance.random() < 0.05 else json.dumps(event).encode()
        made.append(Record(3, offset, 1000 * offset, None, value))
    return tuple(made)


def alerts(task: Task, some: tuple[Record, ...]) -> list[AlertValue]:
    """What a fold tells of these."""
    return [alert for record in some for alert in task.step(record).alerts]


def test_one_drift_that_three_detectors_see_is_one_alert() -> None:
    """It says what changed, since when, what each saw and what to do; and then that it is over."""
    firing, resolved = alerts(Task(QUIET, partition=3), records())
    raw = alerts(Task(RAW, partition=3), records())

    drifts = [each for each in raw if each.offset >= DRIFT_AT and is_worse(each)]
    assert {each.name for each in drifts} == {"adwin", "ddm", "ecusum"}
    first = drifts[0]
    assert firing.message == first.message
    assert (firing.name, firing.signal, firing.offset) == (first.name, "error", first.offset)
    assert (firing.severity, firing.direction, firing.state) == ("warning", "worse", "firing")
    assert firing.episode == f"power/3/drift/{first.name}/error/{first.offset}"
    assert firing.id == f"{firing.episode}/{firing.offset}"
    assert isinstance(firing.since, msgspec.Struct)
    assert DRIFT_AT - 50 < firing.since.offset <= DRIFT_AT + 5
    assert "see what changed upstream" in str(firing.suggestion)

    assert (resolved.state, resolved.episode) == ("resolved", firing.episode)
    assert resolved.repeats == len(drifts)
    assert isinstance(resolved.evidence.detectors, list)
    seen = {
        each.name: (each.before, each.after, each.offset) for each in resolved.evidence.detectors
    }
    assert seen == {
        each.name: (each.evidence.before, each.evidence.after, each.offset) for each in drifts
    }
    assert resolved.offset == drifts[-1].offset + 1000


def is_worse(alert: AlertValue) -> bool:
    """Whether it says that the error rose."""
    before, after = alert.evidence.before, alert.evidence.after
    return alert.kind == "drift" and before is not None and after is not None and after > before


def test_a_published_alert_reads_back() -> None:
    """All of it; and it is a part of the digest."""
    task, bare = Task(QUIET, partition=3), Task(RAW, partition=3)
    for record in records():
        for alert in task.step(record).alerts:
            assert alert_in(replace_value(record, canonical.alert(alert))) == alert
        bare.step(record)

    assert task.state.digest != bare.state.digest


def replace_value(record: Record, value: bytes) -> Record:
    """A record with another value."""
    return msgspec.structs.replace(record, value=value)


def test_without_a_policy_nothing_is_kept_or_named() -> None:
    """No state, no word in the recipe, no field in an alert."""
    task = Task(RAW, partition=3)
    found = alerts(task, records())

    assert task.state.extras == {}
    assert not [name for name in RAW.parts() if "alerts" in name]
    fields = json.loads(canonical.alert(found[0])).keys()
    assert not fields & {"severity", "direction", "state", "episode", "since", "repeats"}
    assert json.loads(canonical.alert(found[0]))["evidence"].keys() == {"before", "after"}


@pytest.mark.parametrize("recipe", [QUIET, BY_TIME], ids=["events", "time"])
def test_a_fold_restored_at_any_place_tells_the_same(recipe: Recipe) -> None:
    """In the middle of an episode, before it and after it."""
    straight = Task(recipe, partition=3)
    expected = alerts(straight, records())
    assert len(expected) >= 2

    for cut in (17, DRIFT_AT, expected[0].offset, expected[0].offset + 1, expected[-1].offset):
        before = Task(recipe, partition=3)
        told = alerts(before, records()[:cut])
        after = Task(recipe, partition=3, payload=before.pickled())
        assert told + alerts(after, records()[cut:]) == expected
        assert after.state.digest == straight.state.digest


@pytest.mark.parametrize(
    "change",
    [
        {"detectors": (*QUIET.detectors, replace(ADWIN, name="other"))},
        {"extras": (PolicySpec(cooldown=500),)},
        {"extras": (PolicySpec(cooldown=500, min_severity=Severity.CRITICAL),)},
        {"extras": (PolicySpec(cooldown=600_000, unit="ms"),)},
        {"extras": (PolicySpec(), MonitorsSpec(inputs=False))},
    ],
    ids=["detectors", "cooldown", "severity", "unit", "monitors"],
)
def test_whatever_is_changed_what_was_told_is_resolved(change: dict[str, Any]) -> None:
    """A cooldown after it fired last, by the cooldown that is configured by then."""
    task = Task(QUIET, partition=3)
    (firing,) = alerts(task, records()[: DRIFT_AT + 200])
    other = replace(QUIET, **change)

    going_on, payload = kept(task, other)
    restored = Task(other, partition=3, payload=payload)
    for folded in (going_on, restored):
        found = alerts(folded, records()[DRIFT_AT + 200 :])
        (resolved,) = [each for each in found if each.state == "resolved"]
        assert resolved.episode == firing.episode
        policy = next(each for each in other.extras if isinstance(each, PolicySpec))
        events_n = 1000 if policy.cooldown == 1000 else 500
        if policy.unit == "ms":  # the events are a second apart, and as if it had fired just now
            events_n = 600 + DRIFT_AT + 200 - firing.offset
        assert abs(resolved.offset - firing.offset - events_n) <= 40


def test_what_goes_on_under_another_unit_ends_by_that() -> None:
    """From time back to events."""
    task = Task(BY_TIME, partition=3)
    (firing,) = alerts(task, records()[: DRIFT_AT + 200])
    going_on, _ = kept(task, QUIET)
    (resolved,) = alerts(going_on, records()[DRIFT_AT + 200 :])
    assert (resolved.state, resolved.episode) == ("resolved", firing.episode)
    assert abs(resolved.offset - (DRIFT_AT + 200 + 1000)) <= 40


def test_a_detector_s_own_severity_lets_it_through_or_not() -> None:
    """A drift of one that is `info` is not told by default."""
    for severity, told in ((Severity.INFO, []), (Severity.CRITICAL, ["critical", "critical"])):
        spec = PolicySpec(severities=(("adwin", severity),))
        recipe = replace(QUIET, detectors=(ADWIN,), extras=(spec,))
        assert [each.severity for each in alerts(Task(recipe, partition=3), records())] == told


@pytest.mark.parametrize("more", [(), (MonitorsSpec(reference_n=1000),)], ids=["alone", "watched"])
@pytest.mark.parametrize(
    "spec",
    [PolicySpec(), PolicySpec(cooldown=1_000_000, unit="ms")],
    ids=["events", "time"],
)
def test_a_detector_that_fires_at_each_event_for_an_hour_is_few_alerts(
    spec: PolicySpec, more: tuple[MonitorsSpec, ...]
) -> None:
    """At most three with `repeats`, and one when it is over; monitors beside it add none of it."""
    recipe = replace(RAW, detectors=(EVERY_EVENT,), extras=(spec, *more))
    labelled = [each for each in records() if each.value != b"junk"][:3_600]
    hour = [
        msgspec.structs.replace(each, offset=n, timestamp_ms=1000 * n)
        for n, each in enumerate(labelled)
    ]
    silence = [Record(3, n, 1000 * n, None, b'{"features": {"x": 1}}') for n in range(3_600, 6_000)]
    assert len(alerts(Task(replace(recipe, extras=()), partition=3), tuple(hour))) == len(hour)

    found = alerts(Task(recipe, partition=3), (*hour, *silence))
    # In the end labels stop, feature and answer are constant: those are alerts of their own.
    others = [each for each in found if each.kind != "drift"]
    assert {each.signal for each in others} <= {"label", "feature:x", "prediction"}
    assert len([each for each in others if each.state == "firing"]) <= 3 * len(more)
    found = [each for each in found if each.kind == "drift"]

    firing = [each for each in found if each.state != "resolved"]
    assert 1 <= len(firing) <= 3
    assert [each.repeats for each in firing] == [1, 1801, 3602][: len(firing)]
    (resolved,) = found[len(firing) :]
    assert (resolved.state, resolved.repeats) == ("resolved", len(hour))
    assert len({each.id for each in found}) == len(found)


def test_a_model_that_fails_is_critical_until_it_does_not() -> None:
    """However long that takes, it is one episode; an event it raises on fed nobody else."""
    recipe = replace(
        QUIET, model=ModelSpec(factory="tests.instruments.simulation.model:Brittle"), detectors=()
    )
    task = Task(recipe, partition=0)

    def event(offset: int, **features: object) -> Record:
        value = {"features": {"x": 0.5, **features}, "label": True}
        return Record(0, offset, 1000 * offset, None, json.dumps(value).encode())

    found: list[AlertValue] = []
    for offset in range(8_000):
        bombs = {"bomb": "learn"} if 100 <= offset < 5_000 and offset % 5 == 0 else {}
        result = task.step(event(offset, **bombs))
        assert (result.refusal is not None) == bool(bombs)
        assert result.refusal is None or result.refusal.reason is Reason.MODEL_ERROR
        found += result.alerts

    assert [each.state for each in found] == ["firing", "reminder", "reminder", "resolved"]
    assert {each.severity for each in found} == {"critical"}
    assert len({each.episode for each in found}) == 1
    assert found[-1].offset == 4_995 + 1000


def test_a_state_over_its_ceiling_stays_an_alert_until_it_is_opened() -> None:
    """It is told once, and is not over because nothing more is told of it."""
    recipe = replace(QUIET, detectors=(), limits=Limits(state_bytes_max=1024))
    task = Task(recipe, partition=3)
    found = alerts(task, records()[:10])
    task.admission.weigh(10_000)
    task.admission.close_if_heavy()
    for record in records()[10:20]:
        event = json.loads(record.value or b"{}") if record.value != b"junk" else {"features": {}}
        event["features"] |= {"x": 1, "new": 2}
        value = json.dumps(event).encode()
        found += task.step(replace_value(record, value)).alerts
    found += alerts(task, records()[20:5_000])

    (told,) = found
    assert (told.name, told.severity, told.state) == ("model:names", "critical", "firing")

    opened, _ = kept(task, replace(recipe, limits=Limits()))
    (resolved,) = alerts(opened, records()[5_000:])
    assert (resolved.state, resolved.episode) == ("resolved", told.episode)
