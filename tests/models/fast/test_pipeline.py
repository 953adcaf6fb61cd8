"""A pipeline's steps called directly give what river's pipeline gives, bit for bit."""

import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import anomaly, base, compose, feature_extraction, linear_model, naive_bayes, stats, tree
from river import preprocessing as pre

from stream.core.learning.estimator import kind_of, methods_of
from stream.core.snapshots import pickling
from stream.core.stand_in import plain
from stream.models.fast import quick
from stream.models.fast.pipeline import Unrolled, is_plain, quicker
from tests.core.learning.comparison import told
from tests.models.fast.linear_models import state


def _doubled(x: dict[str, Any]) -> dict[str, Any]:
    return {name: 2 * value for name, value in x.items()}


class _Own(compose.Pipeline):
    """Somebody's own idea of a pipeline."""


class _Counting(base.Transformer):
    """Tells how often it was asked: a transformer that nobody may ask less often than river."""

    def __init__(self) -> None:
        self.n = 0

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """The features, and the number of this call."""
        self.n += 1
        return {**x, "n": self.n}


class _OwnUnion(compose.TransformerUnion):
    """Somebody's own idea of a union."""


def _twice(transformer: base.Transformer) -> compose.TransformerUnion:
    union = compose.TransformerUnion(transformer, transformer)  # it clones each
    union.transformers = dict.fromkeys(("one", "two"), transformer)
    return union


_NUMBERS = compose.SelectType(int, float)
_WORDS = compose.SelectType(str)
UNIONS: dict[str, Callable[[], Any]] = {
    "numbers and words": lambda: (
        (_NUMBERS | pre.StandardScaler()) + (_WORDS | pre.OneHotEncoder())
        | linear_model.LogisticRegression(l2=0.01)
    ),
    "names in common": lambda: (
        pre.StandardScaler() + pre.MinMaxScaler() + compose.Select("a")
        | linear_model.LogisticRegression()
    ),
    "between steps": lambda: (
        _NUMBERS
        | pre.MaxAbsScaler()
        | compose.TransformerUnion(pre.StandardScaler(), feature_extraction.PolynomialExtender())
        | pre.StandardScaler()
        | linear_model.LinearRegression()
    ),
    "one part": lambda: (
        compose.TransformerUnion(_NUMBERS | pre.StandardScaler()) | tree.HoeffdingTreeClassifier()
    ),
}
ODD: dict[str, Callable[[], Any]] = {
    "words that fail, and numbers": lambda: (
        (_WORDS | pre.OneHotEncoder(drop_first=True)) + (_NUMBERS | pre.StandardScaler())
        | linear_model.LogisticRegression()
    ),
    "a part that counts": lambda: (
        (_Counting() | _NUMBERS | pre.StandardScaler()) + (_Counting() | _WORDS)
        | tree.HoeffdingTreeClassifier(grace_period=20)
    ),
}
PLAIN: dict[str, Callable[[], base.Estimator]] = {
    "scaler": lambda: pre.StandardScaler() | linear_model.LogisticRegression(),
    "three steps": lambda: (
        compose.SelectType(int, float) | pre.MinMaxScaler() | naive_bayes.GaussianNB()
    ),
    "a function": lambda: compose.FuncTransformer(_doubled) | tree.HoeffdingTreeClassifier(),
    "one step": lambda: compose.Pipeline(linear_model.LogisticRegression()),
    "nested": lambda: compose.Pipeline(
        pre.StandardScaler(), compose.Pipeline(pre.MaxAbsScaler(), linear_model.ALMAClassifier())
    ),
    "a regressor": lambda: pre.StandardScaler() | linear_model.LinearRegression(),
    "scores": lambda: pre.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1),
    **UNIONS,
}
OTHERS: dict[str, Callable[[], base.Estimator]] = {
    "a derived union": lambda: (
        _OwnUnion(pre.StandardScaler(), pre.Binarizer()) | linear_model.LogisticRegression()
    ),
    "a union in a union's part": lambda: (
        compose.TransformerUnion(
            compose.Pipeline(compose.TransformerUnion(pre.StandardScaler()), pre.Binarizer()),
        )
        | linear_model.LogisticRegression()
    ),
    "a union with a supervised part": lambda: (
        compose.TransformerUnion(
            pre.StandardScaler(), feature_extraction.TargetAgg(by=["k"], how=stats.Mean())
        )
        | linear_model.LinearRegression()
    ),
    "a union of one transformer with itself": lambda: (
        _twice(pre.StandardScaler()) | linear_model.LogisticRegression()
    ),
    "supervised": lambda: (
        feature_extraction.TargetAgg(by=["k"], how=stats.Mean()) | linear_model.LinearRegression()
    ),
    "a filter": lambda: compose.Pipeline(
        pre.StandardScaler(),
        anomaly.QuantileFilter(anomaly.OneClassSVM(), q=0.9),
        linear_model.LogisticRegression(),
    ),
    "derived": lambda: _Own(pre.StandardScaler(), linear_model.LogisticRegression()),
    "no pipeline": naive_bayes.GaussianNB,
}


