"""Any bytes give an event or a rejection, and the same one by the fast way and by the slow."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.core.checks import DEPTH_MAX, Checks, is_positive, one_line
from stream.core.codec import Codec
from stream.core.event import Event, Kind, Reason, Rejection
from stream.core.spec import EventShape, Limits
from tests import strategies

UNLIMITED = Limits(value_bytes_max=1 << 24)


def decode(value: bytes | str, kind: Kind = Kind.BINARY, **shape: Any) -> Event | Rejection:
    """Decode under the default limits."""
    raw = value.encode() if isinstance(value, str) else value
    return Codec(EventShape(**shape), Limits(), kind).decode(raw)


def accepted(value: bytes | str, kind: Kind = Kind.BINARY, **shape: Any) -> Event:
    """The event of a value that must be valid."""
    event = decode(value, kind, **shape)
    assert isinstance(event, Event), event
    return event


def reason(value: bytes | str | None, kind: Kind = Kind.BINARY, **shape: Any) -> Reason | None:
    """Why a value is refused; None if it is not."""
    raw = value.encode() if isinstance(value, str) else value
    found = Codec(EventShape(**shape), Limits(), kind).decode(raw)
    return found.reason if isinstance(found, Rejection) else None


def told(found: Event | Rejection) -> Any:
    """All that there is in an event, with types, order and the sign of zero."""
    if isinstance(found, Rejection):
        return found.reason, found.detail
    return [(name, repr(value)) for name, value in found.features.items()], repr(
        (found.id, found.label)
    )


def document(features: str = '{"a": 1}', **fields: str) -> str:
    """A document of JSON texts."""
    parts = {"features": features} | fields
    return "{" + ", ".join(f'"{name}": {text}' for name, text in parts.items()) + "}"


@settings(max_examples=1500, deadline=None)
@given(
    value=strategies.documents(),
    shape=strategies.shapes(),
    limits=strategies.limits(),
    kind=strategies.kinds(),
)
def test_the_fast_way_and_the_slow_way_agree_on_every_input(
    value: bytes, shape: EventShape, limits: Limits, kind: Kind
) -> None:
    """Whatever comes in, the codec gives what the checks alone give, and neither raises."""
    assert told(Codec(shape, limits, kind).decode(value)) == told(
        Checks(shape, limits, kind).decode(value)
    )


@settings(max_examples=300, deadline=None)
@given(value=st.binary(max_size=60), kind=strategies.kinds(), flat=st.booleans())
def test_random_bytes_never_raise(value: bytes, kind: Kind, *, flat: bool) -> None:
    """Bytes at random give an event or a rejection with a reason and one short printable line."""
    found = decode(value, kind, flat=flat)

    if isinstance(found, Rejection):
        assert found.detail.isprintable()
        assert len(found.detail) <= 200


SCALARS = st.one_of(
    st.integers(-(10**15), 10**15),
    st.floats(-1e15, 1e15),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=256),
    st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(
    features=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=128).filter(
            lambda name: name not in {"id", "label"}
        ),
        SCALARS,
        min_size=1,
        max_size=8,
    ),
    flat=st.booleans(),
    ascii_only=st.booleans(),
)
def test_values_are_exactly_what_the_standard_library_reads(
    features: dict[str, Any], *, flat: bool, ascii_only: bool
) -> None:
    """Ints stay ints, floats floats, bools bools, strings strings, in the order they came."""
    whole = features | {"label": True} if flat else {"features": features, "label": True}
    text = json.dumps(whole, ensure_ascii=ascii_only)
    event = accepted(text, flat=flat)

    expected = json.loads(text)
    expected = {k: v for k, v in expected.items() if k != "label"} if flat else expected["features"]
    assert [(k, repr(v)) for k, v in event.features.items()] == [
        (k, repr(v)) for k, v in expected.items()
    ]
    assert event.label is True


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Reason.NOT_JSON),
        ("", Reason.NOT_JSON),
        ("oops", Reason.NOT_JSON),
        ("\ufeff" + document(), Reason.NOT_JSON),
        (document() + "x", Reason.NOT_JSON),
        (document()[:-1], Reason.NOT_JSON),
        (b'{"features": {"a": "\xff"}}', Reason.NOT_UTF8),
        (b'{"features": {"a": "\xed\xa0\x80"}}', Reason.NOT_UTF8),
        (b"\xff\xfe{}", Reason.NOT_UTF8),
        (document('{"a": "\\ud800"}'), Reason.NOT_UTF8),
        (document('{"\\udfff": 1}'), Reason.NOT_UTF8),
        (document(id='"\\ud800"'), Reason.NOT_UTF8),
        ("[]", Reason.NOT_AN_OBJECT),
        ("null", Reason.NOT_AN_OBJECT),
        ("3", Reason.NOT_AN_OBJECT),
        ("NaN", Reason.NOT_AN_OBJECT),
        ("{}", Reason.MISSING_FEATURES),
        ('{"label": true}', Reason.MISSING_FEATURES),
        (document("{}"), Reason.MISSING_FEATURES),
        (document("[1]"), Reason.MISSING_FEATURES),
        (document("null"), Reason.MISSING_FEATURES),
        (document('{"a": null}'), Reason.BAD_FEATURE),
        (document('{"a": [1]}'), Reason.BAD_FEATURE),
        (document('{"a": {"b": 1}}'), Reason.BAD_FEATURE),
        (document(id="true"), Reason.BAD_FEATURE),
        (document(id="1.5"), Reason.BAD_FEATURE),
        (document(id='["x"]'), Reason.BAD_FEATURE),
        (document(id="18446744073709551616"), Reason.BAD_FEATURE),
        (document('{"a": NaN}'), Reason.NOT_FINITE),
        (document('{"a": -Infinity}'), Reason.NOT_FINITE),
        (document('{"a": 1e400}'), Reason.NOT_FINITE),
        (document('{"a": 1e16}'), Reason.OUT_OF_RANGE),
        (document('{"a": 1%s}' % ("0" * 20)), Reason.OUT_OF_RANGE),
        (document('{"a": -%s}' % ("9" * 5000)), Reason.OUT_OF_RANGE),
        (document(label="[true]"), Reason.BAD_LABEL),
        (document(label='{"is": true}'), Reason.BAD_LABEL),
        (document(note="1"), Reason.UNKNOWN_FIELD),
        (document(Label="true"), Reason.UNKNOWN_FIELD),
        (document("[" * 5000 + "]" * 5000), Reason.NOT_JSON),
        ("[" * 60_000, Reason.NOT_JSON),
    ],
)
def test_what_is_wrong_is_told_by_its_reason(value: bytes | str | None, expected: Reason) -> None:
    """Each defect has its reason of the closed set (CONTRACT 3)."""
    assert reason(value) is expected


LIMITS: list[tuple[str, str, Reason]] = [
    (document('{"a": 1e15}'), document('{"a": 1000000000000000.2}'), Reason.OUT_OF_RANGE),
    (document('{"a": -1e15}'), document('{"a": -1000000000000000.2}'), Reason.OUT_OF_RANGE),
    (document(f'{{"a": {10**15}}}'), document(f'{{"a": {10**15 + 1}}}'), Reason.OUT_OF_RANGE),
    (document(f'{{"a": {-(10**15)}}}'), document(f'{{"a": {-(10**15) - 1}}}'), Reason.OUT_OF_RANGE),
    (document(f'{{"a": "{"é" * 256}"}}'), document(f'{{"a": "{"é" * 257}"}}'), Reason.BAD_FEATURE),
    (document(f'{{"{"é" * 128}": 1}}'), document(f'{{"{"é" * 129}": 1}}'), Reason.BAD_FEATURE),
    (document(id=f'"{"i" * 256}"'), document(id=f'"{"i" * 257}"'), Reason.BAD_FEATURE),
    (
        document(json.dumps(dict.fromkeys(map(str, range(256)), 1))),
        document(json.dumps(dict.fromkeys(map(str, range(257)), 1))),
        Reason.TOO_MANY_FEATURES,
    ),
    (document().ljust(65_536), document().ljust(65_537), Reason.TOO_LARGE),
]


@pytest.mark.parametrize(("at", "beyond", "expected"), LIMITS, ids=range(len(LIMITS)))
def test_limits_are_inclusive(at: str, beyond: str, expected: Reason) -> None:
    """What is exactly at a limit passes; one more does not."""
    assert reason(at) is None
    assert reason(beyond) is expected


@pytest.mark.parametrize(
    ("label", "kinds"),
    [
        ("true", {Kind.BINARY, Kind.MULTICLASS, Kind.ANOMALY}),
        ("3", {Kind.MULTICLASS, Kind.REGRESSION, Kind.ANOMALY}),
        ("2.5", {Kind.REGRESSION, Kind.ANOMALY}),
        ("1.0", {Kind.REGRESSION, Kind.ANOMALY}),
        ('"UP"', {Kind.MULTICLASS, Kind.ANOMALY}),
        ("null", set(Kind)),
    ],
)
def test_a_label_must_fit_the_model(label: str, kinds: set[Kind]) -> None:
    """Bools for models of two classes, no fractions for classes, numbers for regressors."""
    for kind in Kind:
        for flat in (False, True):
            value = f'{{"a": 1, "label": {label}}}' if flat else document(label=label)
            found = reason(value, kind, flat=flat)
            assert found is (None if kind in kinds else Reason.BAD_LABEL)
            if found is None:
                assert repr(accepted(value, kind, flat=flat).label) == repr(json.loads(label))


@pytest.mark.parametrize("kind", list(Kind))
def test_a_label_has_the_limits_of_a_feature(kind: Kind) -> None:
    """Endless numbers and strings are no labels, even where nobody learns from them."""
    assert reason(document(label="1e16"), kind) is not None
    assert reason(document(label="NaN"), kind) is Reason.NOT_FINITE
    assert reason(document(label=f'"{"x" * 257}"'), kind) is Reason.BAD_LABEL
    assert reason(document(label='"\\ud800"'), kind) is Reason.NOT_UTF8


def test_a_positive_value_makes_labels_true_or_false() -> None:
    """With `events.positive` that value is true, any other false, and no label stays unknown."""
    for kind in (Kind.BINARY, Kind.MULTICLASS):
        assert accepted(document(label='"UP"'), kind, positive="UP").label is True
        assert accepted(document(label='"DOWN"'), kind, positive="UP").label is False
        assert accepted(document(label="0.5"), kind, positive="UP").label is False
        assert accepted(document(label="null"), kind, positive="UP").label is None
        assert accepted(document(), kind, positive="UP").label is None
        assert reason(document(label="[]"), kind, positive="UP") is Reason.BAD_LABEL
    assert accepted(document(label="2.5"), Kind.REGRESSION, positive=1).label == 2.5
    assert accepted(document(label='"UP"'), Kind.ANOMALY, positive="UP").label == "UP"


@pytest.mark.parametrize(
    ("positive", "yes", "no"),
    [
        (1, [1, 1.0, "1", True], [0, 2, "1.0", "yes", False]),
        ("1", [1, 1.0, "1"], [0, "1.0", True]),
        (1.0, [1, 1.0, "1"], ["1.0", "one"]),
        (True, [True, "true", "True", 1], [False, "yes", "1"]),
        ("True", [True, "True"], ["true", 1]),
        ("UP", ["UP"], ["up", True, 1]),
        (0, [0, 0.0, False, "0"], [1, "", True]),
    ],
)
def test_a_positive_value_is_met_however_it_is_written(
    positive: Any, yes: list[Any], no: list[Any]
) -> None:
    """A CSV knows no types: 1, 1.0 and "1" are one label; a string stays as it is spelt."""
    assert all(is_positive(label, positive) for label in yes)
    assert not any(is_positive(label, positive) for label in no)


@pytest.mark.parametrize("flat", [False, True])
def test_of_a_duplicate_key_the_last_one_counts(*, flat: bool) -> None:
    """Valid or not, what was written first is forgotten, in features and at the top level."""
    put = "{%s}" if flat else '{"features": {%s}}'
    for first in ("1", "null", "NaN", "[[1]]", '"\\ud800"', "9" * 500):
        event = accepted(put % f'"a": {first}, "b": 2, "a": 3', flat=flat)
        assert list(event.features.items()) == [("a", 3), ("b", 2)]
    assert reason(put % '"a": 1, "a": null', flat=flat) is Reason.BAD_FEATURE

    top = '{"a": 1, %s}' if flat else '{"features": {"a": 1}, %s}'
    assert accepted(top % '"label": "?", "label": true', flat=flat).label is True
    assert reason(top % '"label": true, "label": "?"', flat=flat) is Reason.BAD_LABEL
    assert accepted(top % '"id": [], "id": "x"', flat=flat).id == "x"
    assert accepted('{"features": [], "features": {"a": 1}}').features == {"a": 1}
    assert reason('{"features": {"a": 1}, "features": []}') is Reason.MISSING_FEATURES


def test_repeated_keys_count_once_against_the_limit() -> None:
    """256 features are allowed, however often they were written."""
    many = ", ".join(f'"{index % 256}": {index}' for index in range(300))

    assert len(accepted(document("{" + many + "}")).features) == 256


def test_an_id_is_a_string_or_a_whole_number() -> None:
    """The id is published as a string; integers of 64 bits are written as one."""
    assert accepted(document(id='"a-17"')).id == "a-17"
    assert accepted(document(id='""')).id == ""
    assert accepted(document(id="null")).id is None
    assert accepted(document()).id is None
    assert accepted(document(id="17")).id == "17"
    assert accepted(document(id="18446744073709551615")).id == "18446744073709551615"
    assert accepted(document(id="-9223372036854775808")).id == "-9223372036854775808"
    assert accepted('{"a": 1, "id": 18446744073709551615}', flat=True).id == "18446744073709551615"


def test_other_names_for_the_fields() -> None:
    """`[events]` names where id, label and features are; the usual names mean nothing then."""
    shape: dict[str, Any] = {"id": "order_id", "label": "is_fraud", "features": "x"}
    event = accepted('{"x": {"a": 1}, "order_id": "o", "is_fraud": true}', **shape)

    assert (event.features, event.id, event.label) == ({"a": 1}, "o", True)
    assert reason('{"x": {"a": 1}, "label": true}', **shape) is Reason.UNKNOWN_FIELD
    assert reason('{"features": {"a": 1}}', extra="ignore", **shape) is Reason.MISSING_FEATURES


@pytest.mark.parametrize("name", ['a "b"', "back\\slash", "new\nline", "é", " "])
def test_a_field_may_have_any_name(name: str) -> None:
    """Also one that msgspec does not take as a field's name."""
    value = json.dumps({"features": {"a": 1}, name: True})

    assert accepted(value, label=name).label is True
    assert accepted(value, ignore=frozenset({name})).label is None


