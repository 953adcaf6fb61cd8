"""The numeric breaker: what diverges is frozen at once; what is merely wild goes on."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from river import compose, linear_model, optim, preprocessing

from stream.core.commands import LedgerValue, What
from stream.core.event import Channel, Record
from stream.core.fold.carrying import kept
from stream.core.fold.task import Task
from stream.core.formats.records import Writer
from stream.core.monitoring.numeric import NumericSpec
from stream.core.monitoring.policy_spec import PolicySpec
from stream.core.result import StepResult
from stream.models.fast import quick
from tests.core.fold.test_commands import fold as command
from tests.data import Row, flights, rows, sine
from tests.folds import PARTITION, event, recipe
from tests.gaps import ODD

HERE = "tests.core.fold.test_numeric_breaker"
TUTORIAL = "tests.folds:plain_pipeline"
PRICE = 1e14


def diverging() -> linear_model.LinearRegression:
    """River's, with its defaults, on features as they come."""
    return linear_model.LinearRegression()


def scaled_regression() -> compose.Pipeline:
    """What every tutorial of regression begins with."""
    return preprocessing.StandardScaler() | linear_model.LinearRegression()


def jumping() -> linear_model.SoftmaxRegression:
    """A step that is far too long; what it answers lies between 0 and 1 all the same."""
    return linear_model.SoftmaxRegression(optimizer=optim.SGD(10.0))


def rentals(n: int) -> list[Record]:
    """Hours of bike_sharing_hour, without what would give the label away."""
    left_out = {"instant", "dteday", "casual", "registered", "cnt"}
    return [
        event(i, {name: row[name] for name in row if name not in left_out}, row["cnt"])
        for i, row in enumerate(islice(rows("bike_sharing_hour"), n))
    ]


def prices(n: int = 400, *, burst_at: int | None = None, seed: int = 1) -> list[Record]:
    """Events of two numbers; one of them may hold what no other does."""
    drawn, made = random.Random(seed), []
    for i in range(n):
        price, size = drawn.gauss(50, 10), drawn.gauss(0, 1)
        label = price + 5 * size + drawn.gauss(0, 3) > 50
        made.append(event(i, {"price": PRICE if i == burst_at else price, "size": size}, label))
    return made


def task(factory: str, *, is_quiet: bool = False, **others: Any) -> Task:
    """A fold with a breaker."""
    extras = (PolicySpec(), NumericSpec()) if is_quiet else (NumericSpec(),)
    plan = replace(recipe(factory, detectors=()), extras=extras)
    return Task(plan, partition=PARTITION, **others)


def said(result: StepResult) -> Any:
    """A prediction's JSON."""
    return json.loads(result.canonical)


def steps(to: Task, records: Sequence[Record]) -> list[StepResult]:
    """What these give."""
    return [to.step(record) for record in records]


def freezes(results: Sequence[StepResult]) -> list[LedgerValue]:
    """What the ledger says of them."""
    return [done for result in results for done in result.ledger]


def plain_loop(model: Any, records: Sequence[Record], *, without: int = -1) -> Iterator[Any]:
    """What river's own loop answers, without having learned one of the events."""
    for record in records:
        document = json.loads(record.value or b"")
        yield model.predict_one(document["features"])
        if record.offset != without:
            model.learn_one(document["features"], document["label"])


def test_a_regression_that_diverges_is_frozen_and_predicts_from_its_last_good_copy() -> None:
    """Rivers defaults on bikes: 21 events in, 1.9e8 for some 30; then as after the 8 first."""
    folding, records = task(f"{HERE}:diverging"), rentals(800)
    results = steps(folding, records)

    (frozen,) = freezes(results)
    assert (frozen.what, frozen.by, frozen.n, frozen.offset) == ("freeze", "breaker", 21, 22)
    assert frozen.why == (
        "the prediction 1.9e+08 is 1e+06 times beyond all labels, of which the largest was 110; "
        "it predicts as after 8 of 21 learned events"
    )
    assert frozen.evidence["learned"] == folding.metadata().learned == 8
    expected = list(islice(plain_loop(diverging(), records), 22))
    assert [said(each)["prediction"] for each in results[:22]] == expected
    good = diverging()
    list(plain_loop(good, records[:8]))
    features = [json.loads(each.value or b"")["features"] for each in records[22:]]
    after = [said(each)["prediction"] for each in results[22:]]
    assert after == [good.predict_one(each) for each in features]
    assert max(map(abs, after)) < 100
    assert folding.state.commanded.is_frozen
    assert folding.state.n == 800


