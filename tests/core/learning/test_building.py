"""A recipe is built, searched for missing seeds and tried; what is off names its key."""

import pickle
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from river import (
    anomaly,
    bandit,
    base,
    compose,
    drift,
    dummy,
    ensemble,
    forest,
    linear_model,
    metrics,
    model_selection,
    multioutput,
    optim,
    preprocessing,
    tree,
)

from stream.core.event import Kind
from stream.core.learning.estimator import build, kind_of, methods_of, trial
from stream.core.result import NoAnswer
from stream.core.seeds import unseeded
from stream.core.spec import ModelSpec
from stream.errors import Misconfigured
from tests import fragile

SCALED = preprocessing.StandardScaler
UNSEEDED: Any = drift.KSWIN()
UNSEEDED_TREE: Any = SCALED() | tree.HoeffdingAdaptiveTreeClassifier()


@pytest.mark.parametrize(
    ("model", "missing"),
    [
        (SCALED() | linear_model.LogisticRegression(), []),
        (forest.ARFClassifier(seed=1), []),
        (forest.ARFClassifier(), ["ARFClassifier.seed"]),
        (SCALED() | forest.ARFRegressor(), ["ARFRegressor.seed"]),
        (
            compose.TransformerUnion(
                compose.Select("a") | preprocessing.GaussianRandomProjector(n_components=2),
                SCALED(),
            )
            | linear_model.LogisticRegression(),
            ["GaussianRandomProjector.seed"],
        ),
        (
            drift.DriftRetrainingClassifier(
                tree.HoeffdingTreeClassifier(),
                drift_detector=UNSEEDED,
                train_in_background=False,
            ),
            ["KSWIN.seed"],
        ),
        (
            ensemble.BaggingClassifier(UNSEEDED_TREE, seed=1),
            ["HoeffdingAdaptiveTreeClassifier.seed"],
        ),
        (
            ensemble.VotingClassifier([dummy.PriorClassifier(), forest.AMFClassifier()]),
            ["AMFClassifier.seed"],
        ),
        (
            ensemble.SRPClassifier(tree.HoeffdingTreeClassifier(), drift_detector=UNSEEDED, seed=1),
            ["KSWIN.seed"],
        ),
        (
            linear_model.LogisticRegression(initializer=optim.initializers.Normal()),
            ["Normal.seed"],
        ),
        (
            model_selection.BanditClassifier(
                [linear_model.LogisticRegression(optim.SGD(rate)) for rate in (0.1, 0.2)],
                metric=metrics.Accuracy(),
                policy=bandit.EpsilonGreedy(epsilon=0.1),
            ),
            ["EpsilonGreedy.seed"],
        ),
        (anomaly.QuantileFilter(anomaly.HalfSpaceTrees(), q=0.9), ["HalfSpaceTrees.seed"]),
        (
            forest.ARFClassifier() | ensemble.BaggingClassifier(forest.ARFClassifier()),
            ["ARFClassifier.seed", "BaggingClassifier.seed"],
        ),
    ],
    ids=range(13),
)
def test_a_missing_seed_is_found_wherever_it_hides(model: Any, missing: list[str]) -> None:
    """In steps, branches, wrapped models, their detectors, policies and initialisers."""
    assert unseeded(model) == missing