def test_flat_objects_are_features_but_for_id_label_and_ignored_fields() -> None:
    """With `features = "*"` an upstream's own rows are events."""
    shape: dict[str, Any] = {"flat": True, "id": "order", "ignore": frozenset({"note", "deep"})}
    event = accepted(
        '{"a": 1, "order": 7, "label": false, "note": null, "deep": [{"x": []}], "b": "s"}', **shape
    )

    assert event == Event(features={"a": 1, "b": "s"}, id="7", label=False)
    assert reason('{"order": 7, "label": false}', **shape) is Reason.MISSING_FEATURES
    assert reason('{"a": null}', **shape) is Reason.BAD_FEATURE
    assert reason('{"a": 1, "b": {"c": 2}}', **shape) is Reason.BAD_FEATURE
    assert accepted('{"features": 1}', flat=True).features == {"features": 1}


def test_ignored_fields_are_dropped_unseen() -> None:
    """Whatever an ignored field holds, it decides nothing; other fields are refused as before."""
    for text in ("null", "[1, {}]", "NaN", "9" * 5000, '"\\ud800"', "[" * 98 + "]" * 98):
        event = accepted(document(note=text), ignore=frozenset({"note"}))
        assert event.features == {"a": 1}
        assert accepted(document(note=text, other=text), extra="ignore").features == {"a": 1}
    assert reason(document(other="1"), ignore=frozenset({"note"})) is Reason.UNKNOWN_FIELD
    assert reason(document(note="oops"), extra="ignore") is Reason.NOT_JSON
    assert reason(b'{"features": {"a": 1}, "x": "\xff"}', extra="ignore") is Reason.NOT_UTF8


