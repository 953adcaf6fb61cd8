"""Commands are steps, and no records: what is told of the records is the same with and without."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from msgspec import UnsetType

from stream.core.commands import What
from stream.core.fold.task import Task
from stream.core.monitoring.episodes import Severity
from stream.core.monitoring.monitors_spec import MonitorsSpec
from stream.core.monitoring.policy_spec import PolicySpec
from stream.core.monitoring.reactions import ReactionsSpec, Rule
from stream.core.result import AlertValue
from stream.core.spec import DetectorSpec
from tests.core.fold.test_commands import fold
from tests.core.fold.test_task_monitors import documents, records
from tests.folds import ADWIN, PARTITION, recipe

LOGISTIC = "stream.models:logistic_regression"
ECUSUM = DetectorSpec(name="ecusum", type="ECUSUM", params={"threshold": 1_000, "warm_up": 200})
SHORT = PolicySpec(min_severity=Severity.INFO, cooldown=40, reminder_ms=0, burst_n=2, refill_n=300)
WATCHED = (SHORT, MonitorsSpec(block_n=50, reference_n=300, budget_events=1_000))
BY_RECORDS = ReactionsSpec((Rule("drift", "reset", 700),))
N, TURN_N = 3_000, 400

Places = Mapping[int, What]


def turning(n: int = N) -> list[Any]:
    """The label means the opposite every so often; there are refusals, more of them later."""
    made = documents(n)
    for at, each in enumerate(made):
        if at // TURN_N % 2:
            each["label"] = not each["label"]
        if at % 50 == 49 or (at > n // 2 and at % 4 == 3):
            made[at] = b"oops"
    return made


def folded(
    made: list[Any],
    *extras: Any,
    places: Places | None = None,
    everywhere: What | None = None,
    detector: DetectorSpec = ADWIN,
) -> tuple[Task, list[AlertValue]]:
    """A fold of these events with commands before some, or one before each third."""
    plan = replace(recipe(LOGISTIC, detectors=(detector,)), extras=extras)
    task, told = Task(plan, partition=PARTITION), list[AlertValue]()
    for record in records(made):
        if places and record.offset in places:
            fold(task, places[record.offset])
        if everywhere is not None and record.offset % 3 == 0:
            fold(task, everywhere)
        told += task.step(record).alerts
    return task, told


@pytest.mark.parametrize("extras", [(), WATCHED, (*WATCHED, BY_RECORDS)], ids=len)
def test_commands_that_change_nothing_change_no_alert(extras: tuple[Any, ...]) -> None:
    """Cool-downs, limits, rates and where a change began count records, as the documents say."""
    made = turning()
    plain, expected = folded(made, *extras)
    commanded, found = folded(made, *extras, everywhere=What.RESUME)

    assert len(expected) > 5
    assert found == expected
    assert commanded.state.commanded.version == plain.state.commanded.version
    assert commanded.state.n == plain.state.n + N // 3


def test_commands_are_no_events_to_a_model_that_fails() -> None:
    """It fails on one of eight; with a command before each it would be one of sixteen."""
    plan = replace(recipe("tests.gaps:OddRegressor", detectors=()), extras=())
    made = [{"features": {"a": 1.0}, "label": 1.0} for _ in range(200)]
    for each in made[8::8]:
        each["features"] = {"a": 1.0, "odd": "nan"}
    told: list[list[int]] = []
    for is_commanded in (False, True):
        task = Task(plan, partition=PARTITION)
        told.append([])
        for record in records(made):
            if is_commanded:
                fold(task, What.RESUME)
            told[-1] += [alert.offset for alert in task.step(record).alerts]

    assert told[0]
    assert told[1] == told[0]


TURNS: dict[str, Callable[[], Places]] = {
    "frozen": lambda: {300: What.FREEZE},
    "reset": lambda: {700: What.RESET, 1_000: What.RESET},
    "learns again": lambda: {300: What.FREEZE, 700: What.UNFREEZE},
}


@pytest.mark.parametrize("name", TURNS)
def test_since_is_right_where_not_all_labels_are_learned(name: str) -> None:
    """A detector is told of events that a frozen model does not learn, too."""
    made, turn = documents(1_800), 1_500
    for each in made[turn:]:
        each["label"] = not each["label"]
    _, told = folded(made, PolicySpec(), places=TURNS[name](), detector=ECUSUM)

    (drift,) = (each for each in told if each.kind == "drift" and each.offset > turn)
    assert not isinstance(drift.since, UnsetType)
    assert turn - 64 < drift.since.offset <= turn + 8
