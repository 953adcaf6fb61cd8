"""What strings, bools and numbers become before a model sees them."""

import copy
import pickle
import random
from collections.abc import Callable
from typing import Any

import pytest
from river import preprocessing

from stream.models.encoders import MixedScaler, NormLimiter, UnitScaler
from stream.models.nominal import NominalCoder, NominalNames
from stream.models.vocabulary import VALUES_MAX, Vocabulary

ENCODERS: list[Any] = [
    MixedScaler(),
    MixedScaler(clip=2.0, constant=True),
    MixedScaler(nominal=True),
    NominalCoder(),
    UnitScaler(),
]


def numeric_events(count: int) -> list[dict[str, Any]]:
    """Numbers of every kind, one constant, one that is often missing."""
    rng = random.Random(5)
    events: list[dict[str, Any]] = []
    for _ in range(count):
        event = {
            "real": rng.gauss(40.0, 3.0),
            "whole": rng.randrange(-5, 10**6),
            "flag": rng.random() < 0.1,
            "constant": 7,
            "large": rng.choice([1e15, -1e15, 0.1]),
        }
        if rng.random() < 0.5:
            event["rare"] = rng.random()
        events.append(event)
    return events


@pytest.mark.parametrize(
    "make",
    [
        MixedScaler,
        lambda: MixedScaler(categories_max=2, clip=2.0, constant=True),
        lambda: MixedScaler(nominal=True),
        NominalCoder,
        lambda: NominalCoder(categories_max=2, names_max=4),
    ],
    ids=["plain", "clipped", "nominal", "coded", "coded, few names"],
)
def test_learning_and_transforming_in_one_go_changes_nothing(
    make: Callable[[], MixedScaler | NominalCoder],
) -> None:
    """Not a bit of what comes out, nor of what is kept."""
    both, one_by_one = make(), make()
    rng = random.Random(7)
    for event in numeric_events(500):
        mixed = {**event, "color": rng.choice(["red", "green", "blue"])}
        found = both.learn_and_transform_one(mixed)
        one_by_one.learn_one(mixed)

        assert repr(found) == repr(one_by_one.transform_one(mixed))
        assert pickle.dumps(both) == pickle.dumps(one_by_one)


@pytest.mark.parametrize(
    ("ours", "rivers"),
    [
        (MixedScaler(), preprocessing.StandardScaler()),
        (UnitScaler(), preprocessing.MinMaxScaler()),
    ],
)
def test_numbers_are_scaled_bit_for_bit_as_by_river(ours: Any, rivers: Any) -> None:
    """On numbers that were learned once, our scalers are river's."""
    for event in numeric_events(500):
        ours.learn_one(event)
        rivers.learn_one(event)

        got, want = ours.transform_one(event), rivers.transform_one(event)

        assert list(got.items()) == list(want.items())


def test_a_string_becomes_a_column_of_its_own() -> None:
    """One-hot columns are named after feature and value, and are not scaled."""
    scaler = MixedScaler()
    scaler.learn_one({"day": "Monday", "price": 3})

    assert scaler.transform_one({"day": "Monday", "price": 3}) == {"day=Monday": 1.0, "price": 0.0}


def test_only_the_first_categories_are_told_apart() -> None:
    """Beyond the cap values share one column; the order of learning decides, nothing else."""
    scaler = MixedScaler(categories_max=2)
    for value in ("c", "a", "b", "a", "d"):
        scaler.learn_one({"x": value})

    columns = [list(scaler.transform_one({"x": value}))[0] for value in "abcd?"]  # noqa: RUF015

    assert columns == ["x=a", "x≠", "x=c", "x≠", "x≠"]


def test_a_vocabulary_is_bounded_over_all_features() -> None:
    """However many features bring however many strings, the codes stay under VALUES_MAX."""
    vocabulary = Vocabulary(categories_max=100)
    codes = [
        vocabulary.learn(f"feature {feature}", f"value {value}")
        for feature in range(120)
        for value in range(110)
    ]

    assert sum(code > 0 for code in codes) == VALUES_MAX


def test_a_negative_cap_is_refused() -> None:
    """A cap below 0 means nothing."""
    with pytest.raises(ValueError, match="categories_max"):
        MixedScaler(categories_max=-1)


def test_codes_are_nominal_and_numbers_are_not() -> None:
    """Trees are told apart by the name: `carrier (text)` is nominal, `distance` is not."""
    coder = NominalCoder()
    coder.learn_one({"carrier": "AA", "distance": 5})

    coded = coder.transform_one({"carrier": "AA", "distance": 5})

    assert coded == {"carrier (text)": 1, "distance": 5}
    assert [name in NominalNames() for name in coded] == [True, False]


def test_a_feature_may_be_a_number_and_then_a_string() -> None:
    """Number and string of one name are two features, so no model adds a string to a mean."""
    coder = NominalCoder()
    for event in ({"x": 1.5}, {"x": "high"}):
        coder.learn_one(event)

    assert coder.transform_one({"x": 2}) | coder.transform_one({"x": "high"}) == {
        "x": 2,
        "x (text)": 1,
    }


def test_a_rare_string_lies_near_zero_and_a_common_one_near_one() -> None:
    """The unit scaler gives a string its relative frequency."""
    scaler = UnitScaler()
    for value in ("ok", "ok", "ok", "failed"):
        scaler.learn_one({"state": value})

    places = [scaler.transform_one({"state": value}) for value in ("ok", "failed", "new")]

    assert places == [{"state (text)": 0.75}, {"state (text)": 0.25}, {"state (text)": 0.0}]


def test_clipping_bounds_numbers_and_spares_codes() -> None:
    """A rare flag lies far off; it comes as the bound. Codes are names, not sizes."""
    scaler = MixedScaler(clip=3.0, nominal=True)
    for index in range(400):
        scaler.learn_one({"flag": index == 399, "word": f"w{index % 50}"})

    assert scaler.transform_one({"flag": True, "word": "w40"}) == {"flag": 3.0, "word (text)": 41}


def test_a_long_vector_keeps_its_direction() -> None:
    """The limiter shortens to the norm; a short vector goes through as it is."""
    limiter = NormLimiter(5.0)
    short = {"a": 3.0, "b": -4.0}

    assert limiter.transform_one(short) is short
    assert limiter.transform_one({"a": 6.0, "b": -8.0}) == {"a": 3.0, "b": -4.0}


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
def test_predicting_changes_nothing(encoder: Any) -> None:
    """Transforming the known and the unknown leaves state and input as they were."""
    encoder = encoder.clone()
    known = {"x": 1.0, "s": "a", "b": True}
    unknown = {"x": 9.0, "s": "z", "new": 4, "t": "u"}
    encoder.learn_one(known)
    state = copy.deepcopy(vars(encoder)["_vocabulary"].__dict__), pickle.dumps(encoder)

    for event in (known, unknown):
        before = dict(event)
        encoder.transform_one(event)
        assert event == before

    assert (vars(encoder)["_vocabulary"].__dict__, pickle.dumps(encoder)) == state


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
def test_a_clone_has_the_parameters_and_none_of_the_past(encoder: Any) -> None:
    """River clones models wherever it makes ensembles or resets."""
    taught = encoder.clone()
    for index in range(20):
        taught.learn_one({"x": index, "s": str(index)})

    assert repr(taught.clone()) == repr(encoder)
    assert taught.clone().transform_one({"x": 3, "s": "3"}) == encoder.transform_one(
        {"x": 3, "s": "3"}
    )