@pytest.mark.parametrize("shape", [{"extra": "ignore"}, {"ignore": frozenset({"note"})}])
def test_the_depth_of_the_stack_decides_nothing(shape: dict[str, Any]) -> None:
    """A replay runs on another stack than the worker; the limit of nesting is our own."""
    inner = DEPTH_MAX - 1  # the document itself is one
    codec = Codec(EventShape(**shape), UNLIMITED, Kind.BINARY)
    at = document(note="[" * inner + "]" * inner).encode()
    beyond = document(note="[" * (inner + 1) + "]" * (inner + 1)).encode()
    brackets = document(note=json.dumps("[{" * 5000 + '"\\')).encode()

    def deep(levels: int) -> list[Any]:
        if levels:
            return deep(levels - 1)
        return [told(codec.decode(value)) for value in (at, beyond, brackets)]

    assert deep(0) == deep(700)
    (_, _), (found, _), (_, _) = deep(0)
    assert found is Reason.NOT_JSON
    assert isinstance(codec.decode(at), Event)
    assert isinstance(codec.decode(brackets), Event)


def test_wide_limits_are_kept_too() -> None:
    """The configuration allows magnitudes up to 1e75; whole numbers keep all their digits."""
    codec = Codec(EventShape(), Limits(magnitude_max=1e75), Kind.REGRESSION)
    huge = 10**74 + 1
    event = codec.decode(document(f'{{"a": {huge}, "b": 1e75}}', label=str(huge)).encode())

    assert isinstance(event, Event)
    assert event.features == {"a": huge, "b": 1e75}
    assert event.label == huge
    beyond = codec.decode(document('{"a": 1.01e75}').encode())
    assert isinstance(beyond, Rejection)
    assert beyond.reason is Reason.OUT_OF_RANGE


