"""Detectors alarm where a plain loop's do, with evidence; whatever is fed, pickled or restored."""

import math
import random
import statistics
from itertools import islice
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from river import naive_bayes

from stream.core.event import Kind
from stream.core.monitoring.alert_text import describe
from stream.core.monitoring.detected import Alert
from stream.core.monitoring.detector_choice import default_specs, problems
from stream.core.monitoring.detectors import (
    MAGNITUDE_MAX,
    Detectors,
    build,
)  # fmt: skip
from stream.core.spec import DetectorSpec
from stream.errors import Misconfigured
from tests.core.monitoring.detector_reference import (
    BINARY,
    CALM,
    EAGER,
    RIVERS,
    SMALL,
    TYPES,
    UP_AND_DOWN,
    WARNING,
    bits,
    found,
    plain,
    plain_detector,
    spec,
    thawed,
    waves,
    where,
)  # fmt: skip
from tests.data import rows_or, sine


@pytest.fixture(scope="module")
def sine_errors() -> list[float]:
    """The errors of a plain test-then-learn loop on 45,000 events with two true drifts."""
    model: Any = naive_bayes.GaussianNB()
    errors = []
    for row in islice(rows_or("sine1_101", sine), 45_000):
        label = row.pop("class")
        errors.append(float(model.predict_one(row) != label))
        model.learn_one(row, label)
    return errors


@pytest.mark.parametrize("type_", TYPES)
def test_alarms_come_at_the_indices_of_a_plain_loop(type_: str) -> None:
    """Every drift, and every entry into a warning zone, is one alarm; nothing else is."""
    params = SMALL.get(type_, {})

    alerts = where(found(build(spec(type_, **params)), UP_AND_DOWN))

    assert alerts == plain(type_, UP_AND_DOWN, **params)
    assert alerts["drift"], "a stream without a drift shows nothing"
    assert bool(alerts["warning"]) == (type_ in WARNING)


@pytest.mark.parametrize("type_", TYPES)
def test_fractions_are_fed_as_documented(type_: str) -> None:
    """On fractions, too, the alarms are a plain loop's; EDDM takes 0.5 and more as an error."""
    values, params = list(waves(2_000, seed=3)), SMALL.get(type_, {})

    assert where(found(build(spec(type_, **params)), values)) == plain(type_, values, **params)


@pytest.mark.parametrize("type_", TYPES)
def test_alarms_on_a_real_stream_are_the_plain_loops(type_: str, sine_errors: list[float]) -> None:
    """45,000 errors of naive Bayes (KSWIN: 3,000 of them around the first true drift)."""
    errors = sine_errors[18_500:21_500] if type_ == "KSWIN" else sine_errors

    alerts = where(found(build(spec(type_)), errors))

    assert alerts == plain(type_, errors)
    first = 20_000 - (18_500 if type_ == "KSWIN" else 0)
    assert any(first <= index < first + 1_500 for index in alerts["drift"])


@settings(max_examples=40, deadline=None)
@given(type_=st.sampled_from(TYPES), cut=st.integers(0, 900), seed=st.integers(0, 50))
def test_a_pickled_monitor_goes_on_as_if_nothing_had_been(type_: str, cut: int, seed: int) -> None:
    """Alarms and their evidence are the same, bit for bit, whatever the cut."""
    values = list(bits((0.1, 400), (0.6, 300), (0.1, 200), seed=seed))
    one = build(spec(type_, **SMALL.get(type_, {})))
    other = build(spec(type_, **SMALL.get(type_, {})))

    before = found(other, values[:cut])
    other = thawed(other)

    assert found(one, values) == before + found(other, values[cut:])


def test_pickled_detectors_go_on_as_if_nothing_had_been() -> None:
    """The set of them survives a pickle after each event."""
    specs = [spec("ADWIN"), spec("DDM"), spec("HDDMA", "prediction"), spec("FHDDM", "feature:x")]
    one, other = Detectors(specs), Detectors(specs)
    some = 0
    for index, value in enumerate(bits((0.1, 500), (0.6, 500), seed=1)):
        alerts = one.update(value, value, None, {"x": value})
        if index % 50 == 0:
            other = thawed(other)
        assert other.update(value, value, None, {"x": value}) == alerts
        some += len(alerts)

    assert some >= len(specs)


