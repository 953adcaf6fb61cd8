"""river's own checks of an estimator hold for every ready model.

They are what river runs on each estimator of its own: pickling, cloning, features that come and go
or are shuffled, nothing written into the input, and more.
"""

import random
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from river import checks, datasets

import stream.models

_SMALL: dict[str, dict[str, Any]] = {
    "adaptive_random_forest": {"n_models": 2},
    "adaptive_random_forest_regressor": {"n_models": 2},
    "leveraging_bagging": {"n_models": 2},
    "half_space_trees": {"n_models": 5, "height": 5},
}
"""As they are, but for their size: river's checks feed some ten thousand events."""


class _Anomalies:
    """In the place of river's `CreditCard`, which would be downloaded."""

    def take(self, events_n: int) -> Iterator[tuple[dict[str, float], int]]:
        """One in twenty lies apart."""
        rng = random.Random(1)
        for _ in range(events_n):
            is_apart = rng.random() < 0.05
            x = {name: rng.gauss(5 * is_apart, 1) for name in "abcdef"}
            yield x, int(is_apart)


def _roc_auc(labels: Sequence[int], scores: Sequence[float]) -> float:
    """How often a positive's score is above a negative's; ties count half."""
    pairs = [
        (high > low) + (high == low) / 2
        for high, is_positive in zip(scores, labels, strict=True)
        if is_positive
        for low, is_other in zip(scores, labels, strict=True)
        if not is_other
    ]
    return sum(pairs) / len(pairs)


@pytest.fixture(autouse=True)
def _without_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever yields river's datasets imports scikit-learn, for models that we have none of."""
    monkeypatch.setattr(datasets, "CreditCard", _Anomalies)
    if find_spec("sklearn") is None:
        stub: Any = ModuleType("sklearn")
        stub.datasets = ModuleType("sklearn.datasets")
        stub.metrics = SimpleNamespace(roc_auc_score=_roc_auc)
        monkeypatch.setitem(sys.modules, "sklearn", stub)


@pytest.mark.parametrize("name", stream.models.catalogue())
def test_every_ready_model_keeps_rivers_conventions(name: str) -> None:
    """Each check gets a clone; those that river itself skips for such a model are skipped."""
    model = getattr(stream.models, name)(**_SMALL.get(name, {}))
    names = [
        check.__name__
        for check in checks.yield_checks(model)
        if check.__name__ not in model._unit_test_skips() and check(model.clone()) is None
    ]

    assert {
        "check_repr_roundtrips_clone", "check_pickling", "check_predict_one_pure",
        "check_bounded_memory_growth",
    } <= {*names}  # fmt: skip


def test_a_label_coder_takes_what_any_wrapper_of_river_takes() -> None:
    """Further arguments, for what it wraps; and it wraps what knows any number of classes."""
    coder = stream.models.no_change()
    coder.classifier = stream.models.hoeffding_tree()["LabelCoder"].classifier
    coder.learn_one({"a": 1.0}, "x", w=3.0)

    assert coder.classifier._train_weight_seen_by_model == 3.0  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="LogisticRegression knows only true and false"):
        stream.models.labels.LabelCoder(stream.models.logistic_regression()["LogisticRegression"])