def test_build_makes_what_the_recipe_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`module:callable` with parameters; a callable may sit inside a class."""
    module = tmp_path / "their_models.py"
    module.write_text(
        "from river import dummy, linear_model\n"
        "class Zoo:\n"
        "    @staticmethod\n"
        "    def make(l2=0.0):\n"
        "        return linear_model.LogisticRegression(l2=l2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model: Any = build(ModelSpec(factory="their_models:Zoo.make", params={"l2": 0.5}))

    assert model.l2 == 0.5
    sys.modules.pop("their_models")


@pytest.mark.parametrize(
    ("factory", "params", "text"),
    [
        ("no.such.module:make", {}, 'model.factory: cannot import "no.such.module"'),
        (
            "river.dummy:Missing",
            {},
            'model.factory: "river.dummy" has no callable "Missing"; it has',
        ),
        ("river.dummy:__doc__", {}, 'model.factory: "river.dummy" has no callable "__doc__"'),
        ("river.dummy:No.Such", {}, 'model.factory: "river.dummy" has no callable "No.Such"'),
        (
            "stream.models:hoeffding_tree",
            {"depth": 3},
            "model.factory: stream.models:hoeffding_tree(depth=3) raised TypeError: ",
        ),
        (
            "river.stats:Quantile",
            {"q": 5},
            "model.factory: river.stats:Quantile(q=5) raised ValueError: ",
        ),
        ("builtins:dict", {}, "model.factory: builtins:dict gave a dict, not a river estimator"),
    ],
)
def test_what_cannot_be_built_names_the_key(
    factory: str, params: dict[str, Any], text: str
) -> None:
    """One line that says which key to mend and what was wrong."""
    with pytest.raises(Misconfigured, match=f"^{re.escape(text)}") as caught:
        build(ModelSpec(factory=factory, params=params))

    assert "\n" not in str(caught.value)


def test_a_typo_in_a_factory_lists_what_the_module_itself_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what it imports, unless that is the nearest name."""
    (tmp_path / "typo_models.py").write_text(
        "from collections.abc import Mapping\nfrom typing import Any\n"
        "from river import forest\nfrom river.dummy import NoChangeClassifier\n"
        "fast = forest.ARFClassifier\ndef make_model(): ...\nclass Mine: ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name, near in (("make_modle", "make_model"), ("fsat", "fast")):
        with pytest.raises(Misconfigured) as caught:
            build(ModelSpec(factory=f"typo_models:{name}"))

        assert str(caught.value) == (
            f'model.factory: "typo_models" has no callable "{name}"; did you mean "{near}"? '
            "it has Mine, make_model"
        )
    sys.modules.pop("typo_models")


@pytest.mark.parametrize(
    "body",
    ["1 / 0", "def broken(:", "import no_such_thing", "raise SystemError", "raise SystemExit(0)"],
)
def test_a_module_that_breaks_on_import_is_a_configuration_error(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a user's module raises."""
    (tmp_path / "broken_models.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Misconfigured, match=r'^model\.factory: cannot import "broken_models"'):
        build(ModelSpec(factory="broken_models:make"))


def test_a_trial_leaves_the_model_untouched() -> None:
    """It predicts, learns and pickles a copy."""
    model = SCALED() | linear_model.LogisticRegression()
    before = pickle.dumps(model)
    trial(model, Kind.BINARY, {"a": 1.0}, label=True)
    trial(model, Kind.BINARY, {"a": 1.0}, label=None)

    assert pickle.dumps(model) == before


@pytest.mark.parametrize(
    ("model", "features", "error"),
    [
        (fragile.FragileRegressor(), {"fail": "raise in predict"}, ValueError),
        (fragile.FragileRegressor(), {"fail": "raise in learn"}, ValueError),
        (fragile.FragileRegressor(), {"fail": "nan in predict"}, NoAnswer),
        (fragile.Unpicklable(), {"a": 1}, (pickle.PicklingError, AttributeError)),
        (linear_model.LinearRegression(), {"a": "text"}, Exception),
    ],
    ids=range(5),
)
def test_a_trial_raises_what_the_model_raises(
    model: Any, features: dict[str, Any], error: Any
) -> None:
    """`stream check` shows it before the first event is quarantined."""
    with pytest.raises(error):
        trial(model, Kind.REGRESSION, features, label=1.0)


class _OfSklearn(base.Classifier):
    """As river wraps scikit-learn's classifiers, of which there need be none here."""

    def __init__(self, classes: list[Any], estimator: Any) -> None:
        self.classes = classes
        self.estimator = estimator

    @property
    def _multiclass(self) -> bool:
        return len(self.classes) > 2

    def learn_one(self, x: Any, y: Any) -> None:
        """Nothing."""

    def predict_one(self, x: Any, **_more: Any) -> Any:  # noqa: ARG002
        """The first class."""
        return self.classes[0]

    def predict_proba_one(self, x: Any, **_more: Any) -> dict[Any, float]:  # noqa: ARG002
        """What the estimator has, if it has it."""
        return dict(zip(self.classes, self.estimator.predict_proba(), strict=True))


_OfSklearn.__module__ = "river.compat.sklearn_to_river"


class _Estimator:
    """Scikit-learn's way of telling parameters."""

    def __init__(self, random_state: int | None, inner: Any = None) -> None:
        self.random_state, self.inner = random_state, inner

    def get_params(self, *, deep: bool) -> dict[str, Any]:
        """As scikit-learn's estimators."""
        assert not deep
        return {"random_state": self.random_state, "inner": self.inner}


class _Probable(_Estimator):
    def predict_proba(self) -> list[float]:
        """As those that have it."""
        return [0.25, 0.75]


@pytest.mark.parametrize(
    ("classes", "kind"),
    [([False, True], Kind.BINARY), (["DOWN", "UP"], Kind.MULTICLASS), ([0, 1], Kind.MULTICLASS),
     ([1, 2, 3], Kind.MULTICLASS)],
)  # fmt: skip
def test_a_model_of_sklearn_is_told_its_own_classes(classes: list[Any], kind: Kind) -> None:
    """Two classes that are not true and false are no binary task's: it would be told neither."""
    assert kind_of(SCALED() | _OfSklearn(classes, _Probable(1))) == kind


def test_a_model_of_sklearn_without_probabilities_only_predicts() -> None:
    """River's wrapping has the method for all of them, and it raises."""
    x: dict[str, Any] = {"a": 1.0}
    without: Any = _OfSklearn(["a", "b"], _Estimator(1))
    having: Any = _OfSklearn(["a", "b"], _Probable(1))

    predicted = methods_of(without, Kind.MULTICLASS).predict(x)
    probable = methods_of(having, Kind.MULTICLASS).predict(x)

    assert (predicted.value, predicted.probabilities) == ("a", None)
    assert probable.probabilities == {"a": 0.25, "b": 0.75}


@pytest.mark.parametrize(
    ("estimator", "missing"),
    [
        (_Estimator(1), []),
        (_Estimator(None), ["_Estimator.random_state"]),
        (_Probable(1, inner=[("step", _Estimator(None))]), ["_Estimator.random_state"]),
    ],
)
def test_a_missing_random_state_is_found(estimator: Any, missing: list[str]) -> None:
    """Scikit-learn's seeds, nested ones too."""
    assert unseeded(SCALED() | _OfSklearn([False, True], estimator)) == missing


@pytest.mark.parametrize(
    "model",
    [
        tree.ISOUPTreeRegressor(),
        multioutput.RegressorChain(linear_model.LinearRegression()),
        multioutput.ClassifierChain(linear_model.LogisticRegression()),
        SCALED() | multioutput.PerOutputRegressor(linear_model.LinearRegression()),
    ],
    ids=range(4),
)
def test_a_model_of_several_targets_is_refused(model: Any) -> None:
    """One of them is a regressor to river, and learns nothing of a number."""
    with pytest.raises(Misconfigured, match="predicts several targets at once"):
        kind_of(model)


def test_a_selection_of_models_takes_what_its_models_take() -> None:
    """Of itself it says that it knows two classes only."""
    budget: Any = {"metric": metrics.Accuracy(), "budget": 100}
    trees = [tree.HoeffdingTreeClassifier(max_depth=n) for n in (2, 3)]
    linear = [linear_model.LogisticRegression(optim.SGD(rate)) for rate in (0.1, 0.2)]

    assert kind_of(model_selection.SuccessiveHalvingClassifier(trees, **budget)) == Kind.MULTICLASS
    assert kind_of(model_selection.SuccessiveHalvingClassifier(linear, **budget)) == Kind.BINARY


@pytest.mark.parametrize(
    ("body", "params", "way_out"),
    [
        ("def make():\n    import sklearn_of_nobody.tree", {},
         "install it where the worker runs (pip install sklearn_of_nobody)"),
        ("def make(): open('/no/such/file')", {}, "put the file there, or name another"),
        ("def make(depth): pass", {}, "write what it needs into model.params"),
        ("def make(): pass", {"depth": 1}, "mend model.params"),
        ("def make(depth): raise ValueError(depth)", {"depth": 1},
         "mend model.params, or their_factory"),
    ],
    ids=range(5),
)  # fmt: skip
def test_a_factory_that_raises_is_told_what_to_do(
    body: str, params: dict[str, Any], way_out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that is missing is not mended by model.params."""
    (tmp_path / "their_factory.py").write_text(body + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        with pytest.raises(Misconfigured) as caught:
            build(ModelSpec(factory="their_factory:make", params=params))
    finally:
        sys.modules.pop("their_factory")

    assert str(caught.value).endswith(f"; {way_out}")
