"""Scaled linear models on rows of numbers: river's own, to every bit and byte of the state."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import compose, linear_model
from river import preprocessing as pre

from stream.core import compared
from stream.core.learning.estimator import kind_of
from stream.models.encoders import MixedScaler
from stream.models.fast import quick, row, scaled_linear
from stream.models.fast.scaled_linear import FusedLinear, is_fused_linear
from tests.bits import bits
from tests.core.learning.comparison import restored, told
from tests.models.fast.linear_models import SCALED, state


class Halving(MixedScaler):
    """A user's own, which has only one method of its own."""

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """Half of what it is derived from gives."""
        return {name: value / 2 for name, value in super().transform_one(x).items()}


MODELS: dict[str, Callable[[], Any]] = {
    "strings too": lambda: compose.Pipeline(MixedScaler(), linear_model.LogisticRegression()),
    "numbers selected": lambda: (
        compose.SelectType(int, float) | pre.StandardScaler() | linear_model.LogisticRegression()
    ),
    "a pipeline inside": lambda: compose.Pipeline(
        compose.SelectType(int, float),
        compose.Pipeline(pre.StandardScaler(), linear_model.LogisticRegression()),
    ),
    **SCALED,
}
OTHERS: dict[str, tuple[Any, Any]] = {
    "a window": (pre.StandardScaler(window_size=5), linear_model.LogisticRegression()),
    "means only": (pre.StandardScaler(with_std=False), linear_model.LogisticRegression()),
    "another scaler": (pre.MinMaxScaler(), linear_model.LogisticRegression()),
    "clipped": (MixedScaler(clip=5.0), linear_model.LinearRegression()),
    "with a constant": (MixedScaler(constant=True), linear_model.LogisticRegression()),
    "a derived one": (Halving(), linear_model.LogisticRegression()),
    "a penalty": (pre.StandardScaler(), linear_model.LogisticRegression(l1=0.1)),
    "another model": (pre.StandardScaler(), linear_model.PAClassifier()),
}


def _with_words_of_before() -> Any:
    scaler = MixedScaler(categories_max=3)
    for word in "stuv":
        scaler.learn_one({"b": word})
    return compose.Pipeline(scaler, linear_model.LogisticRegression())


MIXED: dict[str, Callable[[], Any]] = {
    "few told apart": lambda: compose.Pipeline(
        MixedScaler(categories_max=2), linear_model.LogisticRegression()
    ),
    "none told apart": lambda: compose.Pipeline(
        MixedScaler(categories_max=0), linear_model.LogisticRegression()
    ),
    "all told apart": MODELS["strings too"],
    "learned before": _with_words_of_before,
    "l2": lambda: compose.Pipeline(MixedScaler(), linear_model.LogisticRegression(l2=0.1)),
    "derived": lambda: compose.Pipeline(Halving(), linear_model.LogisticRegression()),
}

_NUMBERS = st.one_of(
    st.floats(-9, 9), st.floats(-1e100, 1e100), st.integers(-(2**70), 2**70), st.booleans()
)
_HARD = st.one_of(_NUMBERS, st.just(10**400), st.sampled_from(["s", "t"]))
_WORDS = st.sampled_from(["s", "t", "u", "a", ""])
_WHAT = ["both", "both", "both", "predict", "learn", "restore", "twice", "the one before"]
"""Done with an event; "twice" learns it so often, "the one before" is learned in its place."""
Event = tuple[dict[str, Any], bool, float, str]


@st.composite
def _runs(draw: st.DrawFn, names: str, kinds: list[st.SearchStrategy[Any]]) -> list[Event]:
    """Events in runs with the same names, whose values are of one kind, or of any."""
    events = []
    for _ in range(draw(st.integers(1, 4))):
        chosen = draw(st.lists(st.sampled_from(names.split()), min_size=1, unique=True))
        values = {name: draw(st.sampled_from(kinds)) for name in chosen}
        for _ in range(draw(st.integers(1, 8))):
            features = {name: draw(value) for name, value in values.items()}
            what = draw(st.sampled_from(_WHAT))
            events.append((features, draw(st.booleans()), draw(st.floats(-1e9, 1e9)), what))
    return events


class _Mine:
    """A model as a fold has it."""

    def __init__(self, model: Any) -> None:
        self.kind = kind_of(model)
        self.predicts = "predict_one" if self.kind == "regression" else "predict_proba_one"
        self._bind(model)

    def _bind(self, model: Any) -> None:
        quickened: Any = quick(model)
        self.model, self.learn = quickened, quickened.learn_one
        self.predict = getattr(quickened, self.predicts)

    def row_n(self) -> int:
        """Values in the row; 0: there is none."""
        fusing = self.learn.__self__
        assert isinstance(fusing, FusedLinear)
        return len(fusing._names or ())

    def restore(self) -> None:
        """Go on from the pickled state."""
        self._bind(restored(self.model))


@pytest.fixture(autouse=True, scope="module")
def rows() -> Iterator[list[int]]:
    """The widths of the rows that were made: two events with the same names make one."""
    made: list[int] = []

    def make(kinds: str, values: row.Values, *, l2: float) -> row.Row:
        made.append(len(kinds))
        return real(kinds, values, l2=l2)

    with pytest.MonkeyPatch.context() as patch:
        real = row.make
        patch.setattr(row, "make", make)
        patch.setattr(scaled_linear, "SAME_N", 1)
        yield made


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@given(events=_runs("a b c d", [_NUMBERS, _NUMBERS, _HARD, st.just(1.5)]))
def test_every_bit_is_rivers(make: Callable[[], Any], events: list[Event]) -> None:
    """Predictions, errors with their texts, and the state's bytes, restored in between or not."""
    _compare(make, events)


