"""Where the events of before lay: a detector says how many values ago, people want an offset."""

from typing import Final, NamedTuple

EVERY_N: Final = 32
"""Steps between two marks: so much earlier than the change may be what is told of it."""

MARKS_MAX: Final = 128


class Place(NamedTuple):
    """A step of a fold.

    Attributes:
        n: its number among the records.
        offset: of its record.
        timestamp_ms: of its record.
        labelled_n: how many labelled events there were before it, learned or not.
        valid_n: how many steps before it were no refusals.
    """

    n: int
    offset: int
    timestamp_ms: int
    labelled_n: int
    valid_n: int


class Marks:
    """Every 32nd step, and of those long ago fewer and fewer: the room is bounded.

    Attributes:
        due_n: the step that is the next one to be marked.
    """

    __slots__ = ("_marks", "due_n")

    def __init__(self) -> None:
        self.due_n = 0
        self._marks: list[Place] = []

    def add(self, place: Place) -> None:
        """Mark a step."""
        marks = self._marks
        marks.append(place)
        if len(marks) > MARKS_MAX:
            del marks[1 : MARKS_MAX // 2 : 2]
        self.due_n = place.n + EVERY_N

    @property
    def last(self) -> Place | None:
        """The newest; None: nothing was marked."""
        return self._marks[-1] if self._marks else None

    def before(self, place: Place, values_n: int, *, are_labelled: bool) -> Place:
        """The last mark that is not after the first of so many values, the last at `place`.

        Args:
            place: the present step.
            values_n: 1 is the present one alone.
            are_labelled: a value for each labelled event; else for each valid one.
        """
        at = 3 if are_labelled else 4
        first = place[at] + 1 - values_n
        found = self._marks[0] if self._marks else place
        for mark in self._marks:
            if mark[at] > first:
                break
            found = mark
        return found
