"""The life of a worker's partition: its states, and one table of the moves between them.

    AWAY ─► ASSIGNED ─► RESTORING ─► FOLDING ─► TRIPPED ─► PAUSED
               │           │            ▲                     ▲
               │           └─► UNDECIDED ─────────────────────┘  it was paused: rehearsed first
               └─► FOLDING or PAUSED                             its held state is the committed one

A command makes any living one STOPPED, but for TRIPPED, or FOLDING again.

A doubt about a commit leads from any living one back to ASSIGNED; a revoked one is AWAY, wherever
it was. What is not in the table is a mistake of ours, and ends the process.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from stream.core.fold.task import Task
from stream.errors import Internal


class Life(StrEnum):
    """Where a partition is in its life; the value says it in words."""

    AWAY = "not ours"
    ASSIGNED = "assigned, its committed offset not looked at"
    RESTORING = "being restored"
    FOLDING = "folding"
    TRIPPED = "paused by the breaker, which no commit has told yet"
    PAUSED = "paused until somebody has looked"
    UNDECIDED = "paused by its last owner, and not rehearsed yet"
    STOPPED = "paused by a command"


class Move(StrEnum):
    """What can happen to a partition."""

    ASSIGN = "the group gave it"
    REVOKE = "the group took it"
    DOUBT = "nobody knows what the last commit did"
    DIFFER = "its held state is not the committed one"
    KEEP = "its held state is the committed one"
    KEEP_PAUSED = "its held state is the committed one, which is paused"
    KEEP_STOPPED = "its held state is the committed one, which a command has paused"
    RESTORE = "its restore begins"
    RESTORED = "its restore is done"
    RESTORED_PAUSED = "its restore is done, of a state that is paused"
    RESTORED_STOPPED = "its restore is done, of a state that a command has paused"
    OWE = "what is committed beside its offset is not its own"
    FOLD = "a record, or a gap between records, was passed"
    TRIP = "too much of it was refused"
    COMMIT = "all that it folded is committed"
    RESUME = "its rehearsal went better, or a command says so"
    WORSE = "its rehearsal went no better"
    COMMAND = "a command was looked at"
    STOP = "a command has paused it"


SETTLING: Final = frozenset({Life.ASSIGNED, Life.RESTORING})
LIVING: Final = frozenset({Life.FOLDING, Life.TRIPPED, Life.PAUSED, Life.UNDECIDED, Life.STOPPED})
COMMANDABLE: Final = LIVING - {Life.TRIPPED}
"""One that has tripped is told first: its next commit makes it PAUSED."""

HALTED: Final = LIVING - {Life.FOLDING, Life.STOPPED}
"""By the breaker; what a command has paused is a part of the fold."""

MOVES: Final[dict[tuple[Life, Move], Life]] = {
    (Life.AWAY, Move.ASSIGN): Life.ASSIGNED,
    (Life.ASSIGNED, Move.DIFFER): Life.ASSIGNED,
    (Life.ASSIGNED, Move.KEEP): Life.FOLDING,
    (Life.ASSIGNED, Move.KEEP_PAUSED): Life.PAUSED,  # it was rehearsed, or has tripped here
    (Life.ASSIGNED, Move.KEEP_STOPPED): Life.STOPPED,
    (Life.ASSIGNED, Move.RESTORE): Life.RESTORING,
    (Life.RESTORING, Move.RESTORED): Life.FOLDING,
    (Life.RESTORING, Move.RESTORED_PAUSED): Life.UNDECIDED,
    (Life.RESTORING, Move.RESTORED_STOPPED): Life.STOPPED,
    (Life.FOLDING, Move.OWE): Life.FOLDING,
    (Life.UNDECIDED, Move.OWE): Life.UNDECIDED,
    (Life.STOPPED, Move.OWE): Life.STOPPED,
    (Life.FOLDING, Move.FOLD): Life.FOLDING,
    (Life.FOLDING, Move.TRIP): Life.TRIPPED,
    (Life.FOLDING, Move.COMMIT): Life.FOLDING,
    (Life.TRIPPED, Move.COMMIT): Life.PAUSED,
    (Life.UNDECIDED, Move.COMMIT): Life.UNDECIDED,
    (Life.PAUSED, Move.COMMIT): Life.PAUSED,  # a command was looked at
    (Life.STOPPED, Move.COMMIT): Life.STOPPED,
    (Life.UNDECIDED, Move.RESUME): Life.FOLDING,
    (Life.UNDECIDED, Move.WORSE): Life.PAUSED,
    **{(life, Move.COMMAND): life for life in COMMANDABLE},
    **{(life, Move.STOP): Life.STOPPED for life in COMMANDABLE},
    (Life.STOPPED, Move.RESUME): Life.FOLDING,
    (Life.PAUSED, Move.RESUME): Life.FOLDING,
    **{(life, Move.DOUBT): Life.ASSIGNED for life in LIVING},
    **{(life, Move.REVOKE): Life.AWAY for life in Life},  # one that waits for a place is away, too
}

_DIRTYING: Final = frozenset({Move.OWE, Move.FOLD, Move.RESUME, Move.COMMAND, Move.STOP})
_CLEANING: Final = frozenset({Move.COMMIT, Move.DOUBT, Move.REVOKE})


@dataclass(slots=True)
class _Partition:
    life: Life = Life.AWAY
    task: Task | None = None
    is_dirty: bool = False


class Lives:
    """The partitions of one worker: where each is, its task, and whether it owes a commit.

    A task is *held* while its partition is assigned or away: it may turn out to be the committed
    state. Only here a task becomes paused, or ceases to be.
    """

    def __init__(self) -> None:
        self._known: dict[int, _Partition] = {}

    def life(self, partition: int) -> Life:
        """Where a partition is."""
        known = self._known.get(partition)
        return Life.AWAY if known is None else known.life

    def move(self, partition: int, move: Move, task: Task | None = None) -> Life:
        """Let something happen to a partition, `task` coming to life if there is one.

        Returns: where it is now. Raises: Internal: that cannot happen to it there.
        """
        at = self._known.setdefault(partition, _Partition())
        before, life = at.life, MOVES.get((at.life, move))
        if life is None:
            raise Internal(f"partition {partition} is {at.life.value}, and {move.value}")
        at.life, at.task = life, at.task if task is None else task
        if move is Move.DIFFER or (move is Move.REVOKE and at.is_dirty):
            at.task = None  # its state is not committed, and will not be
        elif before is Life.UNDECIDED and life not in LIVING:
            at.task = None  # kept it would stay paused; once it is restored it is rehearsed
        if move in _DIRTYING:
            at.is_dirty = True
        elif move in _CLEANING:
            at.is_dirty = False
        if life in LIVING and at.task is not None:
            at.task.is_paused = life in HALTED
        if life is Life.AWAY and at.task is None:
            del self._known[partition]
        return life

    def within(self, lives: Collection[Life]) -> list[int]:
        """Which partitions are in one of these states, in their order."""
        return sorted(p for p, at in self._known.items() if at.life in lives)

    def tasks(self, lives: Collection[Life]) -> dict[int, Task]:
        """The tasks of the partitions that are in one of these states."""
        return {
            p: at.task for p, at in self._known.items() if at.life in lives and at.task is not None
        }

    @property
    def dirty(self) -> list[int]:
        """Which partitions owe a commit, in their order."""
        return sorted(p for p, at in self._known.items() if at.is_dirty)

    def forget_away(self) -> None:
        """Let go of held states of partitions that went elsewhere: not worth their memory now."""
        self._known = {p: at for p, at in self._known.items() if at.life is not Life.AWAY}