def test_one_event_of_1e14_is_not_learned_by_a_scaled_logistic_regression() -> None:
    """Unfrozen it goes on, bit for bit, as a plain loop that never learned that event."""
    folding, records = task(TUTORIAL), prices(burst_at=300)
    results = steps(folding, records[:301])
    (frozen,) = freezes(results)
    assert frozen.why.startswith("the weighted sum of its features is ")
    assert frozen.evidence["learned_before"] == frozen.evidence["learned"] == 300

    command(folding, What.UNFREEZE)
    results += steps(folding, records[301:])

    assert len(freezes(results)) == 1
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    expected = list(plain_loop(model, records, without=300))
    assert [said(each)["prediction"] for each in results] == expected


def test_the_breaker_is_armed_again_once_learning_goes_on() -> None:
    """What diverges again is frozen again."""
    folding, records = task(f"{HERE}:diverging"), rentals(120)
    results = steps(folding, records[:60])
    command(folding, What.UNFREEZE)
    results += steps(folding, records[60:])

    assert len(freezes(results)) == 2


BURSTS: dict[str, tuple[str, Callable[[], list[Record]]]] = {
    "diverging": (f"{HERE}:diverging", lambda: rentals(60)),
    "one event": (TUTORIAL, lambda: prices(60, burst_at=40)),
}


@pytest.mark.parametrize("is_quiet", [False, True])
@pytest.mark.parametrize("name", BURSTS)
def test_a_replay_repeats_it_wherever_copies_were_taken(name: str, *, is_quiet: bool) -> None:
    """The digest, what is told, and what predicts afterwards."""
    factory, made = BURSTS[name]
    records = made()
    straight = task(factory, is_quiet=is_quiet)
    expected = steps(straight, records)
    assert len(freezes(expected)) == 1
    for every in (1, 7, 25):
        folding, found = task(factory, is_quiet=is_quiet), list[StepResult]()
        for record in records:
            found.append(folding.step(record))
            if record.offset % every == 0:
                payload = folding.keep_copy()
            if record.offset % (3 * every) == 0:
                folding = task(factory, is_quiet=is_quiet, payload=payload)
                found += steps(folding, records[folding.next_offset : record.offset + 1])
        assert folding.metadata() == straight.metadata()
        assert freezes(found)[-1] == freezes(expected)[0]


def test_it_alarms_as_critical_and_is_over_when_learning_goes_on() -> None:
    """The alert says what to do; broken again, it is told again at once."""
    folding, records = task(f"{HERE}:diverging", is_quiet=True), rentals(5_000)
    told = [alert for result in steps(folding, records[:4_000]) for alert in result.alerts]
    (firing,) = told
    assert (firing.kind, firing.name, firing.detector) == ("numeric", "model:numeric", "breaker")
    assert (firing.severity, firing.state) == ("critical", "firing")
    assert firing.message.startswith("learning is frozen: the prediction 1.9e+08 is")
    assert "stream control unfreeze" in str(firing.suggestion)

    command(folding, What.UNFREEZE)
    told = [alert for result in steps(folding, records[4_000:]) for alert in result.alerts]

    assert [each.state for each in told] == ["resolved", "firing"]
    assert told[0].offset == 4_000
    assert told[0].episode == firing.episode == told[1].episode


def test_the_ledger_is_published_behind_the_prediction() -> None:
    """In the same commit; without a policy each break is an alert."""
    folding, records = task(f"{HERE}:diverging"), rentals(22)
    results = steps(folding, records)
    outputs = Writer(folding.recipe).outputs(results)

    assert [each.channel for each in outputs[-3:]] == [
        Channel.PREDICTIONS, Channel.ALERTS, Channel.LEDGER,
    ]  # fmt: skip
    assert json.loads(outputs[-1].value or b"")["id"] == f"power/{PARTITION}/21/freeze"
    assert outputs[-1].key == f"power/{PARTITION}".encode()


def odd(offset: int, answer: str) -> Record:
    """An event that a model answers oddly."""
    return event(offset, {"a": 1.0, "odd": answer}, 1.0)


@pytest.mark.parametrize("answer", sorted(ODD))
def test_an_answer_that_is_no_finite_number_trips_what_has_answered(answer: str) -> None:
    """Of the odd answers those that are numbers; what never answered may need more events."""
    is_number = isinstance(ODD[answer], float)
    folding = task("tests.gaps:OddRegressor")
    assert freezes(steps(folding, [odd(i, answer) for i in range(5)])) == []

    steps(folding, [event(5, {"a": 1.0}, 1.0)])
    found = freezes(steps(folding, [odd(6, answer)]))

    assert len(found) == is_number
    assert folding.metadata().learned == 7 - is_number