def test_a_flood_of_new_names_is_decoded_as_ever() -> None:
    """What the codec remembers of names is bounded, and only a short cut."""
    codec = Codec(EventShape(), Limits(name_chars_max=6), Kind.BINARY)
    found = [codec.decode(document(f'{{"n{i}": 1}}').encode()) for i in range(30_000)]

    assert all(isinstance(event, Event) for event in found)
    again = codec.decode(document('{"n0": 2, "1234567": 1}').encode())
    assert isinstance(again, Rejection)
    assert again.reason is Reason.BAD_FEATURE


def test_details_are_one_short_printable_line() -> None:
    """A detail travels in a header and in logs: nothing in it may break a line or flood."""
    found = decode(document('{"evil\\n\\u001b[31m%s": null}' % ("x" * 100)))

    assert isinstance(found, Rejection)
    assert "evil??[31m" in found.detail
    assert one_line("x" * 201) == "x" * 197 + "..."
    assert one_line("x" * 200) == "x" * 200
    assert one_line("a\r\nb\u2028c\ud800") == "a??b?c?"


def test_zero_keeps_its_sign_where_json_has_one() -> None:
    """-0.0 is a float with its sign; -0 is the integer zero."""
    event = accepted(document('{"a": -0.0, "b": -0, "c": 1e-400}'))

    assert math.copysign(1.0, event.features["a"]) == -1.0
    assert event.features["b"].__class__ is int
    assert event.features["c"] == 0.0
