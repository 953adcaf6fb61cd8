"""Reactions: what a fold does by itself when an alert is announced, and when again."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from stream.core.commands import LedgerValue
from stream.core.event import Record
from stream.core.fold.task import Task
from stream.core.monitoring.numeric import NumericSpec
from stream.core.monitoring.policy_spec import PolicySpec
from stream.core.monitoring.reactions import ReactionsSpec, Rule
from stream.core.result import StepResult
from stream.core.spec import DetectorSpec
from tests.core.fold.test_numeric_breaker import HERE as BREAKER
from tests.core.fold.test_numeric_breaker import TUTORIAL, prices, rentals
from tests.folds import PARTITION, recipe, record

EVERY_EVENT = DetectorSpec(
    name="always", type="PageHinkley", params={"min_instances": 1, "threshold": -1.0}
)


def task(*rules: Rule, factory: str = TUTORIAL, extras: Any = (), **others: Any) -> Task:
    """A fold with these reactions, and a detector that fires at each event."""
    plan = recipe(factory, detectors=(EVERY_EVENT,))
    plan = replace(plan, extras=(*extras, ReactionsSpec(rules)) if rules else tuple(extras))
    return Task(plan, partition=PARTITION, **others)


def steps(to: Task, records: Sequence[Record]) -> list[StepResult]:
    """What these give."""
    return [to.step(each) for each in records]


def ledger(results: Sequence[StepResult]) -> list[LedgerValue]:
    """What it says of them."""
    return [done for result in results for done in result.ledger]


@pytest.mark.parametrize("when", ["drift", "always"])
def test_an_alert_of_its_kind_or_name_freezes(when: str) -> None:
    """At the end of that step: its event is learned, the next is not; it is said once."""
    folding = task(Rule(when, "freeze", 10))
    results = steps(folding, prices(60))

    (done,) = ledger(results)
    first = next(each for each in results if each.alerts)
    assert (done.what, done.by, done.input) == ("freeze", f"reaction:{when}", "events")
    assert done.n == first.record.offset
    assert done.offset == folding.metadata().learned == done.n + 1
    assert done.evidence == {"alert": first.alerts[0].id}
    assert done.why == first.alerts[0].message
    assert folding.serving.is_frozen


def test_it_acts_again_only_after_its_cooldown() -> None:
    """Counted from the last time it acted; each reset begins another version."""
    folding = task(Rule("drift", "reset", 10))
    done = ledger(steps(folding, prices(60)))

    assert len(done) > 3
    assert all(b.n - a.n >= 10 for a, b in pairwise(done))
    assert [each.before.version for each in done] == list(range(1, len(done) + 1))
    assert [each.after.version for each in done] == list(range(2, len(done) + 2))
    assert folding.metadata().learned == 59 - done[-1].n


def test_a_cooldown_of_time_goes_by_fold_time() -> None:
    """Refused records count: they have a timestamp, too."""
    folding = task(Rule("drift", "reset", 20, "ms"))
    events = [
        record(each.offset, each.value if each.offset % 2 else b"junk") for each in prices(80)
    ]
    done = ledger(steps(folding, events))

    assert len(done) > 2
    assert all(b.n - a.n >= 20 for a, b in pairwise(done))


def test_of_an_episode_only_what_is_announced_counts() -> None:
    """What fires again in it is no new alert."""
    folding = task(Rule("drift", "reset", 10), extras=(PolicySpec(),))
    results = steps(folding, prices(200))

    announced = [alert for each in results for alert in each.alerts if alert.state == "firing"]
    assert len(ledger(results)) == len(announced) == 1
    assert ledger(results)[0].evidence == {"alert": announced[0].id}


RULES = (Rule("drift", "reset", 15), Rule("always", "freeze", 40, "ms"))


@pytest.mark.parametrize("every", [1, 7, 20])
def test_a_replay_acts_at_the_same_places(every: int) -> None:
    """Wherever the state was pickled in between."""
    records, straight, folding = prices(120), task(*RULES), task(*RULES)
    expected, found = ledger(steps(straight, records)), list[LedgerValue]()
    for each in records:
        found += folding.step(each).ledger
        if each.offset % every == 0:
            folding = task(*RULES, payload=folding.pickled())

    assert {each.what for each in expected} == {"reset", "freeze"}
    assert found == expected
    assert folding.metadata() == straight.metadata()


def test_what_diverges_can_begin_anew_at_once() -> None:
    """The breaker freezes, the reaction resets, and the untrained model learns."""
    folding = task(
        Rule("model:numeric", "reset", 1), factory=f"{BREAKER}:diverging", extras=(NumericSpec(),)
    )
    results = steps(folding, rentals(30))

    freeze, reset = ledger(results)
    assert [freeze.by, reset.by] == ["breaker", "reaction:model:numeric"]
    assert freeze.n == reset.n == 21
    assert freeze.id != reset.id
    assert not folding.serving.is_frozen
    assert folding.metadata().learned == 8


def test_without_reactions_nothing_is_kept_and_nothing_done() -> None:
    """As for any part."""
    folding = task()
    assert ledger(steps(folding, prices(60))) == []
    assert "reactions" not in folding.state.extras
    assert not [name for name in folding.recipe.parts() if "reactions" in name]
