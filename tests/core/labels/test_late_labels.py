"""Labels that come later: each is joined once, and learned with the features of then."""

import json
from collections import Counter
from typing import Any

import pytest
from river import linear_model

from stream.core.event import Channel
from stream.core.fold.tasks import task_of
from stream.core.learning.estimator import build
from stream.core.spec import ModelSpec
from tests import folds, late_labels
from tests.late_labels import WAIT_MS, at, event, label, of, outputs, plainly, task, workload

LR = "stream.models:logistic_regression"
FEATURES = {"x": 1.0, "y": 2.0}
NOW_MS = 1_700_000_000_000


def outcomes(published: Any) -> list[dict[str, Any]]:
    """The outcomes among what was published."""
    return of(Channel.OUTCOMES, published)


def kinds(published: Any) -> list[tuple[str | None, str, Any]]:
    """Of each outcome the event, what became of it, and the label."""
    return [(each["id"], each["kind"], each["label"]) for each in outcomes(published)]


@pytest.mark.parametrize(
    ("factory", "truth"),
    [
        (LR, lambda x: x > 0),
        ("stream.models:hoeffding_tree", lambda x: "high" if x > 1 else "mid" if x > -1 else "low"),
        ("stream.models:naive_bayes", lambda x: int(x > 0)),
        ("stream.models:linear_regression", lambda x: 3.0 * x),
        ("stream.models:adaptive_random_forest", lambda x: x > 0),
    ],
)
def test_a_plain_loop_that_is_told_the_order_predicts_the_same_bits(
    factory: str, truth: Any
) -> None:
    """Also where the state is pickled and loaded in between, and whatever the labels do."""
    records = workload(700, seed=5, truth=truth)
    published = outputs(task(factory), records)
    told = outcomes(published)
    predicted = of(Channel.PREDICTIONS, published)

    assert len(Counter(each["kind"] for each in told)) >= 6, "the workload has it all"
    found = [
        (e["offset"], e["prediction"], e.get("probabilities"), e["learned"]) for e in predicted
    ]
    model = build(ModelSpec(factory=factory))
    assert found == plainly(model, records, told, has_classes="linear" not in factory)

    again, task_again = [], task(factory)
    for start in range(0, len(records), 97):
        again += outputs(task_again, records[start : start + 97])
        payload = task_again.pickled()
        task_again = task_of(task_again.recipe, partition=folds.PARTITION, payload=payload)
    assert again == published


@pytest.mark.parametrize("factory", [LR, "stream.models:hoeffding_tree"])
def test_a_label_right_behind_its_event_is_as_good_as_one_in_it(factory: str) -> None:
    """Delay 0: the predictions are those of the same stream with labels in the events."""
    inside, behind, offset = [], [], 0
    for n in range(400):
        x = {"a": (n * 37) % 11 - 5.0, "b": (n * 17) % 7 - 3.0}
        one, true = {"id": f"e{n}", "features": x}, x["a"] + x["b"] > 0
        inside.append(at(n, NOW_MS + n, one | {"label": true}))
        behind += [at(offset, NOW_MS + n, one), label(offset + 1, NOW_MS + n, f"e{n}", true)]
        offset += 2
    with_label = of(Channel.PREDICTIONS, outputs(folds.task(factory), inside))
    before_it = of(Channel.PREDICTIONS, outputs(task(factory), behind))
    for each in with_label:
        del each["label"], each["offset"]
    for each in before_it:
        del each["offset"]
    assert with_label == before_it


def test_each_outcome_says_what_the_contract_says() -> None:
    """All fields, of a label that came an hour after its event."""
    fold = task(LR, wait_ms=7_200_000)
    published = outputs(
        fold,
        [
            event(0, NOW_MS, "a-17"),
            label(1, NOW_MS + 3_600_000, "a-17", True),
        ],
    )
    (outcome,) = [each for each in published if each.channel is Channel.OUTCOMES]
    assert (outcome.key, outcome.timestamp_ms) == (b"key 1", NOW_MS + 3_600_000)
    assert json.loads(outcome.value or b"") == {
        "v": 1, "n": 1, "input": "labels", "id": "a-17", "kind": "labeled", "partition": 3,
        "offset": 0, "label_offset": 1, "event_time_ms": NOW_MS,
        "label_time_ms": NOW_MS + 3_600_000, "delay_ms": 3_600_000, "prediction": False,
        "probabilities": {"false": 0.5, "true": 0.5}, "label": True, "error": 1.0,
        "previous": None, "learned": 0, "features": {},
    }  # fmt: skip