@pytest.mark.parametrize("type_", TYPES)
def test_evidence_of_a_step_lies_near_the_truth(type_: str) -> None:
    """From 0.1 to 0.4: the first drift after the step says about that (ADWIN: less, but a rise)."""
    evidence = []
    for seed in range(3 if type_ == "KSWIN" else 6):
        values = list(bits((0.1, 1_000), (0.4, 800), seed=seed))
        alerts = found(build(spec(type_, **CALM.get(type_, {}))), values)
        evidence.append(next(a for a in alerts[1_000:] if a is not None and a.kind == "drift"))

    before = statistics.fmean(alarm.before or math.nan for alarm in evidence)
    after = statistics.fmean(alarm.after or math.nan for alarm in evidence)

    assert 0.08 < before < 0.14
    assert (0.14 if type_ == "ADWIN" else 0.24) < after < 0.5
    assert all(a.before and a.after and a.before < a.after for a in evidence)


def test_adwins_evidence_is_its_window() -> None:
    """Before: the mean of what the window dropped at the drift; after: of what it kept."""
    detector, twin = build(spec("ADWIN")), plain_detector("ADWIN")
    checked = 0
    for value in waves(4_000, seed=5):
        fresh = twin.drift_detected
        total, width = (0.0, 0.0) if fresh else (twin.total, twin.width)
        twin.update(value)
        alarm = detector.update(value)
        if alarm is not None:
            dropped_n = width + 1 - twin.width
            assert alarm.before == pytest.approx((total + value - twin.total) / dropped_n)
            assert alarm.after == twin.estimation
            checked += 1

    assert checked > 3


def test_kswins_evidence_is_its_window() -> None:
    """Before: the mean of the window's older part; after: of its last `stat_size` values."""
    values = [random.Random(2).random() + 2 * (index >= 150) for index in range(300)]
    detector = build(spec("KSWIN", **SMALL["KSWIN"]))

    alerts = found(detector, values)
    at = next(index for index, alarm in enumerate(alerts) if alarm and index >= 150)
    start = max([0, *(index + 1 for index in where(alerts)["drift"] if index < at)])
    window = values[max(start, at - 39) : at + 1]

    assert (
        alerts[at]
        == Alert(
            "drift",
            detector.spec,
            pytest.approx(math.fsum(window[:-15]) / (len(window) - 15)),  # type: ignore[arg-type] # approx compares with a float
            pytest.approx(math.fsum(window[-15:]) / 15),  # type: ignore[arg-type] # the same
        )
    )


