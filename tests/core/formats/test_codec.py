"""Any bytes give an event or a rejection, and the same one by the fast way and by the slow."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.core.event import Event, Kind, Reason, Rejection
from stream.core.formats.checks import DEPTH_MAX, Checks, one_line
from stream.core.formats.codec import Codec
from stream.core.spec import EventShape, Limits
from tests import strategies
from tests.decoding import accepted, decode, document, reason, told

UNLIMITED = Limits(value_bytes_max=1 << 24)


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
        (document('{"a": null}'), Reason.MISSING_FEATURES),
        (document('{"a": [1]}'), Reason.BAD_FEATURE),
        (document('{"a": {"b": 1}}'), Reason.BAD_FEATURE),
        (document(id="true"), Reason.BAD_ID),
        (document(id="1.5"), Reason.BAD_ID),
        (document(id='["x"]'), Reason.BAD_ID),
        (document(id="18446744073709551616"), Reason.BAD_ID),
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
    """Each defect has its reason of the closed set."""
    assert reason(value) is expected


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (document(id="1.0"), '"id" is a JSON number with a point or an exponent; '),
        (document(id="true"), '"id" is a JSON boolean; an id is a string or an integer'),
        (document("null"), '"features" is null, not an object'),
        ('{"label": true}', '"features" is absent, not an object'),
    ],
)
def test_a_sender_is_told_what_is_allowed(value: str, detail: str) -> None:
    """1.0 is a number like the 1 that is allowed, and null is not absent."""
    assert told(decode(value))[1].startswith(detail)


LIMITS: list[tuple[str, str, Reason]] = [
    (document('{"a": 1e15}'), document('{"a": 1000000000000000.2}'), Reason.OUT_OF_RANGE),
    (document('{"a": -1e15}'), document('{"a": -1000000000000000.2}'), Reason.OUT_OF_RANGE),
    (document(f'{{"a": {10**15}}}'), document(f'{{"a": {10**15 + 1}}}'), Reason.OUT_OF_RANGE),
    (document(f'{{"a": {-(10**15)}}}'), document(f'{{"a": {-(10**15) - 1}}}'), Reason.OUT_OF_RANGE),
    (document(f'{{"a": "{"é" * 256}"}}'), document(f'{{"a": "{"é" * 257}"}}'), Reason.BAD_FEATURE),
    (document(f'{{"{"é" * 128}": 1}}'), document(f'{{"{"é" * 129}": 1}}'), Reason.BAD_FEATURE),
    (document(id=f'"{"i" * 256}"'), document(id=f'"{"i" * 257}"'), Reason.BAD_ID),
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
    found = decode(document('{"evil\\n\\u001b[31m%s": []}' % ("x" * 100)))

    assert isinstance(found, Rejection)
    assert "evil??[31m" in found.detail
    assert one_line("x" * 201) == "x" * 197 + "..."
    assert one_line("x" * 200) == "x" * 200
    assert one_line("a\r\nb\u2028c\ud800") == "a??b?c?"


def test_a_byte_order_mark_is_called_by_its_name() -> None:
    """Editors and spreadsheets on Windows write one; the parser's words for it help nobody."""
    assert decode("\ufeff" + document()) == Rejection(
        Reason.NOT_JSON, "begins with a byte order mark"
    )


def test_an_empty_value_is_called_by_its_name() -> None:
    """Nothing came: the parser's words, line 1 column 1, send people to look for a typo."""
    assert decode(b"") == Rejection(Reason.NOT_JSON, "an empty value")


def test_zero_keeps_its_sign_where_json_has_one() -> None:
    """-0.0 is a float with its sign; -0 is the integer zero."""
    event = accepted(document('{"a": -0.0, "b": -0, "c": 1e-400}'))

    assert math.copysign(1.0, event.features["a"]) == -1.0
    assert event.features["b"].__class__ is int
    assert event.features["c"] == 0.0


@pytest.mark.parametrize(
    ("value", "reason", "hint"),
    [
        (b'\x00\x00\x00\x00*{"a": 1}', Reason.NOT_JSON, "schema id 42, JSON inside"),
        (b"\x00\x00\x01\x00\x00\x06abc", Reason.NOT_JSON, "schema id 65536, Avro or Protobuf"),
        (b"\x00\x00\x00\x00*\x06\xff\xfe", Reason.NOT_UTF8, "schema id 42, Avro or Protobuf"),
        (b"\x00\x00\x00\x01\x86\x02x", Reason.NOT_UTF8, "schema id 390"),
        (b"Obj\x01\x04", Reason.NOT_JSON, "looks like an Avro file"),
        (b"\x1f\x8b\x08\x00", Reason.NOT_UTF8, "looks like gzip"),
        ('{"a": 1}'.encode("utf-16"), Reason.NOT_UTF8, "looks like UTF-16"),
    ],
)
def test_what_is_no_json_is_told_what_it_looks_like(
    value: bytes, reason: Reason, hint: str
) -> None:
    """A registry's serializer, or compression of the sender's own: the detail says what to do."""
    for flat in (False, True):
        found = decode(value, flat=flat)
        assert isinstance(found, Rejection)
        assert found.reason is reason
        assert hint in found.detail
        assert len(found.detail) < 200, "the advice would be cut"


def test_what_reminds_of_nothing_gets_no_hint() -> None:
    """A broken document is a broken document."""
    for value in (b"oops", b"\x00", b"\x00\x00\x00\x00*", b"\xff", b""):
        found = decode(value)
        assert isinstance(found, Rejection)
        assert "looks like" not in found.detail