def test_a_label_may_come_before_its_event_and_by_the_place_of_one() -> None:
    """An event without an id has the one that its prediction shows, and its place."""
    fold = task(LR)
    published = outputs(
        fold,
        [
            label(0, NOW_MS, "late", True),
            label(1, NOW_MS, "late", False),
            event(2, NOW_MS, "late"),
            at(3, NOW_MS, {"features": FEATURES}),
            at(4, NOW_MS, {"features": FEATURES}),
            at(5, NOW_MS, {"partition": 3, "offset": 3, "label": True}),
            label(6, NOW_MS, "power.events-3-4", True),
            at(7, NOW_MS, {"partition": 2, "offset": 3, "label": True}),
            at(8, NOW_MS, {"partition": 3, "offset": 1, "label": True}),
        ],
    )
    assert kinds(published) == [
        ("late", "early", True), ("late", "corrected", False), ("late", "labeled", False),
        ("power.events-3-3", "labeled", True), ("power.events-3-4", "labeled", True),
        ("power.events-2-3", "unknown", True), ("power.events-3-1", "unknown", True),
    ]  # fmt: skip
    assert fold.serving.learned == 3
    joined = outcomes(published)[2]
    assert (joined["input"], joined["n"], joined["label_offset"]) == ("events", 2, 1)


def test_two_labels_that_wait_for_one_event_are_both_its_own() -> None:
    """One calls it by its id and one by its place: neither is lost, and the older goes first."""
    published = outputs(
        task(LR),
        [
            at(0, NOW_MS, {"partition": folds.PARTITION, "offset": 2, "label": True}),
            label(1, NOW_MS, "a", False),
            event(2, NOW_MS, "a"),
        ],
    )
    assert kinds(published)[2:] == [("a", "labeled", True), ("a", "corrected", False)]


def test_an_event_expires_by_the_time_of_the_events_in_the_order_of_their_times() -> None:
    """Not in the order in which they came; and not more than fifty in a step."""
    fold = task(LR)
    events = [event(n, NOW_MS - n * 10, f"e{n}") for n in range(120)]
    later = NOW_MS + 2 * WAIT_MS
    passing = [event(120 + n, later, f"l{n}") for n in range(6)]
    published = outputs(fold, events + passing)
    expired = outcomes(published)
    assert [each["id"] for each in expired] == [f"e{n}" for n in reversed(range(120))]
    assert {each["kind"] for each in expired} == {"expired"}
    assert [each["label"] for each in expired] == [None] * 120
    assert list(Counter(each["n"] for each in expired).values()) == [50, 50, 20]
    assert fold.serving.learned == 0
    assert {each.key for each in published if each.channel is Channel.OUTCOMES} == {
        b"key %d" % n for n in range(120)
    }


def test_no_answer_is_an_answer_and_a_click_after_all_corrects_it() -> None:
    """`on_expiry = "negative"`: learned as false; a positive that comes is a correction."""
    fold = task(LR, on_expiry="negative")
    first = event(0, NOW_MS, "a")
    later = [event(n, NOW_MS + WAIT_MS + 1, f"l{n}") for n in (1, 2, 3)]
    click = label(4, NOW_MS + WAIT_MS + 2, "a", True)
    published = outputs(fold, [first, *later, click])
    assert kinds(published) == [("a", "expired", False), ("a", "corrected", True)]
    expired, corrected = outcomes(published)
    assert (expired["error"], expired["learned"]) == (0.0, 0)
    assert (corrected["error"], corrected["previous"], corrected["learned"]) == (None, False, 1)
    assert fold.serving.learned == 2
    assert len(fold.serving.window.pairs) == 1, "a correction is not scored again"


def test_a_correction_is_ignored_if_that_is_wanted_and_a_repeated_label_always() -> None:
    """Neither is learned; both have an outcome."""
    fold = task(LR, on_correction="ignore")
    published = outputs(
        fold,
        [
            at(0, NOW_MS, {"id": "a", "features": FEATURES, "label": True}),
            label(1, NOW_MS, "a", True),
            label(2, NOW_MS, "a", False),
            label(3, NOW_MS, "a", False),
        ],
    )
    assert kinds(published) == [
        ("a", "repeated", True), ("a", "corrected", False), ("a", "repeated", False),
    ]  # fmt: skip
    assert fold.serving.learned == 1


