"""A model that cannot answer yet is no reason to refuse an event; one that fails often is told."""

import json
import math
from typing import Any

import pytest

from stream.core.event import Channel, Kind, Output, Reason
from stream.core.fold.task import Task
from stream.core.learning.estimator import kind_of
from stream.core.result import StepResult
from tests.folds import (
    PARTITION,
    document_of,
    errors_of,
    event,
    fold,
    outputs_of,
    prediction_of,
    recipe,
    untrained,
)
from tests.gaps import ODD

GAPS = {
    "a range of nothing": "tests.gaps:ranged",
    "the same for numbers": "tests.gaps:ranged_regressor",
    "not fitted yet": "tests.gaps:Fitted",
    "a warm-up of ten": "tests.gaps:warming_up",
    "a deviation of 0 after one": "tests.gaps:Standardised",
    "least and greatest of nothing": "tests.gaps:LeastToGreatest",
}
EVENTS_N = 60


def build(factory: str, **others: Any) -> Task:
    """A fold without detectors."""
    return Task(recipe(factory, detectors=()), partition=PARTITION, **others)


def events(kind: Kind, n: int = EVENTS_N) -> list[tuple[dict[str, Any], Any]]:
    """Features and labels."""
    rows: list[tuple[dict[str, Any], Any]] = []
    for i in range(n):
        features = {"a": math.sin(i) * 3, "b": float(i % 7)}
        label = features["a"] > 1 if kind in (Kind.BINARY, Kind.MULTICLASS) else features["a"] * 2
        rows.append((features, label))
    return rows


def plain(model: Any, kind: Kind, rows: list[tuple[dict[str, Any], Any]]) -> list[Any]:
    """What river's own loop says of each event; None where that is no number, or is raised."""
    said = []
    for features, label in rows:
        try:
            answer = (model.score_one if kind is Kind.ANOMALY else model.predict_one)(features)
            numbers = [answer] if kind in (Kind.REGRESSION, Kind.ANOMALY) else []
            if kind in (Kind.BINARY, Kind.MULTICLASS):
                numbers += model.predict_proba_one(features).values()
            said.append(answer if all(map(math.isfinite, numbers)) else None)
        except ArithmeticError:
            said.append(None)
        except ValueError:
            said.append(None)
        if kind is Kind.ANOMALY:
            model.learn_one(features)
        else:
            model.learn_one(features, label)
    return said


@pytest.mark.parametrize("factory", GAPS.values(), ids=GAPS.keys())
def test_a_model_that_needs_events_before_it_answers_gets_them(factory: str) -> None:
    """Every event is learned, and from its first answer on it says what a plain loop's says."""
    kind = kind_of(untrained(factory))
    rows = events(kind)
    folded = build(factory)
    found = [
        prediction_of(outputs_of(folded, event(i, features, label)))
        for i, (features, label) in enumerate(rows)
    ]

    field = "score" if kind is Kind.ANOMALY else "prediction"
    expected = plain(untrained(factory), kind, rows)
    assert [each[field] for each in found] == expected
    assert folded.serving.learned == EVENTS_N
    assert [each["learned"] for each in found] == list(range(EVENTS_N))
    for each, answer in zip(found, expected, strict=True):
        assert ("fault" in each) == (answer is None)
        assert answer is not None or "probabilities" not in each
    assert 0 < expected.count(None) <= 10


@pytest.mark.parametrize("factory", GAPS.values(), ids=GAPS.keys())
def test_a_replay_from_any_state_finds_the_same_gaps(factory: str) -> None:
    """Whether a model has answered yet is a part of its state."""
    rows = events(kind_of(untrained(factory)), 25)
    records = [event(i, *row) for i, row in enumerate(rows)]
    direct, frozen = build(factory), build(factory)
    expected = fold(direct, records)
    for index, each in enumerate(records):
        restored = build(factory, payload=frozen.keep_copy())
        assert fold(restored, records[index:]) == expected[index:]
        assert restored.metadata() == direct.metadata()
        outputs_of(frozen, each)


