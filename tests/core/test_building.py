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
    compose,
    drift,
    dummy,
    ensemble,
    forest,
    linear_model,
    metrics,
    model_selection,
    optim,
    preprocessing,
    tree,
)

from stream.core.answers import NoAnswer
from stream.core.event import Kind
from stream.core.learner import build, trial
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
