"""An upstream's shape becomes an event by configuration: fields, labels, ids, repeated keys."""

import json
from typing import Any

import pytest

from stream.core.event import Event, Kind, Reason, Rejection
from stream.core.formats.positive import is_positive
from tests.decoding import accepted, decode, document, reason


@pytest.mark.parametrize(
    ("label", "kinds"),
    [
        ("true", {Kind.BINARY, Kind.MULTICLASS, Kind.ANOMALY}),
        ("3", {Kind.MULTICLASS, Kind.REGRESSION, Kind.ANOMALY}),
        ("2.5", {Kind.REGRESSION, Kind.ANOMALY}),
        ("1.0", {Kind.MULTICLASS, Kind.REGRESSION, Kind.ANOMALY}),
        ('"UP"', {Kind.MULTICLASS, Kind.ANOMALY}),
        ("null", set(Kind)),
    ],
)
def test_a_label_must_fit_the_model(label: str, kinds: set[Kind]) -> None:
    """Bools for two classes, whole numbers and no fractions for more, numbers for regressors."""
    for kind in Kind:
        for flat in (False, True):
            value = f'{{"a": 1, "label": {label}}}' if flat else document(label=label)
            found = reason(value, kind, flat=flat)
            assert found is (None if kind in kinds else Reason.BAD_LABEL)
            if found is None:
                written = "1" if (label, kind) == ("1.0", Kind.MULTICLASS) else label
                assert repr(accepted(value, kind, flat=flat).label) == repr(json.loads(written))


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
        (1, [1, 1.0, "1", "1.0", "1e0", True], [0, 2, "01", "+1", " 1", "yes", "", False]),
        ("1", [1, 1.0, "1"], [0, "1.0", True]),
        ("1.0", [1, 1.0, "1.0"], ["1", 2, True]),
        (1.0, [1, 1.0, "1", "1.0"], ["1.5", "one", "9" * 50]),
        (2**60 + 1, [2**60 + 1, str(2**60 + 1)], [2**60, "1"]),
        (True, [True, "true", "True", 1], [False, "yes", "1"]),
        ("True", [True, "True"], ["true", 1]),
        ("UP", ["UP"], ["up", True, 1]),
        (0, [0, 0.0, False, "0"], [1, "", True]),
    ],
)
def test_a_positive_value_is_met_however_it_is_written(
    positive: Any, yes: list[Any], no: list[Any]
) -> None:
    """A CSV knows no types: 1, 1.0, "1" and "1.0" are one number; other strings are as spelt."""
    assert all(is_positive(label, positive) for label in yes)
    assert not any(is_positive(label, positive) for label in no)


@pytest.mark.parametrize("flat", [False, True])
def test_of_a_duplicate_key_the_last_one_counts(*, flat: bool) -> None:
    """Valid or not, what was written first is forgotten, in features and at the top level."""
    put = "{%s}" if flat else '{"features": {%s}}'
    for first in ("1", "null", "NaN", "[[1]]", '"\\ud800"', "9" * 500):
        event = accepted(put % f'"a": {first}, "b": 2, "a": 3', flat=flat)
        assert list(event.features.items()) == [("a", 3), ("b", 2)]
    assert reason(put % '"a": 1, "a": null', flat=flat) is Reason.MISSING_FEATURES

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
    assert reason('{"a": null}', **shape) is Reason.MISSING_FEATURES
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


@pytest.mark.parametrize("flat", [False, True])
def test_a_feature_that_is_null_is_not_there(*, flat: bool) -> None:
    """Missing values are life: the event counts, with the features that it brings."""
    put = (
        '{%s, "id": "a", "label": true}' if flat else '{"features": {%s}, "id": "a", "label": true}'
    )
    event = accepted(put % '"a": null, "b": 1.5, "c": null, "d": "s"', flat=flat)

    assert list(event.features.items()) == [("b", 1.5), ("d", "s")]
    assert (event.id, event.label) == ("a", True)
    assert accepted(put % f'"{"x" * 500}": null, "b": 1', flat=flat).features == {"b": 1}
    many = ", ".join(f'"n{i}": null' for i in range(1000))
    assert accepted(put % f'{many}, "b": 1', flat=flat).features == {"b": 1}
    assert accepted(put % '"a": 1, "a": null, "b": 2', flat=flat).features == {"b": 2}
    assert accepted(put % '"a": null, "a": 1', flat=flat).features == {"a": 1}
    assert reason(put % '"a": null, "b": [null]', flat=flat) is Reason.BAD_FEATURE
    assert reason(put % '"a": null, "b": "null\\ud800"', flat=flat) is Reason.NOT_UTF8


@pytest.mark.parametrize("flat", [False, True])
def test_an_event_whose_features_are_all_null_has_none(*, flat: bool) -> None:
    """It is refused, and the detail says that something was there."""
    found = decode('{"a": null, "b": null}' if flat else '{"features": {"a": null}}', flat=flat)

    assert found == Rejection(Reason.MISSING_FEATURES, "no features: all are null")
    assert decode("{}" if flat else '{"features": {}}', flat=flat) == Rejection(
        Reason.MISSING_FEATURES, "no features"
    )


@pytest.mark.parametrize("flat", [False, True])
def test_a_null_feature_is_refused_where_that_is_configured(*, flat: bool) -> None:
    """`events.missing = "refuse"`, for upstreams in whose data a null is a fault."""
    for kind in Kind:
        found = decode(
            '{"a": null, "b": 1}' if flat else '{"features": {"a": null, "b": 1}}',
            kind, flat=flat, missing="refuse",
        )  # fmt: skip
        assert found == Rejection(Reason.BAD_FEATURE, 'feature "a" is a JSON null')


@pytest.mark.parametrize("flat", [False, True])
def test_what_a_pipeline_demands_of_features_is_looked_at_before_the_model(flat: bool) -> None:
    """`events.require` and `events.types`; a null is no value, and an absent one has no type."""
    shape: dict[str, Any] = {
        "flat": flat, "require": ("a",), "types": (("a", "number"), ("b", "string")),
    }  # fmt: skip

    def found(features: dict[str, Any]) -> Reason | None:
        value = json.dumps(features if flat else {"features": features})
        return reason(value, Kind.BINARY, **shape)

    assert found({"a": 1, "b": "x"}) is None
    assert found({"a": 1.5, "c": True}) is None
    assert found({"a": 1, "b": None}) is None
    for features in ({"b": "x"}, {"a": None, "b": "x"}, {"a": True}, {"a": "1"}, {"a": 1, "b": 2}):
        assert found(features) is Reason.BAD_FEATURE, features
    refused = decode(json.dumps({"a": 1, "b": 2} if flat else {"features": {"a": 1, "b": 2}}),
                     Kind.BINARY, **shape)  # fmt: skip
    assert isinstance(refused, Rejection)
    assert refused.detail == 'feature "b" is a JSON number, not a string'