def test_weights_are_looked_at_now_and_then() -> None:
    """Nothing that a softmax answers tells how large they are."""
    folding = task(f"{HERE}:jumping")
    some = [event(i, {"a": 9e14 if i % 2 else -9e14}, ["no", "yes"][i % 3 > 1]) for i in range(9)]

    (frozen,) = freezes(steps(folding, some))

    assert frozen.evidence["measure"] == "weight"
    assert frozen.why.startswith("a weight is ")


def test_a_reset_ends_what_the_breaker_froze() -> None:
    """The model that broke is gone; what an operator froze stays frozen."""
    folding, records = task(f"{HERE}:diverging"), rentals(30)
    steps(folding, records[:25])
    command(folding, What.RESET)
    assert not folding.serving.is_frozen
    steps(folding, records[25:])
    assert folding.metadata().learned == 5

    command(folding, What.FREEZE)
    command(folding, What.RESET)
    assert folding.serving.is_frozen


def test_what_an_operator_freezes_after_a_break_stays_frozen_in_a_reset() -> None:
    """It was frozen already, and is by somebody who said so."""
    folding, records = task(f"{HERE}:diverging"), rentals(30)
    steps(folding, records[:25])
    command(folding, What.FREEZE)
    folding = task(f"{HERE}:diverging", payload=folding.pickled())
    command(folding, What.RESET)
    steps(folding, records[25:])
    assert folding.metadata().learned == 0

    command(folding, What.UNFREEZE)
    assert not folding.serving.is_frozen


def test_what_it_alarmed_of_is_over_when_it_is_taken_away() -> None:
    """The model goes on, frozen as it was, with a recipe that has no breaker."""
    folding, records = task(f"{HERE}:diverging", is_quiet=True), rentals(3_000)
    steps(folding, records[:100])
    without = replace(folding.recipe, extras=(PolicySpec(),))
    going_on, _ = kept(folding, without)

    told = [alert for result in steps(going_on, records[100:]) for alert in result.alerts]

    assert [(each.name, each.state) for each in told] == [("model:numeric", "resolved")]
    assert going_on.serving.is_frozen


def test_without_it_nothing_is_kept_and_nothing_named() -> None:
    """As for any part; and a sound model gives the same with it."""
    without = Task(recipe(TUTORIAL, detectors=()), partition=PARTITION)
    guarded = task(TUTORIAL)
    records = prices()

    assert not [name for name in without.recipe.parts() if "numeric" in name]
    assert [each.canonical for each in steps(without, records)] == [
        each.canonical for each in steps(guarded, records)
    ]
    assert without.state.digest == guarded.state.digest
    assert "numeric" not in without.state.extras


def powers(n: int, *, seed: int) -> Iterator[Row]:
    """Prices over eight powers of ten, in turns and at once; the label is one of them."""
    drawn = random.Random(seed)
    for i in range(n):
        low, high = (-2, 0) if i < n // 2 else (-2, 6)
        row: Row = {name: 10 ** drawn.uniform(low, high) for name in ("open", "ask", "bid")}
        yield row | {"value": 10 ** drawn.uniform(low, high), "class": drawn.random() > 0.5}


def numbers(row: Row, *without: str) -> dict[str, Any]:
    """A row's numbers."""
    return {n: v for n, v in row.items() if n not in without and not isinstance(v, str)}


WILD: dict[str, tuple[Callable[[], Iterator[Row]], str, tuple[str, ...]]] = {
    "powers": (lambda: powers(4_000, seed=3), "class", ("value",)),
    "values": (lambda: powers(4_000, seed=4), "value", ("class",)),
    "sine": (lambda: sine(4_000), "class", ()),
    "flights": (flights, "duration_min", ("time", "late")),
    "elec2": (lambda: rows("elec2"), "class", ()),
    "smtp": (lambda: islice(rows("smtp"), 14_000, 20_000), "label", ()),
    "bikes": (
        lambda: rows("bike_sharing_hour"), "cnt", ("instant", "dteday", "casual", "registered"),
    ),
    "airline": (lambda: rows("airline_hflights"), "ArrDelay", ("Delay",)),
}  # fmt: skip


@pytest.mark.parametrize("name", WILD)
def test_what_is_merely_wild_does_not_trip_it(name: str) -> None:
    """Prices over eight powers of ten, and the beginnings of all real streams (all: the page)."""
    made, label, left_out = WILD[name]
    records, is_regression = list(islice(made(), 4_000)), label not in ("class", "label")
    factory = "stream.models:linear_regression" if is_regression else TUTORIAL
    positive = None if is_regression else records[0][label]
    folding = task(factory)
    assert folding.recipe.quicken is quick

    results = [
        folding.step(
            event(
                i,
                numbers(row, label, *left_out),
                row[label] if is_regression else row[label] == positive,
            )
        )
        for i, row in enumerate(records)
    ]

    assert freezes(results) == []
    assert folding.metadata().learned == len(records)