@pytest.mark.parametrize("type_", RIVERS[2:])
def test_evidence_of_the_others_splits_the_events_since_the_last_drift(type_: str) -> None:
    """At a warning zone of 20 events or more; else at the last 100, or half if they are fewer."""
    params: dict[str, Any] = {"threshold": 5} if type_ == "PageHinkley" else {}
    values = [value for seed in range(4) for value in bits((0.1, 300), (0.5, 120), seed=seed)]
    alerts = found(build(spec(type_, **params)), values)
    begun = plain(type_, values, **params)["warning"]

    start, split_at = 0, set()
    for index, alarm in enumerate(alerts):
        if alarm is None:
            continue
        since = values[start : index + 1]
        zones = [at for at in begun if start <= at <= index - 19]
        recent_n = min(100, len(since) // 2)
        possible = {"recent": recent_n} | ({"zone": index + 1 - zones[-1]} if zones else {})
        split = [
            at for at, n in possible.items() if halves(since, n) == (alarm.before, alarm.after)
        ]
        assert split
        split_at.update(split)
        start = index + 1 if alarm.kind == "drift" else start

    assert split_at >= ({"zone"} if type_ == "DDM" else {"recent"})


def halves(values: list[float], last_n: int) -> tuple[float, float]:
    """The means of all but the last, and of the last; sums of 0 and 1 are exact."""
    older, last = values[:-last_n], values[-last_n:]
    return sum(older) / len(older), sum(last) / len(last)


@pytest.mark.parametrize("type_", BINARY)
def test_binary_detectors_see_a_rise(type_: str) -> None:
    """FHDDM too, which in river alarms when its input falls."""
    values = list(bits((0.1, 1_000), (0.5, 400), seed=4))

    assert any(index >= 1_000 for index in where(found(build(spec(type_)), values))["drift"])


@pytest.mark.parametrize("type_", ["DDM", "FHDDM", "HDDMA", "HDDMW"])
def test_binary_detectors_see_no_fall(type_: str) -> None:
    """A model that gets better is no alarm of theirs; it is one of ADWIN's."""
    values = list(bits((0.5, 300), (0.1, 700), seed=10))

    assert where(found(build(spec(type_)), values))["drift"] == []
    assert where(found(build(spec("ADWIN")), values))["drift"] != []


@pytest.mark.parametrize("type_", TYPES)
def test_values_outside_the_domain_are_counted_and_not_fed(type_: str) -> None:
    """They change nothing but `skipped_n`; for detectors of errors, what is outside [0, 1] too."""
    outside = [math.nan, math.inf, -math.inf, 1e300, -1e101]
    if type_ in BINARY:
        outside += [1.0000001, -1e-9, 7.0]
    if type_ == "ECUSUM":
        outside += [-1e-9, -7.0]
    one = build(spec(type_, **SMALL.get(type_, {})))
    other = build(spec(type_, **SMALL.get(type_, {})))

    strewn: list[Alert | None] = []
    for index, value in enumerate(UP_AND_DOWN):
        assert other.update(outside[index % len(outside)]) is None
        strewn.append(other.update(value))

    assert strewn == found(one, UP_AND_DOWN)
    assert (one.skipped_n, other.skipped_n) == (0, len(UP_AND_DOWN))


NUMBERS = st.one_of(
    st.floats(),
    st.floats(0, 1),
    st.booleans(),
    st.integers(-(10**400), 10**400),
    st.sampled_from([0.0, 1.0, MAGNITUDE_MAX, -MAGNITUDE_MAX, 5e-324]),
)
ANYTHING = st.one_of(st.none(), st.text(max_size=3), NUMBERS)


@settings(max_examples=30, deadline=None)
@example(events=[(2**63, -(2**63) - 1, 10**30, 10**99)], repeats=6)
@given(
    events=st.lists(st.tuples(st.none() | NUMBERS, st.none() | NUMBERS, ANYTHING, ANYTHING)),
    repeats=st.integers(1, 12),
)
def test_nothing_that_is_fed_raises(events: list[tuple[Any, ...]], repeats: int) -> None:
    """Numbers of any size, bools, strings, None and absent features; evidence is finite."""
    detectors = Detectors(
        [
            DetectorSpec(name=f"{type_} {signal}", type=type_, signal=signal, params=EAGER[type_])
            for type_ in TYPES
            for signal in ("error", "prediction", "label", "feature:x", "feature:absent")
        ]
    )
    for error, prediction, label, x in events * repeats:
        for alarm in detectors.update(error, prediction, label, {"x": x}):
            assert alarm.before is None or math.isfinite(alarm.before)
            assert alarm.after is None or math.isfinite(alarm.after)
            assert describe(alarm, 0, 0)


def test_each_signal_feeds_its_own_monitors_and_only_numbers_do() -> None:
    """None, a string and an absent feature feed nobody; true and false are 1 and 0."""
    signals = ("error", "prediction", "label", "feature:x", "feature:label")
    values = [*[0.0] * 200, *[1.0] * 200]
    for fed in signals:
        detectors = Detectors([spec("ADWIN", signal) for signal in signals])
        alerts: list[Alert] = []
        for value in values:
            alerts += detectors.update(
                value if fed == "error" else None,
                value if fed == "prediction" else None,
                value == 1 if fed == "label" else "a class",
                {"x": int(value), "label": "text"} if fed == "feature:x" else {"label": value}
                if fed == "feature:label" else {},
            )  # fmt: skip
        assert {alarm.spec.signal for alarm in alerts} == {fed}
        assert alerts[0].before == 0


def test_alarms_of_one_event_come_in_the_order_of_the_specs() -> None:
    """Whatever their signals: as a plain loop over the specs would find them."""
    signals = ("feature:x", "error", "label", "prediction", "error", "feature:x")
    specs = [
        DetectorSpec(name=name, type="ADWIN", signal=signal)
        for name, signal in zip("cafebd", signals, strict=True)
    ]
    detectors = Detectors(specs)

    several = [
        [alarm.spec.name for alarm in alerts]
        for value in [*[0.0] * 100, *[1.0] * 100]
        if (alerts := detectors.update(value, value, value, {"x": value}))
    ]

    assert several
    assert all(names == list("cafebd") for names in several)


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        (spec("HDDM_A"), "type"),
        (spec("ADWIN", dleta=0.1), "params.dleta"),
        (spec("ADWIN", "eror"), "signal"),
        (spec("EDDM", alpha=0.5, beta=0.9), "params"),
        (spec("KSWIN", stat_size=60), "params.stat_size"),
        (spec("KSWIN", stat_size="many"), "params"),
        (spec("FHDDM", short_window_size=101), "params.short_window_size"),
    ],
)
def test_what_river_could_not_run_is_refused_by_key(wrong: DetectorSpec, key: str) -> None:
    """The operator reads which key of which detector is off."""
    with pytest.raises(Misconfigured, match=rf'^detectors "{wrong.name}".*\b{key}') as refused:
        build(wrong)
    with pytest.raises(Misconfigured, match="detectors"):
        Detectors([spec("ADWIN"), wrong])

    assert "\n" not in str(refused.value)


