"""What goes out reads back as what was meant."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stream.core.event import Channel, Event, Kind, Reason, Record, Rejection, iso
from stream.core.fold.alert_values import detected, raw
from stream.core.formats import records
from stream.core.formats.canonical import results
from stream.core.formats.records import Writer, alert_in
from stream.core.monitoring.alert_text import describe
from stream.core.monitoring.detected import Alert
from stream.core.result import NoAnswer, Prediction, StepResult
from stream.core.spec import DetectorSpec, Limits
from tests.folds import recipe

RECORD = Record(2, 41, 1_700_000_000_123, b"key", b"value", (("trace", b"\xff"),))
INT64 = st.integers(-(2**63), 2**63 - 1)


def written(
    prediction: Prediction,
    *,
    event_id: str | None = None,
    label: Any = None,
    learned: int = 7,
    kind: Kind = Kind.BINARY,
) -> dict[str, Any]:
    """The published document."""
    event = Event(features={"a": 1}, id=event_id, label=label)
    answered, _ = results("power.events", RECORD.partition, kind)
    document = json.loads(answered(RECORD, event, prediction, learned).canonical)
    assert isinstance(document, dict)
    return document


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_floats_read_back_exactly(value: float) -> None:
    """Every finite float survives, the sign of zero and the smallest too, wherever it stands."""
    for read in (
        written(Prediction(value))["prediction"],
        written(Prediction(score=value))["score"],
        written(Prediction(True, {True: value}))["probabilities"]["true"],
        written(Prediction(1.0), label=value)["label"],
    ):
        assert read == value
        assert math.copysign(1.0, read) == math.copysign(1.0, value)


def test_a_prediction_record_has_the_fields_of_the_contract() -> None:
    """All of them, in this order, and no other."""
    document = written(
        Prediction(True, {False: 0.21, True: 0.79}), event_id="a-17", label=True, learned=41
    )

    assert list(document.items()) == [
        ("v", 1),
        ("id", "a-17"),
        ("partition", 2),
        ("offset", 41),
        ("prediction", True),
        ("probabilities", {"false": 0.21, "true": 0.79}),
        ("label", True),
        ("learned", 41),
    ]


def test_an_event_without_an_id_gets_its_place_as_id() -> None:
    """`TOPIC-PARTITION-OFFSET`; an empty id is the sender's own."""
    assert written(Prediction(1))["id"] == "power.events-2-41"
    assert written(Prediction(1), event_id="")["id"] == ""


def test_the_label_is_there_only_when_known() -> None:
    """False and zero are labels; None is none."""
    assert written(Prediction(1), label=False)["label"] is False
    assert written(Prediction(1), label=0)["label"] == 0
    assert "label" not in written(Prediction(1))


def test_an_unknown_class_is_null_and_a_score_is_no_prediction() -> None:
    """A classifier that knows no class says null; an anomaly detector has only a score."""
    first = written(Prediction(None, {}))
    assert first["prediction"] is None
    assert first["probabilities"] == {}
    scored = written(Prediction(score=0.0))
    assert scored["score"] == 0.0
    assert not {"prediction", "probabilities"} & set(scored)
    assert not {"probabilities", "score"} & set(written(Prediction(2.5)))


def test_classes_become_keys_as_json_writes_them() -> None:
    """Bools as JSON spells them, integers in digits, strings as they are."""
    for classes, keys in (
        ((True, False), ["true", "false"]),
        ((1, 2, 10**20), ["1", "2", str(10**20)]),
        (("UP", "é\n"), ["UP", "é\n"]),
        ((np.True_, np.int64(7), np.str_("x")), ["true", "7", "x"]),
    ):
        document = written(Prediction(classes[0], dict.fromkeys(classes, 0.5)))
        assert list(document["probabilities"]) == keys


@pytest.mark.parametrize(
    ("scalar", "plain"),
    [
        (np.float64(0.1), 0.1),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.bool_(True), True),
        (np.int64(3), 3),
        (np.str_("UP"), "UP"),
    ],
)
def test_numpy_scalars_are_written_as_plain_values(scalar: Any, plain: Any) -> None:
    """Some river models answer with them."""
    assert written(Prediction(scalar))["prediction"] == plain
    shares: Any = {"x": np.float32(0.1)}
    assert written(Prediction(1, shares))["probabilities"]["x"] == float(np.float32(0.1))


@pytest.mark.parametrize("answer", [object(), set, (1, object())])
def test_what_is_no_json_is_no_answer(answer: Any) -> None:
    """Then the prediction is null, and has a fault; nothing is made up."""
    with pytest.raises(NoAnswer, match="no JSON"):
        written(Prediction(answer))


def test_huge_whole_numbers_keep_their_digits() -> None:
    """Limits may allow labels beyond 64 bits."""
    assert written(Prediction(10**30), label=10**40)["label"] == 10**40