def test_labelled_events_leave_first_and_then_the_oldest_that_waits() -> None:
    """By their times; what waits is told as dropped, and never learned."""
    fold = task(LR, pending_max=3)
    events = [event(n, NOW_MS - n, f"e{n}") for n in range(3)]
    more = [event(n, NOW_MS, f"e{n}") for n in (4, 5)]
    published = outputs(
        fold, [*events, label(3, NOW_MS, "e1", True), *more, label(6, NOW_MS, "e1", False)]
    )
    assert kinds(published) == [
        ("e1", "labeled", True), ("e2", "dropped", None), ("e1", "early", False),
    ]  # fmt: skip


def test_an_event_with_its_own_label_is_told_of_though_there_is_no_room_for_it() -> None:
    """Where all outcomes are published."""
    fold = task(LR, pending_max=1, publish="all")
    own = {"id": "b", "features": FEATURES, "label": True}
    published = outputs(fold, [event(0, NOW_MS, "a"), at(1, NOW_MS, own), event(2, NOW_MS, "c")])
    assert kinds(published) == [("b", "labeled", True), ("a", "dropped", None)]


def test_an_id_that_is_kept_is_refused_as_a_duplicate() -> None:
    """It is no second event; afterwards it may come again."""
    fold = task(LR)
    published = outputs(fold, [event(0, NOW_MS, "a"), event(1, NOW_MS, "a")])
    (refused,) = [each for each in published if each.channel is Channel.QUARANTINE]
    assert dict(refused.headers)["stream.reason"] == b"duplicate"
    passing = [event(n, NOW_MS + WAIT_MS + n, f"l{n}") for n in (2, 3, 4)]
    published = outputs(fold, [*passing, event(5, NOW_MS + WAIT_MS + 5, "a")])
    assert not [each for each in published if each.channel is Channel.QUARANTINE]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"id": "a", "label": 3}, b"bad_label"),
        ({"id": "a", "label": None}, b"bad_label"),
        ({"id": "a", "label": [True]}, b"bad_label"),
        ({"id": 1.5, "label": True}, b"bad_id"),
        ({"id": None, "label": True}, b"no_id"),
        ({"partition": 3, "offset": -1, "label": True}, b"no_id"),
        ({"partition": "3", "offset": 1, "label": True}, b"no_id"),
        ({"label": True}, b"missing_features"),
        ({"id": "a", "label": True, "more": 1}, b"unknown_field"),
        (b'{"id": "a", "label": tru}', b"not_json"),
    ],
)
def test_a_label_record_is_refused_for_its_bytes_alone(document: Any, reason: bytes) -> None:
    """Each with its reason; the event goes on waiting."""
    fold = task(LR)
    published = outputs(fold, [event(0, NOW_MS, "a"), at(1, NOW_MS, document)])
    (refused,) = [each for each in published if each.channel is Channel.QUARANTINE]
    assert dict(refused.headers)["stream.reason"] == reason
    published = outputs(fold, [label(2, NOW_MS, "a", True)])
    assert kinds(published) == [("a", "labeled", True)]


def test_a_label_that_no_event_here_can_have_is_refused_with_an_outcome() -> None:
    """Another type, or one class too many; the event waits for another label."""
    fold = task("stream.models:hoeffding_tree")
    events = [event(n, NOW_MS, f"e{n}") for n in (0, 1)]
    labels = [
        label(2, NOW_MS, "e0", "up"),
        label(3, NOW_MS, "e1", 1),
        label(4, NOW_MS, "e1", "down"),
    ]
    published = outputs(fold, events + labels)
    assert kinds(published) == [
        ("e0", "labeled", "up"), ("e1", "refused", 1), ("e1", "labeled", "down"),
    ]  # fmt: skip
    assert outcomes(published)[1]["reason"] == "type"


class Choosy(linear_model.LogisticRegression):
    """It raises half way on one label, after it has changed."""

    def learn_one(self, x: Any, y: Any, w: float = 1.0) -> None:
        """Learn, and then refuse what is far off."""
        super().learn_one(x, y, w)
        if x["x"] == 13.0:
            raise ValueError("thirteen")


