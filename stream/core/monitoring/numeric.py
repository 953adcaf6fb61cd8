"""The numeric breaker of one learner: when its numbers leave their bounds it must learn no more.

Descent with too long a step diverges: each event throws the weights further than the one before,
and what they say means nothing long before it is no number. Or one event of 1e14 takes all digits
of what a scaler knew. So before an event is learned its answer is looked at, and at fixed numbers
of learned events a linear model's weights.

What is merely wild is let pass: the bounds lie where no model of sound numbers gets
(docs/decisions/numeric-breaker.md has what was measured).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, ClassVar, Final, NamedTuple

NAME: Final = "numeric"
"""Of the part."""

ALERT: Final = "model:numeric"
"""The name of its alert."""

TIMES_MAX: Final = 1e6
"""A value may be so many times the largest label so far. Measured: 60,000 at the first event of an
unscaled tree; at most 8 from the second event on; 1e9 and more of what diverges."""

CALM_MAX: Final = 10.0
"""Up to so many times the largest label a value is usual; beyond, no copy is taken for a while."""

MARGIN_MAX: Final = 1e9
"""Of a classifier's weighted sum, whose probability is 0 or 1 from 30 on. Beyond 2**27 deviations
the square of one event takes all 53 bits of a scaler's variance. Measured: 183 at most, scaled."""

WEIGHT_MAX: Final = 1e15
"""As of a number in an event (`limits.magnitude_max`)."""

LOOK_EVERY_N: Final = 1024
"""Learned events between two looks at weights; the first looks are after 0, 1, 2, 4, 8 ... ."""

WEIGHTS_MAX: Final = 1000
"""A model of more is not copied: a copy would cost as much as many events."""


class Harm(NamedTuple):
    """What left its bounds.

    Attributes:
        what: "prediction", "margin" or "weight".
        value: maybe no finite number; bound: what it is beyond; inf: it is no finite number.
        text: one line.
        is_in_state: the model may be to blame, and not only the event that it was asked.
    """

    what: str
    value: float
    bound: float
    text: str
    is_in_state: bool

    @property
    def finite(self) -> float | None:
        """The value, if JSON can hold it."""
        return self.value if isfinite(self.value) else None

    @property
    def threshold(self) -> float | None:
        """The bound, if there is one."""
        return self.bound if isfinite(self.bound) else None


class Breaker:
    """What a fold keeps for it; can be pickled between two steps.

    Attributes:
        is_tripped: learning is frozen by it.
        label_max: the largest label there was, without its sign.
        calm: up to here a value is usual.
        is_calm: since the last look every value was.
        look_at: so many events must have been learned for the next look.
        copy: a linear model as it was when its last look was good, pickled; None: there is none.
        copied_at: how many events it had learned.
    """

    __slots__ = ("calm", "copied_at", "copy", "is_calm", "is_tripped", "label_max", "look_at")

    def __init__(self) -> None:
        self.is_tripped = False
        self.label_max = 0.0
        self.calm = CALM_MAX
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget the model that there was, for another learns now; labels stay known."""
        self.is_calm, self.look_at = True, 0
        self.copy: bytes | None = None
        self.copied_at = 0

    def note(self, label: float) -> None:
        """Let the bounds grow with a label."""
        self.label_max = max(self.label_max, abs(label))
        self.calm = CALM_MAX * (self.label_max + 1)

    def harm_of_value(self, value: float) -> Harm | None:
        """What is wrong with a value beyond what is calm; nothing, if it is only not usual."""
        bound = TIMES_MAX * (self.label_max + 1)
        if abs(value) > bound:
            text = (
                f"the prediction {value:.3g} is {TIMES_MAX:.0e} times beyond all labels, of which "
                f"the largest was {self.label_max:.3g}"
            )
            return Harm("prediction", value, bound, text, is_in_state=True)
        self.is_calm = False
        return None

    def looked(self, learned: int, copy: bytes | None) -> None:
        """A look at the weights found nothing.

        Args:
            learned: how many events the model has learned.
            copy: the model; None: it is too large.
        """
        self.look_at = next_look(learned)
        if self.is_calm:
            self.copy, self.copied_at = copy, learned
        self.is_calm = True

    def went_back(self, learned: int) -> None:
        """The model is one that was good after so many events, and learns no more."""
        self.is_tripped, self.is_calm = True, True
        self.look_at = next_look(learned)


def next_look(learned: int) -> int:
    """After how many learned events the weights are looked at next.

    >>> [next_look(n) for n in (0, 1, 2, 3, 600, 1024, 5000)]
    [1, 2, 4, 4, 1024, 2048, 6024]
    """
    if learned >= LOOK_EVERY_N:
        return learned + LOOK_EVERY_N
    return 1 << learned.bit_length()


def harm_of_weights(weights: Iterable[float]) -> Harm | None:
    """What is wrong with the weights of a model."""
    for weight in weights:
        if not -WEIGHT_MAX <= weight <= WEIGHT_MAX:
            value = float(weight)
            return Harm("weight", value, WEIGHT_MAX, f"a weight is {value:.3g}", is_in_state=True)
    return None


def harm_of_margin(margin: float) -> Harm | None:
    """What is wrong with the weighted sum of a classifier that is sure of itself."""
    if -MARGIN_MAX <= margin <= MARGIN_MAX:
        return None
    text = f"the weighted sum of its features is {margin:.3g}: their scale, or the weights, burst"
    return Harm("margin", margin, MARGIN_MAX, text, not isfinite(margin))


def no_number(text: str, value: float) -> Harm:
    """An answer is no finite number."""
    return Harm("prediction", value, inf, text, is_in_state=True)


@dataclass(frozen=True, slots=True)
class NumericSpec:
    """The settings: none, it is there or not."""

    name: ClassVar = NAME
    version: ClassVar = 1

    def settings(self) -> dict[str, Any]:
        """None."""
        return {}

    def begin(self) -> Breaker:
        """Before the first event."""
        return Breaker()