def test_a_fault_is_told_in_one_line() -> None:
    """Without what differs from process to process, so that repeats are byte-identical."""
    said = prediction_of(outputs_of(build("tests.gaps:Fitted"), event(0, {"a": 1.0}, True)))

    assert said["fault"] == "NotFittedError: Fitted (   least_n=1 ) at 0x… is not?fitted yet" or (
        said["fault"].startswith("NotFittedError: ") and "\n" not in said["fault"]
    )
    assert "0x…" in said["fault"]
    assert list(said)[-1] == "fault"
    assert said["prediction"] is None


def test_an_unlabelled_event_that_nobody_can_answer_is_one_prediction() -> None:
    """Null, with the fault; there is nothing to learn."""
    folded = build("tests.gaps:Fitted")
    for offset in range(3):
        (published,) = outputs_of(folded, event(offset, {"a": 1.0}))
        assert published.channel is Channel.PREDICTIONS
        assert document_of(published)["fault"].startswith("NotFittedError")
    assert folded.serving.learned == 0


def test_once_a_model_has_answered_what_it_raises_is_about_the_event() -> None:
    """A raise while predicting refuses the event, as one while learning does."""
    folded = build("tests.fragile:FragileRegressor")
    for offset in range(3):
        outputs_of(folded, event(offset, {"a": 1.0}, 2))
    refused = outputs_of(folded, event(3, {"a": 1.0, "fail": "raise in predict"}, 2))
    assert dict(refused[0].headers)["stream.reason"] == Reason.MODEL_ERROR.encode()


def test_an_event_that_cannot_be_learned_is_refused_from_the_first_on() -> None:
    """Only `learn_one` decides, while a model has not answered yet."""
    folded = build("tests.fragile:FragileRegressor")
    refused = outputs_of(folded, event(0, {"a": 1.0, "fail": "raise in learn"}, 2))
    assert dict(refused[0].headers)["stream.reason"] == Reason.MODEL_ERROR.encode()
    assert folded.serving.learned == 0


ODD_MODELS = {
    "tests.gaps:OddRegressor": "prediction",
    "tests.gaps:OddDetector": "score",
    "tests.gaps:OddClassifier": "prediction",
}
"""And the field that is null."""


@pytest.mark.parametrize(
    ("factory", "odd"),
    [
        (factory, odd)
        for factory in ODD_MODELS
        for odd in ODD
        if (factory, odd) != ("tests.gaps:OddClassifier", "huge")  # which is a finite share
    ],
)
def test_an_answer_that_is_no_number_is_null_and_the_event_is_learned(
    factory: str, odd: str
) -> None:
    """At any time, not only before a model is ready; and no address gets into the fault."""
    field = ODD_MODELS[factory]
    folded = build(factory)
    kind = kind_of(untrained(factory))
    label = True if kind is Kind.BINARY else 1.5
    for offset in range(3):
        assert "fault" not in prediction_of(outputs_of(folded, event(offset, {"a": 1.0}, label)))
    said = prediction_of(outputs_of(folded, event(3, {"a": 1.0, "odd": odd}, label)))
    assert (said[field], said["learned"], folded.serving.learned) == (None, 3, 4)
    assert said["fault"]
    assert "0x" not in said["fault"]
    assert {"probabilities", "score", "prediction"} & set(said) == {field}
    assert "fault" not in prediction_of(outputs_of(folded, event(4, {"a": 1.0}, label)))


@pytest.mark.parametrize("odd", ["key", "no mapping"])
def test_probabilities_that_json_cannot_hold_are_left_out(odd: str) -> None:
    """A class that is a tuple, or no classes at all."""
    folded = build("tests.gaps:OddClassifier")
    said = prediction_of(outputs_of(folded, event(0, {"a": 1.0, "odd": odd}, label=True)))
    assert said["prediction"] is None
    assert "probabilities" not in said
    assert said["fault"]


