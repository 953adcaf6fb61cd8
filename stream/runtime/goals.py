"""`until_end`: where each partition ended when its restore began, and whether all is folded."""

from stream.errors import BadInput, Misconfigured
from stream.runtime.breaker import GO_ON
from stream.runtime.labelling import Labelling
from stream.runtime.life import LIVING, SETTLING, Life, Lives
from stream.runtime.room import Everywhere, Room


class Goals:
    """How far a worker that stops at the end has to go.

    Args:
        lives: the worker's partitions.
        room: which of them wait for a place in the outputs.
        is_asked: whether it stops at the end at all.
        labelling: folds the labels of a topic of their own, which have an end, too.
    """

    def __init__(
        self,
        lives: Lives,
        room: Room | Everywhere,
        *,
        is_asked: bool,
        labelling: Labelling | None = None,
    ) -> None:
        self._lives = lives
        self._room = room
        self._is_asked = is_asked
        self._labelling = labelling
        self._ends: dict[int, int] = {}

    def add(self, partition: int, end: int) -> None:
        """Set a partition's goal, unless it has one: what comes later is not waited for."""
        self._ends.setdefault(partition, end)

    def are_reached(self) -> bool:
        """Whether it is asked for, and all that is not paused is folded up to its goal.

        Not while anything settles, or waits for its rehearsal.
        """
        lives = self._lives
        if not self._is_asked or lives.within(SETTLING | {Life.UNDECIDED}):
            return False
        if not (lives.within(LIVING) or self._room.waiting):
            return False
        folding = lives.tasks({Life.FOLDING})
        if any(task.next_offset < self._ends[p] for p, task in folding.items()):
            return False
        return self._labelling is None or self._labelling.are_through(folding)

    def complain(self) -> None:
        """Raise what kept a partition from its goal, if anything did.

        Raises: Misconfigured: it waits for a place in the outputs. BadInput: it is paused.
        """
        if self._room.waiting:
            raise Misconfigured(self._room.why())
        stopped, paused = (
            ", ".join(
                f"{partition} at offset {task.next_offset}"
                for partition, task in sorted(self._lives.tasks(lives).items())
                if task.next_offset < self._ends[partition]
            )
            for lives in ({Life.STOPPED}, LIVING - {Life.STOPPED})
        )
        if paused:
            raise BadInput(f"too much was refused, so this is paused: partition {paused}; {GO_ON}")
        if stopped:
            raise BadInput(
                f"a command has paused this: partition {stopped}; `stream control resume` lets it "
                "go on"
            )