def choosy() -> Choosy:
    """See there."""
    return Choosy()


def test_a_label_on_which_the_model_raises_leaves_no_trace() -> None:
    """The state is as if it had never come; the next labels are learned."""
    name = f"{choosy.__module__}:choosy"
    records = [event(n, NOW_MS, f"e{n}", x=float(n), y=1.0) for n in range(20)]
    labels = [label(20 + n, NOW_MS, f"e{n}", n % 3 == 0) for n in range(20)]
    ends = [event(40 + n, NOW_MS, f"z{n}", x=1.0, y=n) for n in range(3)]
    with_it, without = task(name), task(name)
    published = outputs(with_it, [*records, *labels, *ends])
    other = outputs(without, [*records, *(each for each in labels if each.offset != 33), *ends])
    refused = [each for each in outcomes(published) if each["kind"] == "refused"]
    assert [(each["id"], each["reason"]) for each in refused] == [("e13", "model_error")]
    last = [json.loads(e.value or b"") for e in published if e.channel is Channel.PREDICTIONS][-3:]
    same = [json.loads(e.value or b"") for e in other if e.channel is Channel.PREDICTIONS][-3:]
    assert last == same
    assert with_it.serving.learned == 19


def test_a_frozen_fold_scores_labels_and_does_not_learn_them() -> None:
    """They are joined all the same."""
    fold = task(LR)
    outputs(fold, [event(0, NOW_MS, "a")])
    fold.freeze(is_frozen=True)
    published = outputs(fold, [label(1, NOW_MS, "a", True)])
    (outcome,) = outcomes(published)
    assert (outcome["kind"], outcome["error"], outcome["learned"]) == ("labeled", 1.0, 0)
    assert fold.serving.learned == 0


def test_what_is_published_changes_nothing_of_the_fold() -> None:
    """`outcomes` and `labels.unknown` are no part of the recipe."""
    records = workload(300, seed=9, truth=lambda x: x > 0)
    usual = task(LR)
    published = outputs(usual, records)
    for spec in ({"publish": "none"}, {"publish": "all"}, {"features": True}, {"unknown": "count"}):
        other = task(LR, **spec)
        found = outputs(other, records)
        assert other.metadata() == usual.metadata(), spec
        told = Counter(each["kind"] for each in outcomes(found))
        before = Counter(each["kind"] for each in outcomes(published))
        if spec == {"publish": "none"}:
            assert not told
        elif spec == {"publish": "all"}:
            assert told["labeled"] > before["labeled"]
        elif spec == {"unknown": "count"}:
            assert set(before) - set(told) == {"early", "unknown"}
        else:
            joined = [each for each in outcomes(found) if each["offset"] is not None]
            assert all(set(each["features"]) == {"x", "y", "word"} for each in joined)


def test_the_baseline_of_no_change_knows_only_labels_that_had_come() -> None:
    """Of labels that alternate it is always wrong where each comes at once, else as it happens."""
    fold = task(LR)
    events = [event(n, NOW_MS, f"e{n}") for n in range(10)]
    labels = [label(10 + n, NOW_MS, f"e{n}", True) for n in range(10)]
    outputs(fold, [*events, *labels])
    assert {known for _, _, known in fold.serving.window.pairs} == {None}
    outputs(fold, [event(20, NOW_MS, "z"),
                   label(21, NOW_MS, "z", False)])  # fmt: skip
    assert fold.serving.window.pairs[-1][1:] == (False, True)


def test_the_way_is_kept_when_settings_change() -> None:
    """Events that wait go on waiting under another time to wait."""
    from stream.core.fold.carrying import kept  # noqa: PLC0415

    fold = task(LR)
    outputs(fold, [event(0, NOW_MS, "a")])
    going_on, _ = kept(fold, late_labels.recipe(LR, wait_ms=5 * WAIT_MS))
    later = [event(n, NOW_MS + 2 * WAIT_MS, f"l{n}") for n in (1, 2, 3, 4)]
    published = outputs(going_on, [*later, label(5, NOW_MS + 2 * WAIT_MS, "a", True)])
    assert kinds(published) == [("a", "labeled", True)]
