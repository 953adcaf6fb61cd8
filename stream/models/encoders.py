"""Makes of numbers, strings and bools what a river model can learn from.

One transformer for each family of models; that of the trees is in `nominal`. They share five rules.
A bool is the number 0 or 1. A string becomes features of another name, so that a feature may be a
number in one event and a string in the next. Only the first `categories_max` values of a feature
are told apart, in the order they were learned; all others count as one, and so does a value met for
the first time in a prediction. Where a model keeps statistics of every feature in many places, as
trees do, only the first `names_max` names reach it, in the order they were learned; others are left
out. And predicting changes nothing (`is_kept_by_asking`, see `stream.core.learning.asking`).

Nothing here iterates over a set: its order differs between hash seeds, and may differ after a
round trip through pickle too, which would make a restored model another one than the live one.
"""

from collections.abc import Iterator
from typing import Any

from river import base

from stream.models.vocabulary import NAMES_MAX, NOMINAL, Vocabulary

Features = dict[Any, Any]  # river's signature; our names are strings


class MixedScaler(base.Transformer):
    """Scales numbers to mean 0 and variance 1; makes strings one-hot columns, or codes for trees.

    On numbers it gives river's `StandardScaler` bit for bit (the tests hold it to that). It is not
    that class with a look for strings before it, because the look alone costs 12 % of a logistic
    regression's step, and this loop saves 20 % of it. Indicator columns are not scaled: they come
    only as 1.0, and would have no variance.

    Args:
        categories_max: values of one string feature that are told apart.
        clip: scaled numbers are kept within ±clip; None = as they are. A squared loss needs it:
            the first True of a rare flag lies sqrt(n) deviations off, and its gradient n times so.
        constant: add a feature that is always 1.0, for models without an intercept.
        nominal: strings become codes, see `nominal.NominalCoder`.
        names_max: how many features may be numbers that are scaled, and as many may be strings.

    References:
        Welford, 1962. Note on a method for calculating corrected sums of squares and products.
    """

    is_kept_by_asking = True

    def __init__(
        self,
        categories_max: int = 100,
        *,
        clip: float | None = None,
        constant: bool = False,
        nominal: bool = False,
        names_max: int = NAMES_MAX,
    ) -> None:
        self.categories_max = categories_max
        self.clip = clip
        self.constant = constant
        self.nominal = nominal
        self.names_max = names_max
        self._moments: dict[str, list[Any]] = {}  # name -> [n, mean, variance]
        self._vocabulary = Vocabulary(categories_max, names_max)

    def learn_one(self, x: Features) -> None:
        """Move means and variances; give new strings their codes."""
        moments = self._moments
        for name, value in x.items():
            if value.__class__ is str:
                self._vocabulary.learn(name, value)
                continue
            try:
                moment = moments[name]
            except KeyError:
                if len(moments) >= self.names_max:
                    continue
                moment = moments[name] = [0, 0.0, 0.0]
            n = moment[0] + 1
            offset = value - moment[1]
            mean = moment[1] + offset / n
            moment[0] = n
            moment[1] = mean
            moment[2] += (offset * (value - mean) - moment[2]) / n

    def transform_one(self, x: Features) -> Features:
        """Scaled numbers, in the order they came, and what the strings become."""
        moments = self._moments
        scaled: Features = {}
        for name, value in x.items():
            if value.__class__ is str:
                self._encode(name, value, scaled)
                continue
            try:
                _, mean, variance = moments[name]
            except KeyError:
                if len(moments) < self.names_max:
                    scaled[name] = 0.0
                continue
            scaled[name] = (value - mean) / variance**0.5 if variance else 0.0
        return self._finished(scaled)

    def learn_and_transform_one(self, x: Features) -> Features:
        """`learn_one`, then `transform_one`, in one go: see `stream.models.fast.linear`."""
        moments = self._moments
        scaled: Features = {}
        for name, value in x.items():
            if value.__class__ is str:
                self._vocabulary.learn(name, value)
                self._encode(name, value, scaled)
                continue
            try:
                moment = moments[name]
            except KeyError:
                if len(moments) >= self.names_max:
                    continue
                moment = moments[name] = [0, 0.0, 0.0]
            n, before, variance = moment
            n += 1
            offset = value - before
            mean = before + offset / n
            variance += (offset * (value - mean) - variance) / n
            moment[:] = n, mean, variance
            scaled[name] = (value - mean) / variance**0.5 if variance else 0.0
        return self._finished(scaled)

    @property
    def scales_plainly(self) -> bool:
        """Whether it only scales numbers and makes columns: see `fast.scaled_linear`."""
        is_plain = self.clip is None and not self.constant and not self.nominal
        return is_plain and self.names_max == NAMES_MAX

    def moments(self, name: str) -> tuple[int, float, float]:
        """How often a number was learned, its mean and its variance."""
        n, mean, variance = self._moments[name]
        return n, mean, variance

    def keep_moments(self, name: str, n: int, mean: float, variance: float) -> None:
        """Go on from these numbers."""
        self._moments[name][:] = n, mean, variance

    def columns(self, name: str) -> tuple[dict[str, str], str | None]:
        """The column of each string learned, and that of all others; None: each gets its own."""
        codes, is_full = self._vocabulary.codes(name)
        return {value: f"{name}={value}" for value in codes}, f"{name}≠" if is_full else None

    def _finished(self, scaled: Features) -> Features:
        if self.clip is not None:
            self._limit(scaled, self.clip)
        if self.constant:
            scaled["="] = 1.0
        return scaled

    def _encode(self, name: str, value: str, into: Features) -> None:
        code = self._vocabulary.code(name, value)
        if not code and not self._vocabulary.has_room_for(name):
            return
        if self.nominal:
            into[name + NOMINAL] = code
        else:
            into[f"{name}={value}" if code else f"{name}≠"] = 1.0

    @staticmethod
    def _limit(scaled: Features, clip: float) -> None:
        for name, value in scaled.items():
            # An int is a code, every scaled number a float.
            if value.__class__ is float and not -clip <= value <= clip:
                scaled[name] = clip if value > 0 else -clip


