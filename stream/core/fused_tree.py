"""river's Hoeffding tree classifier, with the votes of an event counted once.

A leaf votes in two ways, by majority and by naive Bayes. `predict_proba_one` takes the one that was
right more often; `learn_one` then finds the leaf again and has it vote in both ways again, to see
which are right now. Nothing was learned between the two: what the first found serves the second.
The arithmetic and its order are river's, the state too, bit for bit. Whatever is not the plain
case is river's own affair: missing features, leaves of other kinds, and every event at which a
tree may split, put a leaf to sleep or estimate its size.

Measured: nine numbers, 12,000 events, 50 us an event, river's own 81.
"""

from math import isnan
from typing import Any

from river import tree
from river.tree.nodes.branch import DTBranch
from river.tree.nodes.htc_nodes import LeafNaiveBayesAdaptive
from river.tree.utils import do_naive_bayes_prediction

from stream.core.fused import is_compared

Features = dict[str, Any]
Votes = dict[Any, float]


def is_fused_tree(model: Any) -> bool:
    """Whether `FusedTree` is for it."""
    return type(model) is tree.HoeffdingTreeClassifier and is_compared()


class FusedTree:
    """The methods of a tree that a fold needs.

    Args:
        model: a `tree.HoeffdingTreeClassifier`.
    """

    def __init__(self, model: Any) -> None:
        self._tree = model
        self._asked: tuple[Features, Any, Votes, bool] | None = None
        # River's own object: a tree estimates its size by what its parts do not share.
        self._weight: float = model.learn_one.__kwdefaults__["w"]

    def predict_proba_one(self, features: Features) -> Votes:
        """As `HoeffdingTreeClassifier.predict_proba_one`."""
        leaf = self._leaf(features)
        if leaf is None:
            self._asked = None
            return self._tree.predict_proba_one(features)  # type: ignore[no-any-return]
        is_bayes = leaf._nb_correct_weight >= leaf._mc_correct_weight  # noqa: SLF001
        votes = _by_bayes(leaf, features) if is_bayes else _by_majority(leaf)
        self._asked = features, leaf, votes, is_bayes
        return dict.fromkeys(sorted(self._tree.classes), 0.0) | votes

    def learn_one(self, features: Features, label: Any) -> None:
        """As `HoeffdingTreeClassifier.learn_one`."""
        asked, self._asked = self._asked, None
        model, weight = self._tree, self._weight
        if asked is None or not _same(asked[0], features) or self._may_grow(asked[1]):
            model.learn_one(features, label)
            return
        _, leaf, votes, is_bayes = asked
        model.classes.add(label)
        model._train_weight_seen_by_model += weight  # noqa: SLF001
        by_majority = _by_majority(leaf) if is_bayes else votes
        if not leaf.stats or _first(by_majority) == label:
            leaf._mc_correct_weight += weight  # noqa: SLF001
        by_bayes = votes if is_bayes else _by_bayes(leaf, features)
        if by_bayes and _first(by_bayes) == label:
            leaf._nb_correct_weight += weight  # noqa: SLF001
        leaf.update_stats(label, weight)
        leaf.update_splitters(features, label, weight, model.nominal_attributes)

    def _leaf(self, features: Features) -> Any | None:
        """Where the features lead; None if that is not the plain case."""
        node = self._tree._root  # noqa: SLF001
        try:
            while isinstance(node, DTBranch):
                node = node.next(features)
        except KeyError:
            return None
        return node if type(node) is LeafNaiveBayesAdaptive and node.is_active() else None

    def _may_grow(self, leaf: Any) -> bool:
        """Whether river has more to do than to teach the leaf, with some to spare."""
        model = self._tree
        seen = model._train_weight_seen_by_model + self._weight  # noqa: SLF001
        if seen % model.memory_estimate_period == 0:
            return True
        since = leaf.total_weight - leaf.last_split_attempt_at + 2.0
        return bool(leaf.depth >= model.max_depth or since >= model.grace_period)


def _same(asked: Features, learned: Features) -> bool:
    # A transformer before the tree makes other features for learning than it did for predicting,
    # and they are equal if what it learned meanwhile changed nothing.
    return asked is learned or asked == learned


def _by_bayes(leaf: Any, features: Features) -> Votes:
    return do_naive_bayes_prediction(features, leaf.stats, leaf.splitters)  # type: ignore[no-any-return]


def _by_majority(leaf: Any) -> Votes:
    """`normalize_values_in_dict`, without its deep copy."""
    stats: Votes = leaf.stats
    total = sum(stats.values())
    if total == 0 or isnan(total):
        return dict(stats)
    factor = 1 / total
    return {label: weight * factor for label, weight in stats.items()}


def _first(votes: Votes) -> Any:
    """The class with the most votes; of several, the first."""
    return max(votes, key=votes.get)  # type: ignore[arg-type]
