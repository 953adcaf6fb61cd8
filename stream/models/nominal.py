"""How strings reach river's trees: as whole numbers, under names that say they are nominal."""

from collections.abc import Callable

from river import base

from stream.models.encoders import Features
from stream.models.vocabulary import NAMES_MAX, NOMINAL, Vocabulary


class NominalNames:
    """Tells river's trees which features are nominal: those that we named so.

    Trees take `nominal_attributes` as a list that must be complete at the start; ours is a rule.
    """

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.endswith(NOMINAL)

    def __repr__(self) -> str:
        # River shows a model by its parameters, and a clone must look like what it was made of.
        return "NominalNames()"


class NominalCoder(base.Transformer):
    """Leaves numbers as they are; the string feature `carrier` becomes the code `carrier (text)`.

    River's trees keep the values of a nominal feature in a set and take the first of equally good
    splits: with small integers that is the same one under every hash seed, with strings it is not.

    Args:
        categories_max: values of one string feature that are told apart.
        names_max: features that are passed on, by name.
    """

    is_kept_by_asking = True

    def __init__(self, categories_max: int = 100, names_max: int = NAMES_MAX) -> None:
        self.categories_max = categories_max
        self.names_max = names_max
        self._vocabulary = Vocabulary(categories_max)
        self._names: set[str] = set()

    def learn_one(self, x: Features) -> None:
        """Take new names in while there is room, and give new strings their codes."""
        names = self._names
        if not names.issuperset(x):
            for name in x:
                if len(names) < self.names_max:
                    names.add(name)
        for name, value in x.items():
            if value.__class__ is str and name in names:
                self._vocabulary.learn(name, value)

    def transform_one(self, x: Features) -> Features:
        """The features, with codes instead of strings."""
        names = self._names
        if len(names) >= self.names_max and not names.issuperset(x):
            x = {name: value for name, value in x.items() if name in names}
        return _coded(x, self._vocabulary.code)

    def learn_and_transform_one(self, x: Features) -> Features:
        """Learn, then transform, in one pass where all names are known."""
        if not self._names.issuperset(x):
            self.learn_one(x)
            return self.transform_one(x)
        return _coded(x, self._vocabulary.learn)


def _coded(x: Features, code: Callable[[str, str], int]) -> Features:
    """The features, with what `code` gives instead of strings."""
    coded: Features = {}
    for name, value in x.items():
        if value.__class__ is str:
            coded[name + NOMINAL] = code(name, value)
        else:
            coded[name] = value
    return coded
