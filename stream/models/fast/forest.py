"""river's adaptive random forest, with the votes of each tree counted once an event.

`predict_proba_one` asks all trees; `learn_one` asks each again, to see whether it was right, and
its leaf counts its votes once more to learn (`fast.tree`): three times in all. Nothing was learned
between the first and the last: what the first found serves all. The arithmetic, its order, and each
number drawn from the forest's generator are river's, the state too, bit for bit.

Measured: ten trees, nine numbers, 4,000 events: 520 to 550 us an event, river's own 710 to 750.
"""

from functools import partial
from typing import Any

from river import forest
from river.metrics.base import ClassificationMetric
from river.utils.random import poisson

from stream.core.compared import is_compared
from stream.models.fast.tree import Features, FusedTree, Votes, first


def is_fused_forest(model: Any) -> bool:
    """Whether `FusedForest` can stand for this model."""
    return type(model) is forest.ARFClassifier and is_compared()


class FusedForest:
    """The methods of a forest that a fold needs.

    Args:
        model: a `forest.ARFClassifier`.
        is_untouched: see `FusedTree`.
    """

    path = "each tree's votes are counted once"

    def __init__(self, model: Any, *, is_untouched: bool = False) -> None:
        self._forest = model
        self._fused = partial(FusedTree, is_untouched=is_untouched)
        self._trees = list(map(self._fused, model.data))
        metric = model.metric
        self._rates_chances = (
            isinstance(metric, ClassificationMetric) and not metric.requires_labels
        )

    def predict_proba_one(self, features: Features) -> Votes:
        """Do what `ARFClassifier.predict_proba_one` does."""
        model = self._forest
        votes: Votes = {}
        if not self._trees:
            self._plant(features)
            return votes
        is_weighted = not model.disable_weighted_vote
        for tree, metric in zip(self._trees, model._metrics, strict=True):
            chances = tree.predict_proba_one(features)
            weight = metric.get() if is_weighted else 0.0
            for label, chance in chances.items():
                vote = chance * weight if weight > 0.0 else chance
                votes[label] = vote + votes[label] if label in votes else vote
        total = sum(votes.values())
        return {label: vote / total for label, vote in votes.items()} if total > 0 else votes

    def learn_one(self, features: Features, label: Any) -> None:
        """Do what `ARFClassifier.learn_one` does."""
        model = self._forest
        if not self._trees:
            self._plant(features)
        background = model._background or [None] * len(self._trees)
        for index, tree in enumerate(self._trees):
            chances = tree.chances(features)
            guess = first(chances) if chances else None
            model._metrics[index].update(
                y_true=label, y_pred=dict(chances) if self._rates_chances else guess
            )
            weight = poisson(rate=model.lambda_value, rng=model._rng)
            if weight > 0:
                if background[index] is not None:
                    background[index].learn_one(x=features, y=label, w=weight)
                tree.learn_one(features, label, weight)
                self._look_for_drift(index, model._drift_detector_input(index, label, guess))

    def _plant(self, features: Features) -> None:
        """Make the trees; that happens at the first event."""
        self._forest._init_ensemble(sorted(features.keys()))
        self._trees = list(map(self._fused, self._forest.data))

    def _look_for_drift(self, index: int, error: float) -> None:
        """Watch one tree: a warning plants another behind it, a drift puts that in its place."""
        model = self._forest
        is_warned = not model._warning_detection_disabled
        if is_warned:
            model._warning_detectors[index].update(error)
            if model._warning_detectors[index].drift_detected:
                model._background[index] = model._new_base_model()
                model._warning_detectors[index] = model.warning_detector.clone()
                model._warning_tracker[index] += 1
        if model._drift_detection_disabled:
            return
        model._drift_detectors[index].update(error)
        if not model._drift_detectors[index].drift_detected:
            return
        if is_warned and model._background[index] is not None:
            model.data[index] = model._background[index]
            model._background[index] = None
            model._warning_detectors[index] = model.warning_detector.clone()
        else:
            model.data[index] = model._new_base_model()
        model._drift_detectors[index] = model.drift_detector.clone()
        model._metrics[index] = model.metric.clone()
        model._drift_tracker[index] += 1
        self._trees[index] = self._fused(model.data[index])