def test_a_fault_counts_as_an_error() -> None:
    """As null does: wrong for a classifier, 0 for a regressor; a score has no error."""
    folded = build("tests.gaps:ranged")
    errors = errors_of(folded)
    outputs_of(folded, event(0, {"a": 1.0}, label=True))
    assert errors == [1.0]
    folded = build("tests.gaps:OddRegressor")
    errors = errors_of(folded)
    outputs_of(folded, event(0, {"a": 1.0, "odd": "nan"}, label=-2.5))
    assert errors == [2.5]


def failing_at(places: set[int], n: int, how: str = "nan") -> list[dict[str, Any]]:
    """The alerts of a fold in which these events fail."""
    folded = build("tests.gaps:FailsOnDemand")
    found: list[Output] = []
    for i in range(n):
        features = {"a": 1.0, "fail": how if i in places else "no"}
        found += outputs_of(folded, event(i, features, 1.0))[1:]
    assert {each.channel for each in found} <= {Channel.ALERTS}
    return list(map(document_of, found))


@pytest.mark.parametrize("how", ["nan", "raise"])
def test_a_tenth_of_a_hundred_events_may_fail(how: str) -> None:
    """The eleventh is said, once, and tells where to look."""
    assert failing_at(set(range(0, 400, 10)), 400, how) == []
    (alert,) = failing_at(set(range(0, 400, 9)), 400, how)
    assert (alert["kind"], alert["detector"], alert["signal"]) == ("numeric", "failures", "failure")
    assert alert["offset"] == 90
    assert alert["id"] == f"power/{PARTITION}/90/model:failures"
    assert alert["evidence"] == {"before": None, "after": 11 / 91}
    assert "failed on 11 of the last 91 events" in alert["message"]


def test_an_episode_that_is_over_may_begin_again() -> None:
    """Over once no more than a twentieth fails; a rate that wavers about a tenth is one episode."""
    wavering = [i for i in range(1000) if i % 19 in (0, 9)] + list(range(300, 330, 9))
    assert len(failing_at(set(wavering), 1000)) == 1
    twice = set(range(100, 150)) | set(range(400, 450))
    assert [each["offset"] for each in failing_at(twice, 500)] == [110, 410]


def test_refused_records_do_not_hide_a_failing_model() -> None:
    """Junk between the events is no event: the share is of valid ones."""
    folded = build("tests.gaps:FailsOnDemand")
    alerts = 0
    for i in range(600):
        features: dict[str, Any] = {"a": 1.0, "fail": ("nan", "raise")[i % 2]}
        junk = {"a": [1]}
        record = event(i, junk if i % 30 else features, 1.0)
        alerts += sum(each.channel is Channel.ALERTS for each in outputs_of(folded, record))
    assert alerts == 1


def test_our_own_mistake_is_no_model_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in scoring or writing ends the process; it quarantines no event."""
    good = event(0, {"a": 1.0}, 1.0)

    def broken(*_args: Any, **_kwargs: Any) -> Any:
        raise KeyError("a bug of ours")

    folded = build("tests.gaps:FailsOnDemand")
    monkeypatch.setattr(folded, "_error_of", broken)
    with pytest.raises(KeyError):
        outputs_of(folded, good)
    folded = build("tests.gaps:FailsOnDemand")
    monkeypatch.setattr(folded, "_answered", broken)
    with pytest.raises(KeyError):
        outputs_of(folded, good)


def test_what_is_not_written_by_a_bug_of_ours_is_no_fault() -> None:
    """An id that no JSON holds cannot come from an event: the writer says so, loudly."""
    folded = build("tests.gaps:FailsOnDemand")
    answered = folded._answered

    def with_odd_id(record: Any, found: Any, *others: Any) -> StepResult:
        found.id = object()
        return answered(record, found, *others)

    folded._answered = with_odd_id
    with pytest.raises(TypeError):
        outputs_of(folded, event(0, {"a": 1.0}, 1.0))


def test_a_fault_reads_as_json() -> None:
    """NaN must not get into the record in any field."""
    value = outputs_of(build("tests.gaps:ranged"), event(0, {"a": 1.0}, label=True))[0].value
    assert value is not None
    assert b"NaN" not in value
    assert json.loads(value)["fault"] == "the probability of False is nan"
