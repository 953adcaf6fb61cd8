"""Whatever a user's transformer does to the features, the fold answers as a plain loop does.

A plain loop gives one dict to the prediction and then to `learn_one`, and river copies nothing:
what a transformer writes into it in the one is there in the other.
"""

import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import (
    base,
    compose,
    ensemble,
    feature_extraction,
    feature_selection,
    forest,
    linear_model,
    neighbors,
    stats,
    tree,
)
from river import preprocessing as pre

import stream.models
from stream.core import compared
from stream.core.learning.estimator import kind_of
from stream.core.learning.purity import OnOwnCopy, is_pure
from stream.core.monitoring.detectors import Detectors
from stream.core.spec import DetectorSpec
from stream.models.encoders import MixedScaler, NormLimiter, UnitScaler
from stream.models.fast import quick, scaled_linear
from stream.models.labels import LabelCoder
from stream.models.nominal import NominalCoder
from tests.core.learning.comparison import restored, told
from tests.folds import event, outputs_of, prediction_of, task, untrained
from tests.hostile import TRANSFORMERS, Own, log_in_place

Pipeline, Union = compose.Pipeline, compose.TransformerUnion


def _tree() -> Any:
    return tree.HoeffdingTreeClassifier(grace_period=10, delta=0.3, tau=0.5)


ENDS: dict[str, Callable[[], Any]] = {
    "tree": _tree,
    "forest": lambda: forest.ARFClassifier(n_models=2, seed=7, grace_period=10),
    "scaled linear": lambda: Pipeline(pre.StandardScaler(), linear_model.LogisticRegression()),
    "mixed linear": lambda: Pipeline(MixedScaler(), linear_model.LogisticRegression(l2=0.01)),
    "linear": linear_model.LogisticRegression,
    "numbers, regression": lambda: Pipeline(
        compose.SelectType(int, float), pre.StandardScaler(), linear_model.LinearRegression()
    ),
}


def _of(*steps: Any) -> Any:
    return Pipeline(*steps)  # to river, a pipeline is what its last step is


PLACES: dict[str, Callable[[Any, Any], Any]] = {
    "first": Pipeline,
    "after a scaler": lambda own, end: Pipeline(
        compose.SelectType(int, float), pre.StandardScaler(), own, end
    ),
    "before a scaler": lambda own, end: Pipeline(
        own, compose.SelectType(int, float), pre.StandardScaler(), end
    ),
    "left in a union": lambda own, end: Pipeline(Union(own, _scaled()), end),
    "right in a union": lambda own, end: Pipeline(Union(_scaled(), own), end),
    "in a union's pipeline": lambda own, end: Pipeline(
        Union(_scaled(), Pipeline(own, compose.SelectType(int, float), pre.StandardScaler())), end
    ),
    "twice": lambda own, end: Pipeline(own, own.clone(), end),
    "inside": lambda own, end: Pipeline(compose.SelectType(int, float), Pipeline(own, end)),
    "in a wrapper": lambda own, end: LabelCoder(_of(own, end)),
    "in an ensemble": lambda own, end: ensemble.BaggingClassifier(
        _of(own, end), n_models=2, seed=3
    ),
}


class Reading(base.Transformer):
    """A user's, that looks at what a later step has learned."""

    def __init__(self, scaler: Any, model: Any) -> None:
        self.scaler = scaler
        self.model = model

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """How much was learned of each feature, and how strong it is."""
        weights = dict(self.model._weights)
        return {
            **{name: value for name, value in x.items() if isinstance(value, int | float)},
            "n": sum(self.scaler.counts.values()),
            "strength": sum(map(abs, weights.values())),
        }


def _one_scaler_twice() -> Any:
    scaler = pre.StandardScaler()
    return Pipeline(
        compose.SelectType(int, float), ("one", scaler), ("two", scaler),
        linear_model.LogisticRegression(),
    )  # fmt: skip


def _one_scaler_in_a_union_too() -> Any:
    scaler = pre.StandardScaler()
    union = Union(compose.SelectType(int, float))
    union.transformers["scaler"] = Pipeline(compose.SelectType(int, float), scaler)
    return Pipeline(union, scaler, linear_model.LogisticRegression())


def _read_ahead() -> Any:
    scaler, model = pre.StandardScaler(), linear_model.LogisticRegression()
    return Pipeline(Reading(scaler, model), scaler, model)


def _near(one: Any, other: Any) -> float:
    return float(one[0] is other[0])


_distance: Any = _near  # river asks for one of its own types