def _events(n: int = 300) -> Iterator[tuple[dict[str, Any], Any]]:
    rng = random.Random(3)
    for _ in range(n):
        x = {"a": rng.gauss(0, 1), "b": rng.random(), "k": rng.randrange(3)}
        yield x, x["a"] + x["b"] > rng.random()


def _by_river(model: Any) -> list[Any]:
    found = []
    for x, y in _events():
        if hasattr(model, "score_one") and kind_of(model) == "anomaly":
            found.append(model.score_one(x))
            model.learn_one(x)
        elif kind_of(model) == "regression":
            found.append(model.predict_one(x))
            model.learn_one(x, float(y))
        else:
            found.append((model.predict_one(x), model.predict_proba_one(x)))
            model.learn_one(x, y)
    return found


def _by_us(model: Any) -> list[Any]:
    kind, quickened = kind_of(model), quick(model)
    _, _, learn = methods = methods_of(quickened, kind)
    predict = methods.predict
    found: list[Any] = []
    for x, y in _events():
        prediction = predict(x)
        if kind == "anomaly":
            found.append(prediction.score)
        elif kind == "regression":
            found.append(prediction.value)
        else:
            found.append((prediction.value, prediction.probabilities))
        learn(x, float(y) if kind == "regression" else y)
    assert plain(quickened) is model  # with all that it learned, from now on
    return found


@pytest.mark.parametrize("make", [*PLAIN.values(), *OTHERS.values()], ids=[*PLAIN, *OTHERS])
def test_it_gives_what_the_pipeline_gives(make: Callable[[], base.Estimator]) -> None:
    """Predictions, and the state behind them."""
    mine, rivers = make(), make()

    found, expected = _by_us(mine), _by_river(rivers)

    if isinstance(expected[-1], tuple) and found[-1][1] is None:  # it has no probabilities
        expected = [(value, None) for value, _ in expected]
    assert found == expected
    assert _by_river(mine) == _by_river(rivers)  # the states behind them, going on


_VALUES = st.one_of(
    st.floats(-9, 9), st.booleans(), st.sampled_from(["s", "t", ""]), st.just(10**400)
)
_EVENTS = st.lists(
    st.tuples(st.dictionaries(st.sampled_from("abc"), _VALUES), st.booleans()), max_size=12
)


@pytest.mark.parametrize("make", [*UNIONS.values(), *ODD.values()], ids=[*UNIONS, *ODD])
@given(events=_EVENTS)
def test_a_union_does_as_rivers_does(
    make: Callable[[], Any], events: list[tuple[dict[str, Any], bool]]
) -> None:
    """Where several parts could fail, the same one does; else the states are the same bytes.

    And nothing is asked less often.
    """
    mine, rivers = make(), make()
    kind: str = kind_of(mine)
    methods: Any = quick(mine)
    method = "predict_one" if kind == "regression" else "predict_proba_one"
    for features, label in events:
        predict, expect = getattr(methods, method), getattr(rivers, method)
        assert told(predict, features) == told(expect, features)
        expected = told(rivers.learn_one, features, label)
        assert told(methods.learn_one, features, label) == expected
        if expected is not None:
            return  # what is left is half changed, and undone by whoever asked for it
        assert state(methods) == state(rivers)


@pytest.mark.parametrize("make", PLAIN.values(), ids=PLAIN)
def test_plain_pipelines_are_unrolled(make: Callable[[], base.Estimator]) -> None:
    """Also after a restore."""
    model = make()

    assert isinstance(quicker(model), Unrolled)
    assert isinstance(quicker(pickle.loads(pickling.dumps(model))), Unrolled)  # noqa: S301  # ours


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_what_has_rules_of_its_own_stays_rivers(make: Callable[[], base.Estimator]) -> None:
    """Supervised transformers, filters, derived classes, and unions with such parts."""
    model = make()

    assert not is_plain(model)
    assert quick(model) is model