def test_defaults_fit_their_kind_of_model() -> None:
    """The built-in detectors are never a problem, and at least one watches each kind."""
    for kind in (Kind.BINARY, Kind.MULTICLASS):
        assert [(s.name, s.type, s.signal) for s in default_specs(kind)] == [
            ("adwin", "ADWIN", "error"),
            ("ddm", "DDM", "error"),
        ]
    assert [(s.type, s.signal) for s in default_specs(Kind.REGRESSION)] == [("ADWIN", "error")]
    assert [(s.type, s.signal) for s in default_specs(Kind.ANOMALY)] == [("ADWIN", "prediction")]
    for kind in Kind:
        assert problems(default_specs(kind), kind) == []


def test_detectors_that_could_never_alarm_are_problems() -> None:
    """No error without a label; no 0 or 1 in a regressor's error."""
    specs = [spec("ADWIN"), spec("DDM"), spec("DDM", "prediction")]

    assert problems(specs, Kind.BINARY) == problems(specs, Kind.MULTICLASS) == []
    assert [line.partition(":")[0] for line in problems(specs, Kind.ANOMALY)] == [
        "detectors[0].signal",
        "detectors[1].signal",
    ]
    assert [line.partition(":")[0] for line in problems(specs, Kind.REGRESSION)] == [
        "detectors[1].type"
    ]


@pytest.mark.parametrize(
    ("kind", "before", "after", "told"),
    [
        ("drift", 0.1128, 0.3401, "error rose from 0.11 to 0.34"),
        ("drift", 0.5, 0.049, "error fell from 0.5 to 0.049"),
        ("warning", 0.0, 1.0, "warning: error rose from 0 to 1"),
        ("drift", None, 0.3, "error changed"),
        ("drift", 0.2, 0.2, "error changed"),
        ("drift", 0.1141, 0.1149, "error rose from 0.114 to 0.115"),
        ("drift", 1337.4, 98.6, "error fell from 1337 to 99"),
        ("drift", 0.0000123, 250_000.0, "error rose from 0.000012 to 250000"),
        ("drift", -3.0, -1e20, "error fell from -3 to -1e+20"),
    ],
)
def test_an_alarm_is_told_in_one_plain_line(
    kind: Any, before: float | None, after: float | None, told: str
) -> None:
    """Direction, evidence with as many digits as it takes to differ, detector and place."""
    alarm = Alert(kind, spec("ADWIN"), before, after)

    assert describe(alarm, 0, 1337) == f'{told} (ADWIN "adwin", partition 0, offset 1337)'
