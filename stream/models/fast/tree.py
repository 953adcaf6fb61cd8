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
from typing import Any, NamedTuple

from river import tree
from river.tree.nodes.arf_htc_nodes import RandomLeafNaiveBayesAdaptive
from river.tree.nodes.branch import DTBranch
from river.tree.nodes.htc_nodes import LeafNaiveBayesAdaptive
from river.tree.utils import do_naive_bayes_prediction

from stream.core.compared import is_compared

Features = dict[str, Any]
Votes = dict[Any, float]

_LEAVES = (LeafNaiveBayesAdaptive, RandomLeafNaiveBayesAdaptive)


def is_fused_tree(model: Any) -> bool:
    """Whether `FusedTree` can stand for this model."""
    is_adaptive = type(model) is tree.HoeffdingTreeClassifier and model.leaf_prediction == "nba"
    return bool(is_adaptive and is_compared())


class _Answer(NamedTuple):
    """What a tree said of an event, and how it came to it.

    Attributes:
        leaf: where the features led; None if that is not the plain case.
        votes: how the leaf voted.
        is_bayes: whether it voted by naive Bayes, or by majority.
    """

    features: Features
    chances: Votes
    leaf: Any | None
    votes: Votes
    is_bayes: bool


class FusedTree:
    """The methods of a tree that a fold, or a forest, needs.

    Args:
        model: a `tree.HoeffdingTreeClassifier`, or a tree of a `forest.ARFClassifier`.
        is_untouched: nobody writes into the features once the tree was asked about them. Else it
            keeps a copy, to know them again.
    """

    path = "a tree's votes are counted once"

    def __init__(self, model: Any, *, is_untouched: bool = False) -> None:
        self._tree = model
        self._is_untouched = is_untouched
        self._answer: _Answer | None = None
        # River's own object: a tree estimates its size by what its parts do not share.
        self._weight: float = model.learn_one.__kwdefaults__["w"]

    def predict_proba_one(self, features: Features) -> Votes:
        """Do what river's `predict_proba_one` does; the answer is kept, so do not change it."""
        self._answer = None
        if type(features) is not dict:  # what else one does when it is asked, it does for river
            return self._tree.predict_proba_one(features)  # type: ignore[no-any-return]
        # First of all, as in river: classes that cannot be sorted raise, as may what follows.
        chances: Votes = dict.fromkeys(sorted(self._tree.classes), 0.0)
        leaf = self._leaf(features)
        asked = features if self._is_untouched else dict(features)
        if leaf is None:
            chances = self._tree.predict_proba_one(features)
            self._answer = _Answer(asked, chances, None, {}, is_bayes=False)
            return chances
        is_bayes = leaf._nb_correct_weight >= leaf._mc_correct_weight
        votes = _by_bayes(leaf, features) if is_bayes else _by_majority(leaf)
        chances |= votes
        self._answer = _Answer(asked, chances, leaf, votes, is_bayes)
        return chances

    def chances(self, features: Features) -> Votes:
        """The last answer if it was about these features, else a new `predict_proba_one`."""
        answer = self._answer
        if answer is not None and _same(answer.features, features):
            return answer.chances
        return self.predict_proba_one(features)

    def learn_one(self, features: Features, label: Any, weight: float | None = None) -> None:
        """Do what `HoeffdingTreeClassifier.learn_one` does."""
        answer, self._answer = self._answer, None
        model = self._tree
        if weight is None:
            weight = self._weight
        if (
            answer is None
            or answer.leaf is None
            or not _same(answer.features, features)
            or self._may_grow(answer.leaf, weight)
        ):
            model.learn_one(features, label, w=weight)
            return
        leaf, votes, is_bayes = answer.leaf, answer.votes, answer.is_bayes
        model.classes.add(label)
        model._train_weight_seen_by_model += weight
        by_majority = _by_majority(leaf) if is_bayes else votes
        if not leaf.stats or first(by_majority) == label:
            leaf._mc_correct_weight += weight
        by_bayes = votes if is_bayes else _by_bayes(leaf, features)
        if by_bayes and first(by_bayes) == label:
            leaf._nb_correct_weight += weight
        leaf.update_stats(label, weight)
        leaf.update_splitters(features, label, weight, model.nominal_attributes)

    def _leaf(self, features: Features) -> Any | None:
        """Where the features lead; None if that is not the plain case."""
        node = self._tree._root
        try:
            while isinstance(node, DTBranch):
                node = node.next(features)
        except KeyError:
            return None
        return node if type(node) in _LEAVES and node.is_active() else None

    def _may_grow(self, leaf: Any, weight: float) -> bool:
        """Whether river has more to do than to teach the leaf, with some to spare."""
        model = self._tree
        seen = model._train_weight_seen_by_model + weight
        if seen % model.memory_estimate_period == 0:
            return True
        since = leaf.total_weight - leaf.last_split_attempt_at + weight + 1.0
        return bool(leaf.depth >= model.max_depth or since >= model.grace_period)


def _same(asked: Features, learned: Features) -> bool:
    # A transformer before the tree makes other features for learning than it did for predicting,
    # and they are equal if what it learned meanwhile changed nothing. Equal is enough (1 and True,
    # or another order): a tree compares and calculates with them, and tells no numbers apart.
    return asked is learned or (type(learned) is dict and asked == learned)


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


def first(votes: Votes) -> Any:
    """The class with the most votes; of several, the first."""
    return max(votes, key=votes.get)  # type: ignore[arg-type]
