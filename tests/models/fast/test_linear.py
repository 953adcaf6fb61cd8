"""The steps of scaled linear models in one go: river's own, to every bit and byte of the state."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import linear_model, optim, tree
from river import preprocessing as pre

from stream.core import compared
from stream.core.learning.estimator import kind_of
from stream.models.fast import linear, quick
from tests.bits import bits
from tests.core.learning.comparison import restored, told
from tests.models.fast.linear_models import SCALED, state

_NUMBERS = st.one_of(
    st.floats(-1e100, 1e100), st.floats(-9, 9), st.integers(-(2**70), 2**70), st.booleans()
)
_FEATURES = st.dictionaries(st.sampled_from("abcdefgh"), _NUMBERS, min_size=1)
_EVENTS = st.lists(st.tuples(_FEATURES, st.booleans(), st.floats(-1e100, 1e100)), max_size=40)

FUSED: dict[str, Callable[[], Any]] = {
    "not scaled": linear_model.LogisticRegression,
    **SCALED,
}
RIVERS: dict[str, Callable[[], Any]] = {
    "another optimizer": lambda: linear_model.LogisticRegression(optimizer=optim.Adam()),
    "l1": lambda: linear_model.LogisticRegression(l1=0.1),
    "no linear model": tree.HoeffdingTreeClassifier,
}
SCALERS: dict[str, Callable[[], Any]] = {
    "over a window": lambda: pre.StandardScaler(window_size=5),
    "means only": lambda: pre.StandardScaler(with_std=False),
    "another scaler": pre.MinMaxScaler,
}


@pytest.mark.parametrize("make", FUSED.values(), ids=FUSED)
@given(events=_EVENTS)
def test_every_bit_is_rivers(
    make: Callable[[], Any], events: list[tuple[dict[str, Any], bool, float]]
) -> None:
    """Predictions, the state's bytes, and errors with their texts; with numbers of every size."""
    rivers, mine = make(), make()
    kind: str = kind_of(mine)
    methods: Any = quick(mine)
    for features, flag, number in events:
        label = number if kind == "regression" else flag
        method = "predict_one" if kind == "regression" else "predict_proba_one"
        predict, expect = getattr(methods, method), getattr(rivers, method)
        assert told(predict, features) == told(expect, features)
        expected = told(rivers.learn_one, features, label)
        assert told(methods.learn_one, features, label) == expected
        if expected is not None:
            return  # what is left is half changed, and undone by whoever asked for it
        assert state(methods) == state(rivers)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (3, 2), (0.3, 0.7)])
def test_the_logarithmic_loss_of_numbers_is_rivers(weights: tuple[float, float]) -> None:
    """River's looks for arrays first; what it says of two numbers is the same to the sign of 0."""
    loss = optim.losses.Log(*weights)
    gradient, mean = linear._gradient(loss), linear.mean_func(loss)
    for dot in (0.0, -0.0, 1e-300, 0.3, -2.5, 17.9, 18.0, 18.1, -18.0, -18.1, 31.0, -31.0, 1e9):
        assert bits(mean(dot)) == bits(loss.mean_func(dot))
        for label in (False, True):
            assert bits(float(gradient(label, dot))) == bits(float(loss.gradient(label, dot)))


@pytest.mark.parametrize("make", FUSED.values(), ids=FUSED)
def test_these_are_fused(make: Callable[[], Any]) -> None:
    """Also after a restore; or the test above would compare river with itself."""
    for model in (make(), restored(make())):
        last = list(model.steps.values())[-1] if hasattr(model, "steps") else model
        assert quick(last) is not last
        for step in list(getattr(model, "steps", {}).values())[:-1]:
            assert "scale" in linear.learn_and_transform(step).__name__


def test_another_river_keeps_its_own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until somebody has compared the bits, and said so."""
    monkeypatch.setattr(compared, "river_version", "0.26.9")
    scaler, last = pre.StandardScaler(), linear_model.LogisticRegression()

    assert quick(last) is last
    assert linear.learn_and_transform(scaler).__name__ == "one_after_the_other"


@pytest.mark.parametrize("make", RIVERS.values(), ids=RIVERS)
def test_what_has_more_to_it_stays_rivers(make: Callable[[], Any]) -> None:
    """Other penalties and optimizers, and other models."""
    model = make()

    assert not linear.is_plain_linear(model)


@pytest.mark.parametrize("make", SCALERS.values(), ids=SCALERS)
def test_other_scalers_stay_rivers(make: Callable[[], Any]) -> None:
    """They learn and transform one after the other."""
    mine, rivers = make(), make()
    both = linear.learn_and_transform(mine)
    for i in range(20):
        features = {"a": i % 7, "b": float(i * i)}
        found = both(features)
        rivers.learn_one(features)
        assert found == rivers.transform_one(features)