SHARED: dict[str, Callable[[], Any]] = {
    "twice": _one_scaler_twice,
    "in a union too": _one_scaler_in_a_union_too,
    "read ahead": _read_ahead,
}
WRITERS: dict[str, Callable[[], Any]] = {
    "tree": lambda: Own("logs in place") | tree.HoeffdingTreeClassifier(grace_period=50),
    "forest": lambda: Own("logs in place") | forest.ARFClassifier(n_models=3, seed=1),
    "union, after a scaler": lambda: (
        (pre.StandardScaler() + Own("logs in place")) | linear_model.LogisticRegression()
    ),
    "union, before a scaler": lambda: (
        (Own("logs in place") + pre.StandardScaler()) | linear_model.LogisticRegression()
    ),
    "a function": lambda: compose.FuncTransformer(log_in_place) | _tree(),
    "scaled": lambda: (
        Own("logs in place") | pre.StandardScaler() | linear_model.LogisticRegression()
    ),
}
RIVERS: dict[str, Callable[[], Any]] = {
    "Agg": lambda: feature_extraction.Agg("a", by="k", how=stats.Mean()),
    "TargetAgg": lambda: feature_extraction.TargetAgg(by="k", how=stats.Mean()),
    "Binarizer": pre.Binarizer,
    "Discard": lambda: compose.Discard("a"),
    "FeatureHasher": lambda: pre.FeatureHasher(n_features=5, seed=1),
    "GaussianRandomProjector": lambda: pre.GaussianRandomProjector(3, seed=1),
    "Grouper": lambda: compose.Grouper(pre.StandardScaler(), by="k"),
    "MaxAbsScaler": pre.MaxAbsScaler,
    "MinMaxScaler": pre.MinMaxScaler,
    "Normalizer": pre.Normalizer,
    "OneHotEncoder": pre.OneHotEncoder,
    "OrdinalEncoder": pre.OrdinalEncoder,
    "AdaptiveStandardScaler": pre.AdaptiveStandardScaler,
    "PoissonInclusion": lambda: feature_selection.PoissonInclusion(p=0.5, seed=1),
    "PolynomialExtender": feature_extraction.PolynomialExtender,
    "Prefixer": lambda: compose.Prefixer("p"),
    "PreviousImputer": pre.PreviousImputer,
    "RBFSampler": lambda: feature_extraction.RBFSampler(n_components=3, seed=1),
    "RobustScaler": pre.RobustScaler,
    "Select": lambda: compose.Select("a", "b"),
    "SelectKBest": lambda: feature_selection.SelectKBest(stats.PearsonCorr(), k=2),
    "SelectType": lambda: compose.SelectType(int, float),
    "SparseRandomProjector": lambda: pre.SparseRandomProjector(3, seed=1),
    "StandardScaler": pre.StandardScaler,
    "StatImputer": lambda: pre.StatImputer(("a", stats.Mean())),
    "Suffixer": lambda: compose.Suffixer("s"),
    "TransformerProduct": lambda: compose.TransformerProduct(
        compose.Select("a"), compose.Select("b")
    ),
    "VarianceThreshold": feature_selection.VarianceThreshold,
    "union": lambda: Union(compose.Select("a"), pre.StandardScaler()),
    "MixedScaler": MixedScaler,
    "NominalCoder": NominalCoder,
    "NormLimiter": lambda: NormLimiter(1.0),
    "UnitScaler": UnitScaler,
}


def _scaled() -> Any:
    return Pipeline(compose.SelectType(int, float), pre.StandardScaler())


_VALUES = st.one_of(
    st.floats(-9, 9), st.integers(-3, 3), st.booleans(), st.sampled_from(["s", "t"]), st.just(0.0)
)
_EVENTS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("abc"), _VALUES, min_size=1),
        st.booleans(),
        st.sampled_from(["both", "both", "both", "predict", "learn", "restore"]),
    ),
    min_size=4,
    max_size=40,
)


Event = tuple[dict[str, Any], bool, str]


class _Mine:
    """A model as a fold has it."""

    def __init__(self, model: Any) -> None:
        self.model: Any = quick(model)
        methods: Any = self.model if is_pure(model) else OnOwnCopy(self.model)
        self.methods, self.learn = methods, methods.learn_one

    def restored(self) -> "_Mine":
        return _Mine(restored(self.model))


