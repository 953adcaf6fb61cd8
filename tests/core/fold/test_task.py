"""The fold equals a plain loop over the same records, wherever it is cut."""

import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift
from river.drift import binary

from stream.core.event import Channel, Kind, Reason, Record
from stream.core.fold.task import Task
from stream.core.formats.records import Writer
from stream.core.learning.estimator import kind_of
from stream.core.monitoring.detectors import Detectors
from stream.core.snapshots import pickling
from stream.core.spec import DetectorSpec, Limits
from stream.errors import Misconfigured
from tests.folds import (
    ADWIN,
    DDM,
    ON_PREDICTION,
    PARTITION,
    document_of,
    errors_of,
    event,
    fold,
    outputs_of,
    plain_loop,
    prediction_of,
    recipe,
    record,
    task,
    untrained,
    workload,
)

MODELS = {
    "binary": "stream.models:logistic_regression",
    "river's own": "tests.folds:plain_pipeline",
    "multiclass": "stream.models:softmax_regression",
    "tree": "stream.models:hoeffding_tree",
    "no change": "stream.models:no_change",
    "no probabilities": "tests.fragile:votes",
    "regression": "stream.models:linear_regression",
    "anomaly": "tests.folds:small_trees",
}
every_model = pytest.mark.parametrize("factory", MODELS.values(), ids=MODELS.keys())


def records_for(factory: str, count: int, *, seed: int = 7) -> list[Record]:
    """A workload that fits the factory's model."""
    return workload(kind_of(untrained(factory)), count, seed=seed)


def detectors_for(factory: str) -> tuple[DetectorSpec, ...]:
    """Detectors that such a model can feed."""
    kind = kind_of(untrained(factory))
    return (ON_PREDICTION,) if kind is Kind.ANOMALY else (ADWIN, ON_PREDICTION)


@every_model
def test_outputs_equal_a_plain_loop_bit_for_bit(factory: str) -> None:
    """Predict, then learn: whatever else the fold does, it changes no number."""
    records = records_for(factory, 400)
    found = [prediction_of(each) for each in fold(task(factory), records)]

    assert found == plain_loop(untrained(factory), records)
    assert found.count(None) > 5
    assert sum("label" not in each for each in found if each) > 20


def test_alerts_come_exactly_when_a_plain_loop_sees_drift() -> None:
    """The detectors are fed with the error of each labelled event, after learning from it."""
    records = records_for(MODELS["binary"], 600)
    folded = task(MODELS["binary"], detectors=(ADWIN, DDM))
    alerts = [
        (alert["kind"], alert["name"], alert["offset"])
        for outputs in fold(folded, records)
        for alert in map(document_of, outputs[1:])
    ]

    adwin, ddm, expected = drift.ADWIN(delta=0.05, clock=1), binary.DDM(), []
    for each in plain_loop(untrained(MODELS["binary"]), records):
        if each is not None and "label" in each:
            error = int(each["prediction"] != each["label"])
            for name, detector in (("adwin", adwin), ("ddm", ddm)):
                detector.update(error)  # type: ignore[no-untyped-call]  # river types it not
                if detector.drift_detected:
                    expected.append(("drift", name, each["offset"]))
    assert [alert for alert in alerts if alert[0] == "drift"] == expected
    assert expected


def test_the_first_prediction_is_null_and_counts_as_an_error() -> None:
    """Before a classifier knows any class there is nothing to predict."""
    folded = task("stream.models:no_change")
    errors = errors_of(folded)
    first = prediction_of(outputs_of(folded, event(0, {"a": 1}, label="x")))

    assert first["prediction"] is None
    assert first["probabilities"] == {}
    outputs_of(folded, event(1, {"a": 1}, label="x"))
    assert errors == [1.0, 0.0]


def test_an_unlabelled_event_is_predicted_and_not_learned() -> None:
    """A label may come late; until then the model stays as it is."""
    folded = task(MODELS["river's own"])
    answers = [
        prediction_of(outputs_of(folded, event(i, {"a": i % 3}, label=i % 3 > 0))) for i in range(9)
    ]
    twice = [prediction_of(outputs_of(folded, event(10 + i, {"a": 2}))) for i in range(2)]

    assert [each["learned"] for each in answers] == list(range(9))
    assert twice[0]["probabilities"] == twice[1]["probabilities"]
    assert twice[0]["learned"] == twice[1]["learned"] == 9
    assert "label" not in twice[0]