@pytest.mark.parametrize("make", MIXED.values(), ids=MIXED)
@given(events=_runs("a b c a=b a=s a≠", [_NUMBERS, _WORDS, _WORDS, _HARD]))
def test_words_change_no_bit(make: Callable[[], Any], events: list[Event]) -> None:
    """Known ones, new ones, those that are not told apart; features that are called as columns."""
    _compare(make, events)


@pytest.mark.parametrize("make", MIXED.values(), ids=MIXED)
@pytest.mark.parametrize(
    "events",
    [
        [*({"a": 1.0, "b": word} for word in "stuvwss"), {"a": 2.0, "b": 5.0}, {"a": "s", "b": 1}],
        [{"b≠": 1.0}, {"b≠": 2.0}, *({"a": 1.0, "b": word} for word in "ssstuvwss")],
        [*({"a": 1.0, "b": word} for word in "sssssstuvwss")],
    ],
    ids=["a number where a word was", "a feature called as a column was", "new words"],
)
def test_these_change_no_bit(make: Callable[[], Any], events: list[dict[str, Any]]) -> None:
    """What chance meets too seldom."""
    _compare(make, [(features, n % 3 == 0, 0.0, "both") for n, features in enumerate(events)])


def _compare(make: Callable[[], Any], events: list[Event]) -> None:
    rivers, mine, before = make(), _Mine(make()), events[0][0]
    learned_n = {"learn": 1, "both": 1, "twice": 2, "the one before": 1}
    for features, flag, number, what in events:
        label = number if mine.kind == "regression" else flag
        if what != "learn":
            expect = getattr(rivers, mine.predicts)
            assert told(mine.predict, features) == told(expect, features)
        asked, before = before, features
        for _ in range(learned_n.get(what, 0)):
            learned = asked if what == "the one before" else features
            expected = told(rivers.learn_one, learned, label)
            assert told(mine.learn, learned, label) == expected
            if isinstance(expected, str):
                return  # what is left is half changed, and undone by whoever asked for it
        if what == "restore":
            mine.restore()
            rivers = restored(rivers)
        assert state(mine.model) == state(rivers)


@pytest.mark.parametrize("width", [1, 2, 9, row.WIDTH_MAX, row.WIDTH_MAX + 1])
def test_a_row_of_any_width(width: int, rows: list[int]) -> None:
    """One that is too wide is none; a string, a new name, or one less ends it for that event."""
    names = [f"feature {i}" for i in range(width)]
    rivers, mine = MODELS["strings too"](), _Mine(MODELS["strings too"]())
    rows.clear()
    for n in range(40):
        features: dict[str, Any] = {name: (n * i) % 7 / 3 for i, name in enumerate(names, n)}
        if n == 20:
            features[names[0]] = "a string"
        if n == 30:
            features["new"] = 1.0
        assert bits(mine.predict(features)) == bits(rivers.predict_proba_one(features))
        mine.learn(features, n % 3 == 0)
        rivers.learn_one(features, n % 3 == 0)

    assert state(mine.model) == state(rivers)
    assert set(rows) == ({width} if width <= row.WIDTH_MAX else set())


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_these_get_rows(make: Callable[[], Any], rows: list[int]) -> None:
    """Also after a restore; or the tests above would compare river with itself."""
    mine = _Mine(make())
    for _ in range(2):
        rows.clear()
        for n in range(3):
            mine.learn({"a": n / 3, "b": 1.0}, n == 1)
        assert rows == [2]
        mine.restore()


@pytest.mark.parametrize("name", ["few told apart", "none told apart", "all told apart"])
def test_words_get_rows(name: str, rows: list[int]) -> None:
    """Also those not told apart, once there is no room for more; not those that are new."""
    mine = _Mine(MIXED[name]())
    rows.clear()
    for n in range(9):
        mine.learn({"a": n / 3, "b": "odd" if n % 2 else "even"}, n == 1)
    assert mine.row_n() == 2
    mine.learn({"a": 1.0, "b": "new"}, True)
    rows.clear()
    mine.learn({"a": 1.0, "b": "newer"}, True)
    assert bool(rows) == (name == "all told apart")  # or it is still the same row
    assert mine.row_n() == 2


def test_features_that_may_be_called_as_columns_get_no_rows(rows: list[int]) -> None:
    """`a=b` is a number here, and a column of `a` there."""
    mine = _Mine(MODELS["strings too"]())
    rows.clear()
    for n in range(9):
        mine.learn({"a": "b", "a=b": n / 3}, n == 1)
        mine.learn({"c": 1.0, "a": "b", "a=": "c"}, n == 1)
    assert rows == []


def test_rows_need_some_events_alike() -> None:
    """To move in and out costs more than a few events gain: streams that alternate stay out."""
    assert scaled_linear.SAME_N == 1  # here; see the fixture
    scaler, model = MODELS["river's defaults"]().steps.values()
    fusing = FusedLinear(scaler, model)
    for n in range(20):
        fusing.learn_one({"a": 1.0} | ({"b": 2.0} if n % 2 else {}), True)
        assert fusing._names is None


@pytest.mark.parametrize("steps", OTHERS.values(), ids=OTHERS)
def test_what_has_more_to_it_stays_as_it_was(steps: tuple[Any, Any]) -> None:
    """Other scalers, penalties, other models."""
    assert not is_fused_linear(*steps)


def test_another_river_keeps_its_own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until somebody has compared the bits, and said so."""
    monkeypatch.setattr(compared, "river_version", "0.26.9")

    assert not is_fused_linear(pre.StandardScaler(), linear_model.LogisticRegression())
