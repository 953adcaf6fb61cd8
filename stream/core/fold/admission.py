"""What an event brings that a partition has not seen: taken in up to the limits, or left out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from stream.core.event import Feature, Reason, Rejection
from stream.core.fold import classes
from stream.core.fold.classes import OVER
from stream.core.fold.state import State
from stream.core.formats.checks import one_line
from stream.core.spec import Limits


class News(NamedTuple):
    """What the event of step `n` brought that the state did not know."""

    n: int
    names: Sequence[str] = ()
    label: Any = None


class Admission:
    """Decides for one state which new names and classes are taken in.

    Args:
        state: knows the names and the classes that there were.
        limits: how many there may be.

    Attributes:
        is_heavy: a copy of the state was larger than it may be.
        class_type: the type of all known classes; None: there are none yet.
        left_out_n: the step whose event was the first to have a name left out.
    """

    __slots__ = (
        "_classes_bytes",
        "_limits",
        "_news",
        "_state",
        "class_type",
        "is_heavy",
        "left_out_n",
    )

    def __init__(self, state: State, limits: Limits) -> None:
        self._state = state
        self._limits = limits
        self._news = News(-1)
        self._classes_bytes = sum(map(classes.written_bytes, state.classes))
        self.class_type = next(map(type, state.classes), None)
        self.left_out_n = -1
        self.is_heavy = False

    def misfit(self, features: dict[str, Feature]) -> Rejection | None:
        """Take new feature names in, up to the cap of a partition's life; or leave them out."""
        state, most = self._state, self._limits.distinct_features_max
        names = state.names
        new = [name for name in features if name not in names]
        if self._is_closed():
            return self._leave_out(features, new)
        if len(names) + len(new) > most:
            return Rejection(
                Reason.TOO_MANY_FEATURES,
                one_line(f'over {most} distinct names in this partition; new: "{new[0]}"'),
            )
        names.update(new)
        self._news = News(state.n, new)
        return None

    def is_new_class(self, label: Any) -> bool:
        """Whether an event names a class that was not there yet."""
        # To Python 1 is in {True}: a class was there only if it has the type of all, too.
        return label is not None and (
            label.__class__ is not self.class_type or label not in self._state.classes
        )

    def misfit_of_class(self, label: Any, features: dict[str, Feature]) -> Rejection | None:
        """Take a new class in, with its event's names, or neither."""
        state = self._state
        misfit = classes.refusal(
            label, state.classes, limits=self._limits, taken_bytes=self._classes_bytes,
            is_closed=self._is_closed(),
        )  # fmt: skip
        if misfit is None and not state.names.issuperset(features):
            misfit = self.misfit(features)
        if misfit is None:
            names = self._news.names if self._news.n == state.n else ()
            self._news = News(state.n, names, label)
            state.classes.add(label)
            self._classes_bytes += classes.written_bytes(label)
            self.class_type = type(label)
        return misfit

    def take_back(self) -> None:
        """Forget what the present event brought that was new."""
        state, news = self._state, self._news
        if news.n != state.n:
            return
        state.names.difference_update(news.names)
        if news.label is not None:
            state.classes.discard(news.label)
            self._classes_bytes -= classes.written_bytes(news.label)
            self.class_type = next(map(type, state.classes), None)
        self._news = News(-1)

    def weigh(self, payload_bytes: int) -> None:
        """Note how large a copy of the state is: see `close_if_heavy`."""
        self.is_heavy = payload_bytes > self._limits.state_bytes_max

    def close_if_heavy(self) -> None:
        """Take in no new name any more if the state is too large; the caller commits that next.

        A state that knows no name yet stays open, for it would refuse every event from then on.
        """
        state = self._state
        if self.is_heavy and state.closed_n is None and state.names:
            state.closed_n = state.n

    def _is_closed(self) -> bool:
        closed_n = self._state.closed_n
        return closed_n is not None and self._state.n >= closed_n

    def _leave_out(self, features: dict[str, Feature], new: Sequence[str]) -> Rejection | None:
        """Take the new names out of an event; an event with no other name is refused."""
        if len(new) == len(features):
            detail = f'{OVER}, which lets no new name in, and none of these is known: "{new[0]}"'
            return Rejection(Reason.TOO_MANY_FEATURES, one_line(detail))
        for name in new:
            del features[name]
        if self._state.closed_said_n is None:
            self.left_out_n = self._state.n
        return None