def test_an_anomaly_detector_learns_without_labels_and_is_never_wrong() -> None:
    """It scores, and has no prediction; a label is repeated and means nothing."""
    folded = task("tests.fragile:FragileDetector", detectors=(ON_PREDICTION,))
    errors = errors_of(folded)
    first = prediction_of(outputs_of(folded, event(0, {"a": 1.0})))
    second = prediction_of(outputs_of(folded, event(1, {"a": 1.0}, label="odd")))

    assert set(first) == {"v", "id", "partition", "offset", "score", "learned"}
    assert (second["label"], second["learned"]) == ("odd", 1)
    assert errors == [None, None]
    assert folded.score() is None


@every_model
def test_cutting_anywhere_changes_nothing(factory: str) -> None:
    """A state pickled after any record goes on as if nothing had happened."""
    records, parts = records_for(factory, 120), recipe(factory, detectors=detectors_for(factory))
    whole = Task(parts, partition=PARTITION)
    expected = fold(whole, records)

    stepwise = Task(parts, partition=PARTITION)
    found = []
    for each in records:
        found.append(outputs_of(stepwise, each))
        stepwise = Task(parts, partition=PARTITION, payload=stepwise.keep_copy())
    assert found == expected
    assert stepwise.metadata() == whole.metadata()


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_cuts_and_any_other_pickler_change_nothing(data: st.DataObject) -> None:
    """Snapshots are taken at any time, and by way of the standard library's pickle as well."""
    factory = MODELS[data.draw(st.sampled_from(["binary", "tree", "regression"]))]
    records = records_for(factory, 80, seed=data.draw(st.integers(0, 5)))
    whole = task(factory)
    expected = fold(whole, records)

    cut, found = task(factory), []
    cuts = data.draw(st.sets(st.integers(0, 79)))
    for index, each in enumerate(records):
        found.append(outputs_of(cut, each))
        if index in cuts:
            payload = cut.keep_copy()
            if index % 2 == 0:
                state = pickle.loads(pickle.dumps(cut.state))  # noqa: S301  # our own bytes
                payload = pickling.dumps(state)
            cut = Task(cut.recipe, partition=PARTITION, payload=payload)
    assert found == expected
    assert cut.metadata() == whole.metadata()


@settings(max_examples=40, deadline=None)
@given(
    index=st.integers(0, 39), change=st.sampled_from(["label", "feature", "broken", "id", "gone"])
)
def test_the_digest_tells_any_other_outcome(index: int, change: str) -> None:
    """Digests differ exactly if any outcome differs."""
    records = [event(i, {"a": i % 3, "b": 0.5}, label=i % 3 > 0) for i in range(40)]
    other = {
        "label": event(index, {"a": index % 3, "b": 0.5}, label=index % 3 == 0),
        "feature": event(index, {"a": index % 3, "b": 0.75}, label=index % 3 > 0),
        "broken": record(index, b"oops"),
        "id": record(index, b'{"features": {"a": 1, "b": 0.5}, "label": true, "id": "x"}'),
        "gone": None,
    }[change]
    changed = [other if i == index else each for i, each in enumerate(records)]
    one, two = task(MODELS["binary"]), task(MODELS["binary"])
    first = fold(one, records)
    second = fold(two, [each for each in changed if each is not None])

    assert (one.metadata().digest == two.metadata().digest) == (first == second)
    assert first != second or change == "feature"


def test_the_digest_holds_reasons_offsets_and_alerts() -> None:
    """Of a rejection the reason and the offset count, of an alert all that is published."""
    digests = set()
    for value, offset in ((b"oops", 0), (b"{}", 0), (b"oops", 1)):
        folded = task(MODELS["binary"])
        outputs_of(folded, record(offset, value))
        digests.add(folded.metadata().digest)
    assert len(digests) == 3

    records = records_for(MODELS["binary"], 600)
    alerting, silent = task(MODELS["binary"]), task(MODELS["binary"], detectors=())
    assert [len(each) for each in fold(alerting, records)].count(2) > 0
    fold(silent, records)
    assert alerting.metadata().digest != silent.metadata().digest