@pytest.fixture(autouse=True, scope="module")
def _rows() -> Iterator[None]:
    """Rows are made of two events with the same names, or chance would hardly ever make one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scaled_linear, "SAME_N", 1)
        yield


@pytest.mark.parametrize("name", TRANSFORMERS)
@settings(max_examples=20)
@given(events=_EVENTS, place=st.sampled_from(list(PLACES)), end=st.sampled_from(list(ENDS)))
def test_a_plain_loop_gives_the_same(name: str, events: list[Event], place: str, end: str) -> None:
    """Answers, errors with their texts, in every place; and nobody else sees what was written."""
    if place == "in a wrapper" and end not in ("tree", "forest"):  # of any number of classes
        end = "tree"
    _compare(lambda: PLACES[place](TRANSFORMERS[name](), ENDS[end]()), events)


@pytest.mark.parametrize("make", SHARED.values(), ids=SHARED)
@settings(max_examples=20)
@given(events=_EVENTS)
def test_steps_that_share_an_object_see_it_as_river_shows_it(
    make: Callable[[], Any], events: list[Event]
) -> None:
    """One scaler in two places, or a transformer that reads what a later step has learned."""
    _compare(make, events)


@pytest.mark.parametrize("make", WRITERS.values(), ids=WRITERS)
def test_a_transformer_that_writes_changes_no_prediction(make: Callable[[], Any]) -> None:
    """The first thing a user writes: `x["a"] = log(x["a"]); return x`, before any model."""
    rng = random.Random(5)
    events: list[Event] = []
    for _ in range(400):
        x = {"a": rng.uniform(1, 100), "b": rng.gauss(0, 1), "c": rng.random()}
        events.append((x, math.log(x["a"]) + x["b"] > 3.5 + rng.gauss(0, 1), "both"))
    events[200] = (*events[200][:2], "restore")
    _compare(make, events)


@pytest.mark.parametrize("factory", ["tests.hostile:writing_tree", "tests.hostile:writing_union"])
def test_a_detector_sees_the_feature_that_came_in(
    factory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model wrote into its own copy; and the outputs are a plain loop's, with one dict."""
    seen: list[Any] = []
    update = Detectors.update

    def watched(self: Detectors, *signals: Any) -> Any:
        seen.append(signals[-1]["a"])
        return update(self, *signals)

    monkeypatch.setattr(Detectors, "update", watched)
    signal = DetectorSpec(name="a", type="ADWIN", signal="feature:a")
    rng, model = random.Random(2), untrained(factory)
    folded = task(factory, detectors=(signal,))
    for n in range(300):
        x = {"a": rng.uniform(1, 100), "b": rng.gauss(0, 1)}
        found = prediction_of(outputs_of(folded, event(n, x, x["a"] > 40)))
        own, label = dict(x), x["a"] > 40
        expected = {str(key).lower(): p for key, p in model.predict_proba_one(own).items()}
        model.learn_one(own, label)
        assert found["probabilities"] == expected
        assert seen.pop() == x["a"]


def test_only_what_may_write_gets_a_copy() -> None:
    """River's own and ours cost nothing: every ready model, and all that is made of river's."""
    for name in stream.models.catalogue():
        assert is_pure(getattr(stream.models, name)()), name
    models = [make() for make in ENDS.values()]
    assert all(map(is_pure, [*models, *(place(_scaled(), _tree()) for place in PLACES.values())]))


@pytest.mark.parametrize("place", PLACES)
def test_what_may_write_is_found_wherever_it_is(place: str) -> None:
    """In a union, a wrapper, an ensemble: not to be proved harmless is enough."""
    for name, make in TRANSFORMERS.items():
        assert not is_pure(PLACES[place](make(), _tree())), name


@pytest.mark.parametrize(
    "part",
    [
        compose.FuncTransformer(log_in_place),
        feature_extraction.BagOfWords(preprocessor=log_in_place),
        neighbors.KNNClassifier(engine=neighbors.LazySearch(dist_func=_distance)),
        compose.Grouper(Own("adds"), by="c"),
        compose.TargetTransformRegressor(linear_model.LinearRegression(), abs, log_in_place),
    ],
    ids=lambda part: type(part).__name__,
)
def test_a_users_function_inside_of_rivers_own_is_found(part: Any) -> None:
    """Whatever it was made with."""
    assert not is_pure(part)


def test_another_river_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until somebody has looked what its transformers do."""
    monkeypatch.setattr(compared, "river_version", "0.26.9")

    assert not is_pure(linear_model.LogisticRegression())


@pytest.mark.parametrize("name", RIVERS)
def test_what_river_makes_is_new_and_what_it_is_given_stays(name: str) -> None:
    """What `is_pure` takes on trust of river's transformers, all of them."""
    transformer = RIVERS[name]()
    seen: list[tuple[dict[str, Any], dict[str, Any]]] = []  # a dict, and what it was
    made_ids: list[int] = []
    for n in range(20):
        x: dict[str, Any] = {"a": n % 7 / 3, "b": float(n % 5), "c": n % 2 + 1.0, "k": n % 3}
        seen.append((x, dict(x)))
        for _ in range(2):
            transformer.learn_one(x, *([n % 3] if transformer._supervised else []))
            made = transformer.transform_one(x)
            seen.append((made, dict(made)))
            made_ids += [] if made is x else [id(made)]
        assert is_pure(transformer)
    assert all(now == before for now, before in seen)
    assert len({*made_ids}) == len(made_ids)


def _compare(make: Callable[[], Any], events: list[Event]) -> None:
    rivers, mine = make(), _Mine(make())
    method = "predict_one" if kind_of(rivers) == "regression" else "predict_proba_one"
    for features, label, what in events:
        given, own = dict(features), dict(features)
        if what != "learn":
            expected = told(getattr(rivers, method), own)
            assert told(getattr(mine.methods, method), given) == expected
        if what != "predict":
            expected = told(rivers.learn_one, own, label)
            assert told(mine.learn, given, label) == expected
            if expected is not None:
                return  # what is left is half changed, and undone by the fold
        assert list(given.items()) == list(features.items())
        if what == "restore":
            mine, rivers = mine.restored(), restored(rivers)