@given(timestamp_ms=INT64)
def test_any_timestamp_gives_iso_8601(timestamp_ms: int) -> None:
    """Whatever a producer stamps, readers can parse it; within the calendar it is exact."""
    text = iso(timestamp_ms)

    assert len(text) == len("1970-01-01T00:00:00.000Z")
    back = int(np.datetime64(text.removesuffix("Z"), "ms").astype(np.int64))
    assert back == min(max(timestamp_ms, 0), 253_402_300_799_999)


def test_iso_is_written_in_utc_with_milliseconds() -> None:
    """As the contract shows it."""
    assert iso(1_795_176_000_000) == "2026-11-20T12:00:00.000Z"
    assert iso(-1) == "1970-01-01T00:00:00.000Z"
    assert iso(2**63 - 1) == "9999-12-31T23:59:59.999Z"


def test_an_alert_has_the_fields_of_the_contract() -> None:
    """Its key and id say where it belongs; the record's own time is the event's."""
    alarm = Alert("drift", DetectorSpec(name="adwin", type="ADWIN"), 0.11, None)
    alert = raw(RECORD, detected(RECORD, alarm, None), pipeline="power", learned=40)
    _, output = Writer(recipe("stream.models:logistic_regression")).outputs(
        [StepResult(RECORD, canonical=b"{}", alerts=(alert,))]
    )
    assert alert_in(replace(RECORD, value=output.value)) == alert

    assert (output.channel, output.partition, output.key) == (Channel.ALERTS, 2, b"power/2")
    assert output.timestamp_ms == RECORD.timestamp_ms
    assert output.headers == ()
    assert list(json.loads(output.value or b"").items()) == [
        ("v", 1),
        ("id", "power/2/41/adwin"),
        ("kind", "drift"),
        ("detector", "ADWIN"),
        ("name", "adwin"),
        ("signal", "error"),
        ("partition", 2),
        ("offset", 41),
        ("event_time", "2023-11-14T22:13:20.123Z"),
        ("learned", 40),
        ("evidence", {"before": 0.11, "after": None}),
        ("message", describe(alarm, 2, 41)),
    ]


def quarantined(record: Record, detail: str = "why", **limits: int) -> Any:
    """The quarantined record."""
    return records.quarantined(
        record,
        Rejection(Reason.BAD_LABEL, detail),
        pipeline="power",
        topic="power.events",
        limits=Limits(**{"value_bytes_max": 10, **limits}),
    )


def test_a_quarantined_record_is_as_it_came() -> None:
    """Key, value, time and headers untouched; ours come after them."""
    output = quarantined(RECORD, "naïve")

    assert (output.channel, output.partition) == (Channel.QUARANTINE, 2)
    assert (output.key, output.value) == (b"key", b"value")
    assert output.timestamp_ms == RECORD.timestamp_ms
    assert output.headers == (
        ("trace", b"\xff"),
        ("stream.reason", b"bad_label"),
        ("stream.detail", "naïve".encode()),
        ("stream.topic", b"power.events"),
        ("stream.partition", b"2"),
        ("stream.offset", b"41"),
        ("stream.pipeline", b"power"),
    )


def test_a_tombstone_stays_one() -> None:
    """No value is not an empty value, and no key not an empty key."""
    output = quarantined(Record(0, 0, 0, None, None))

    assert output.key is None
    assert output.value is None


@pytest.mark.parametrize(("size", "cut"), [(0, False), (10, False), (11, True), (1000, True)])
def test_a_value_over_the_limit_is_cut_and_says_so(size: int, *, cut: bool) -> None:
    """Quarantine must not be a way to flood the topic."""
    output = quarantined(Record(0, 0, 0, b"k", b"x" * size))

    assert output.value == b"x" * min(size, 10)
    detail = dict(output.headers)["stream.detail"]
    assert detail == (b"why; the value was cut to its first 10 bytes" if cut else b"why")


@pytest.mark.parametrize(
    ("key", "headers", "kept_key", "kept_n", "said"),
    [
        (b"k" * 64, (), b"k" * 64, 0, ""),
        (b"k" * 65, (), b"k" * 64, 0, "; the key was cut to its first 64 bytes"),
        (None, (("né", b"v" * 59),), None, 1, ""),
        (None, (("né", b"v" * 60),), None, 0, "; 1 of 1 headers were left out"),
        (b"k" * 56, (("a", b"12"), ("b", None), ("c", b"")), b"k" * 56, 2,
         "; 1 of 3 headers were left out"),
        (None, (("", None),) * 33, None, 32, "; 1 of 33 headers were left out"),
        (b"k" * 99, (("a", b"1"),), b"k" * 64, 0,
         "; the key was cut to its first 64 bytes; 1 of 1 headers were left out"),
    ],
)  # fmt: skip
def test_a_key_and_headers_over_the_limit_are_cut_and_say_so(
    key: bytes | None, headers: Any, kept_key: bytes | None, kept_n: int, said: str
) -> None:
    """Names count as they are written, and each header two bytes; the beginning is kept."""
    output = quarantined(Record(0, 0, 0, key, b"v", headers), key_and_headers_bytes_max=64)

    assert output.key == kept_key
    assert output.headers[:-6] == headers[:kept_n]
    assert dict(output.headers)["stream.detail"] == f"why{said}".encode()