def test_gaps_are_no_outcomes() -> None:
    """Markers and compacted records move the offset on, and nothing else."""
    plain, moved = task(MODELS["binary"]), task(MODELS["binary"])
    for offset in (0, 5, 9):
        moved.advance(offset)
        assert moved.next_offset == offset
        assert outputs_of(moved, event(offset, {"a": 1}, True)) == outputs_of(
            plain, event(offset, {"a": 1}, True)
        )
    moved.advance(12)
    assert moved.next_offset == 12
    assert moved.metadata() == plain.metadata()
    with pytest.raises(AssertionError):
        moved.advance(11)
    with pytest.raises(AssertionError):
        outputs_of(moved, event(11, {"a": 1}))


def test_a_partition_has_only_so_many_feature_names() -> None:
    """At the cap new names are refused; known ones go on, and a refused event adds none."""
    limits = Limits(distinct_features_max=3, features_max=3)
    folded = task(MODELS["binary"], limits=limits)
    outputs_of(folded, event(0, {"a": 1, "b": 1}, True))
    beyond = outputs_of(folded, event(1, {"a": 1, "c": 1, "d": 1}, True))[0]
    third = outputs_of(folded, event(2, {"c": 1}, True))[0]
    fourth = outputs_of(folded, event(3, {"d": 1}, True))[0]
    known = outputs_of(folded, event(4, {"a": 1, "b": 1, "c": 1}, True))[0]

    assert dict(beyond.headers)["stream.reason"] == Reason.TOO_MANY_FEATURES.encode()
    assert dict(fourth.headers)["stream.reason"] == Reason.TOO_MANY_FEATURES.encode()
    assert [third.channel, known.channel] == [Channel.PREDICTIONS] * 2
    restored = Task(folded.recipe, partition=PARTITION, payload=folded.keep_copy())
    assert outputs_of(restored, event(5, {"d": 1}))[0].channel is Channel.QUARANTINE


def test_metadata_and_header_say_what_was_folded() -> None:
    """What travels beside the committed offset and what heads a snapshot agree."""
    parts = recipe(MODELS["binary"])
    folded = Task(parts, partition=PARTITION, genesis=40)
    assert folded.next_offset == 40
    fold(folded, [event(41, {"a": 1}, True), record(42, b"oops"), event(45, {"a": 1})])
    metadata = folded.metadata()
    header = folded.header(topic_id="t-1", taken_at_ms=99)

    assert (metadata.n, metadata.learned, metadata.genesis) == (3, 1, 40)
    assert metadata.fingerprint == parts.fingerprint()
    assert len(metadata.digest) == 16
    for name in ("n", "learned", "genesis", "fingerprint", "digest"):
        assert getattr(header, name) == getattr(metadata, name)
    assert (header.pipeline, header.topic, header.topic_id) == ("power", "power.events", "t-1")
    assert (header.partition, header.next_offset, header.taken_at_ms) == (PARTITION, 46, 99)
    assert header.recipe == parts.parts()


def test_signals_are_taken_before_the_model_learns() -> None:
    """A model may hand out its own table and change it while it learns."""
    signal = DetectorSpec(name="p", type="KSWIN", signal="prediction", params={"window_size": 60})
    folded = task("tests.fragile:Sharing", detectors=(signal,))
    detectors, model = Detectors((signal,)), untrained("tests.fragile:Sharing")
    offsets = []
    for offset in range(300):
        label = offset > 150
        outputs = outputs_of(folded, event(offset, {"a": 1}, label))
        assert prediction_of(outputs)["probabilities"]["true"] == model.table[True]
        alerts = detectors.update(None, model.table[True], label, {"a": 1})
        assert len(outputs) == 1 + len(alerts)
        offsets += [offset] * len(alerts)
        model.learn_one({"a": 1}, label)
    assert offsets