class NormLimiter(base.Transformer):
    """Shortens a feature vector that is longer than `norm_max`; its direction stays.

    A step of gradient descent on a squared loss overshoots, and in the end diverges, when learning
    rate times squared norm is above 1. Many features, or rare ones, lead there.

    Args:
        norm_max: the Euclidean norm that a vector may have.
    """

    is_kept_by_asking = True

    def __init__(self, norm_max: float) -> None:
        self.norm_max = norm_max

    def transform_one(self, x: Features) -> Features:
        """The vector, or a shortened copy."""
        norm: float = sum(value * value for value in x.values()) ** 0.5
        if norm <= self.norm_max:
            return x
        factor = self.norm_max / norm
        return {name: value * factor for name, value in x.items()}

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"norm_max": 7.0}


class UnitScaler(base.Transformer):
    """Scales numbers to [0, 1] by the range seen so far; makes of a string how frequent it is.

    A number beyond the range seen lies outside of [0, 1], which is what makes it an anomaly. The
    relative frequency of a string's value, as `carrier (text)`, lets the rare one stand out.

    Args:
        categories_max: values of one string feature that are counted apart.
    """

    is_kept_by_asking = True

    def __init__(self, categories_max: int = 100) -> None:
        self.categories_max = categories_max
        self._ranges: dict[str, list[Any]] = {}  # name -> [least, greatest]
        self._vocabulary = Vocabulary(categories_max)
        self._counts: dict[str, list[int]] = {}  # name -> count by code
        self._totals: dict[str, int] = {}

    def learn_one(self, x: Features) -> None:
        """Widen the ranges, count the strings."""
        for name, value in x.items():
            if value.__class__ is str:
                counts = self._counts.setdefault(name, [0])
                code = self._vocabulary.learn(name, value)
                if code == len(counts):
                    counts.append(0)
                counts[code] += 1
                self._totals[name] = self._totals.get(name, 0) + 1
                continue
            try:
                seen = self._ranges[name]
            except KeyError:
                self._ranges[name] = [value, value]
                continue
            if value < seen[0]:
                seen[0] = value
            elif value > seen[1]:
                seen[1] = value

    def transform_one(self, x: Features) -> Features:
        """Every feature as one number, within [0, 1] once it was learned."""
        scaled: Features = {}
        for name, value in x.items():
            if value.__class__ is str:
                counts = self._counts.get(name)
                code = self._vocabulary.code(name, value)
                scaled[name + NOMINAL] = counts[code] / self._totals[name] if counts else 0.0
                continue
            try:
                least, greatest = self._ranges[name]
            except KeyError:
                scaled[name] = 0.0
                continue
            width = greatest - least
            scaled[name] = (value - least) / width if width else 0.0
        return scaled
