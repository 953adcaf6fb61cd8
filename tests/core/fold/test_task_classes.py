"""A partition's classes are of one type, and are bounded."""

import json
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest

from stream.core.event import Channel, Output, Reason, Record
from stream.core.fold.task import Task
from stream.core.spec import Limits
from tests.folds import PARTITION, event, fold, outputs_of, prediction_of, recipe, record

LABELS = ("1", "1.0", '"1"', "true", '"true"', '"1.0"', "-0.0", "2")
TYPES = {"1": int, "1.0": int, "-0.0": int, "2": int, "true": bool}


def build(factory: str = "stream.models:hoeffding_tree", **others: Any) -> Task:
    """A fold without detectors."""
    limits = others.pop("limits", None)
    return Task(recipe(factory, detectors=(), limits=limits), partition=PARTITION, **others)


def labelled(offset: int, label: str, **features: Any) -> Record:
    """An event with a label as JSON."""
    body = json.dumps(features or {"a": offset % 5})
    return record(offset, f'{{"features": {body}, "label": {label}}}'.encode())


def all_different(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON whose keys do not repeat."""
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def refusal_of(outputs: Sequence[Output]) -> str | None:
    """Why an event's label was refused; None if it was not."""
    if outputs[0].channel is Channel.PREDICTIONS:
        return None
    headers = dict(outputs[0].headers)
    assert headers["stream.reason"] == Reason.BAD_LABEL.encode()
    return (headers["stream.detail"] or b"").decode()


@pytest.mark.parametrize(("first", "other"), list(permutations(LABELS, 2)))
def test_the_first_label_fixes_the_type(first: str, other: str) -> None:
    """Another type is refused; 1.0 is the integer 1, and no key comes twice in `probabilities`."""
    folded = build()
    assert refusal_of(outputs_of(folded, labelled(0, first))) is None
    fits = TYPES.get(first, str) is TYPES.get(other, str)
    found = refusal_of(outputs_of(folded, labelled(1, other)))
    assert (found is None) == fits
    if found is not None:
        plural = {int: "integers", bool: "booleans", str: "strings"}[TYPES.get(first, str)]
        assert found.startswith("the label is a")
        assert found.endswith(f", this partition's labels are {plural}")
    value = outputs_of(folded, event(2, {"a": 1}))[0].value
    assert value is not None
    json.loads(value, object_pairs_hook=all_different)


@pytest.mark.parametrize(
    "factory", ["stream.models:hoeffding_tree", "river.tree:HoeffdingTreeClassifier"]
)
def test_an_odd_label_costs_its_own_event_only(factory: str) -> None:
    """River's trees sort their classes: one integer among strings made them refuse every event."""
    folded = build(factory)
    good = [labelled(i, f'"c{i % 3}"') for i in range(0, 120, 2)]
    fold(folded, good[:30])
    assert refusal_of(outputs_of(folded, labelled(59, "3")))
    assert {refusal_of(each) for each in fold(folded, good[30:])} == {None}
    assert folded.serving.learned == 60


def test_a_refused_label_brings_no_name_and_a_refused_name_no_class() -> None:
    """An event is taken in as a whole, or leaves no trace."""
    folded = build(limits=Limits(distinct_features_max=2, features_max=2, classes_max=2))
    outputs_of(folded, labelled(0, '"x"', a=1))
    assert refusal_of(outputs_of(folded, labelled(1, "7", b=1)))
    assert folded.state.names == {"a"}
    refused = outputs_of(folded, labelled(2, '"y"', b=1, c=1))
    assert dict(refused[0].headers)["stream.reason"] == b"too_many_features"
    assert folded.state.classes == {"x"}
    assert refusal_of(outputs_of(folded, labelled(3, '"z"', b=1))) is None
    assert folded.state.classes == {"x", "z"}


def test_an_event_that_the_model_refuses_fixes_nothing() -> None:
    """Neither the type of the labels nor a class."""
    folded = build("tests.fragile:FragileVoter")
    refused = outputs_of(folded, labelled(0, "7", fail="raise in learn"))
    assert dict(refused[0].headers)["stream.reason"] == b"model_error"
    assert refusal_of(outputs_of(folded, labelled(1, '"x"'))) is None
    outputs_of(folded, labelled(2, '"y"', fail="raise in learn"))
    assert folded.state.classes == {"x"}
    assert refusal_of(outputs_of(folded, labelled(3, "7")))


def test_classes_are_bounded() -> None:
    """An order id as the label must not fill the disk: each class is in every prediction."""
    folded = build("stream.models:naive_bayes", limits=Limits(classes_max=5))
    found = [refusal_of(outputs_of(folded, labelled(i, f'"order-{i}"'))) for i in range(8)]
    assert found[:5] == [None] * 5
    assert found[5] == 'over 5 classes in this partition; new: "order-5"'
    assert refusal_of(outputs_of(folded, labelled(8, '"order-3"'))) is None
    said = prediction_of(outputs_of(folded, event(9, {"a": 1})))
    assert len(said["probabilities"]) == 5


def test_a_restored_fold_knows_its_classes() -> None:
    """They are a part of the state, wherever it is cut."""
    labels = ['"a"', "1", '"b"', "true", '"c"', '"d"', '"a"', "2.0", '"e"']
    records = [labelled(i, label) for i, label in enumerate(labels)]
    limits = Limits(classes_max=3)
    direct, frozen = build(limits=limits), build(limits=limits)
    expected = fold(direct, records)
    assert [refusal_of(each) is None for each in expected] == [
        True, False, True, False, True, False, True, False, False,
    ]  # fmt: skip
    for index, each in enumerate(records):
        restored = build(limits=limits, payload=frozen.keep_copy())
        assert fold(restored, records[index:]) == expected[index:]
        assert restored.metadata() == direct.metadata()
        outputs_of(frozen, each)


@pytest.mark.parametrize(
    ("factory", "labels"),
    [
        ("stream.models:linear_regression", ["1", "1.5", "2.0"]),
        ("tests.folds:small_trees", ["1", '"x"', "true", "2.5"]),
    ],
)
def test_labels_that_name_no_class_are_left_alone(factory: str, labels: list[str]) -> None:
    """Of a regressor, and of an anomaly detector, which does not look at them."""
    folded = build(factory, limits=Limits(classes_max=2))
    for i, label in enumerate(labels):
        said = prediction_of(outputs_of(folded, labelled(i, label)))
        assert repr(said["label"]) == repr(json.loads(label))


def test_class_names_that_no_prediction_could_hold_are_refused() -> None:
    """A thousand long labels made predictions that a usual topic takes none of, for ever."""
    limits = Limits(classes_bytes_max=1024)
    folded = build("stream.models:naive_bayes", limits=limits)
    found = [refusal_of(outputs_of(folded, labelled(i, f'"{i:03}{"é" * 97}"'))) for i in range(6)]
    assert found[:4] == [None] * 4
    assert found[4] is not None
    assert found[4].startswith(
        "its 4 classes take 924 bytes of each prediction, of at most 1024 "
        '(limits.classes_bytes_max); new: "004'
    )
    assert refusal_of(outputs_of(folded, labelled(6, '"short"'))) is None
    value = outputs_of(folded, event(7, {"a": 1}))[0].value or b""
    assert len(value) < 1024 + 500
    restored = build("stream.models:naive_bayes", limits=limits, payload=folded.keep_copy())
    for one in (folded, restored):
        assert refusal_of(outputs_of(one, labelled(8, f'"{"x" * 100}"')))
        assert refusal_of(outputs_of(one, labelled(9, '"tiny"'))) is None


def test_a_class_that_is_taken_back_takes_no_room() -> None:
    """The event that brought it was refused."""
    folded = build("tests.fragile:FragileVoter", limits=Limits(classes_bytes_max=1024))
    for i in range(60):
        outputs_of(folded, labelled(i, f'"{i}{"x" * 400}"', fail="raise in learn"))
    assert refusal_of(outputs_of(folded, labelled(60, f'"{"y" * 200}"'))) is None