def test_two_partitions_share_nothing() -> None:
    """Not even an object that the factory gives out again and again."""
    one, two = (task("tests.fragile:always_the_same") for _ in range(2))
    fold(one, [event(i, {"a": 1}, 100.0) for i in range(5)])

    assert prediction_of(outputs_of(two, event(0, {"a": 1}, 1.0)))["prediction"] == 0.0


def test_a_model_that_cannot_be_pickled_is_refused_at_once() -> None:
    """It could never be snapshotted: that is for the operator, before the first event."""
    with pytest.raises(Misconfigured, match=r"model\.factory: Unpicklable cannot be pickled"):
        task("tests.fragile:Unpicklable")


def test_the_windowed_score_is_of_the_last_labelled_events() -> None:
    """It is part of the state, and travels with it."""
    folded = task(MODELS["no change"], detectors=())
    fold(folded, [event(i, {"a": 1}, i % 4 > 0) for i in range(101)])
    score: Any = folded.score()

    assert (score.metric, score.n) == ("accuracy", 100)
    assert score.value == score.baseline == 0.5
    restored = Task(folded.recipe, partition=PARTITION, payload=folded.keep_copy())
    assert restored.score() == score


def test_a_key_and_headers_over_the_limit_are_refused_before_the_fold() -> None:
    """No commit could take them to the outputs: too_large, and the model never sees the event."""
    limits = Limits(key_and_headers_bytes_max=100)
    value = b'{"features": {"x": 1.5}, "label": true}'
    headers = (("trace", b"0" * 36), ("null", None))  # 49 bytes, two of them for each header
    sent = [
        record(0, value, key=b"k" * 100),
        record(1, value, key=b"k" * 101),
        record(2, value, key=b"k" * 51, headers=headers),
        record(3, value, key=b"k" * 52, headers=headers),
        record(4, value, key=None, headers=headers * 3),
        record(5, None, key=b"k" * 101),
    ]

    folded = task(MODELS["binary"], limits=limits)
    outcomes = fold(folded, sent)

    assert [o[0].channel for o in outcomes] == [
        Channel.PREDICTIONS, Channel.QUARANTINE, Channel.PREDICTIONS, *[Channel.QUARANTINE] * 3,
    ]  # fmt: skip
    assert folded.serving.learned == 2
    reasons = {dict(o[0].headers)["stream.reason"] for o in outcomes if o[0].headers}
    assert reasons == {b"too_large"}
    details = [dict(o[0].headers)["stream.detail"] for o in outcomes if o[0].headers]
    assert details[1] == (
        b"key and headers together have 101 bytes, more than 100; 1 of 2 headers were left out"
    )


def test_listed_headers_travel_to_the_prediction_and_change_no_digest() -> None:
    """Trace context comes out where the event went in; all other headers stay behind."""
    value = b'{"features": {"x": 1.5}, "label": true}'
    sent = (("traceparent", b"00-1"), ("secret", b"s"), ("traceparent", None), ("tracestate", b""))
    records = [record(0, value, headers=sent), record(1, value), record(2, b"{", headers=sent)]
    plain = task(MODELS["binary"])
    traced = task(MODELS["binary"])
    writer = Writer(traced.recipe, headers=frozenset({"traceparent", "tracestate"}))

    outcomes = [writer.outputs([traced.step(each)]) for each in records]

    assert [o[0].headers for o in fold(plain, records)][:2] == [(), ()]
    assert [o[0].headers for o in outcomes][:2] == [(sent[0], sent[2], sent[3]), ()]
    assert outcomes[2][0].headers[: len(sent)] == sent
    assert traced.metadata() == plain.metadata()


def test_a_step_gives_its_prediction_as_a_value_too() -> None:
    """For formats other than JSON: the very numbers, and what is absent is unset."""
    folded = task(MODELS["binary"])
    folded.step(event(0, {"a": 1.0}, label=True))
    result = folded.step(event(1, {"a": 0.3}))
    prediction = result.prediction

    assert prediction is not None
    assert msgspec.json.encode(prediction) == result.canonical
    assert (prediction.offset, prediction.learned, prediction.label) == (1, 1, msgspec.UNSET)
    assert folded.step(record(2, b"{")).prediction is None
