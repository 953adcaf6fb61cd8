"""What can go wrong, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from random import Random
from typing import Self

from stream.ports import StoredSnapshot

STORE = frozenset(("stored", "load", "save", "remove"))
"""The steps of the snapshots' store; all others are the log's."""

Snapshots = Mapping[tuple[str, int], dict[int, tuple[StoredSnapshot, bytes]]]


class Crash(BaseException):
    """The end of a process in the middle of a port call; nothing of ours may catch it."""

    @classmethod
    def at(cls, step: str) -> Self:
        """A crash at a step of a port call."""
        return cls(f"crash at {step}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Chances of faults: at a step of a port call, or of an action between two turns.

    The snapshots' are higher: it takes a restore, later, for them to matter.
    """

    crash: float
    retryable: float
    pause: float
    store_away: float
    kill: float
    drain: float
    expire: float
    spoil: float
    jump: float

    @classmethod
    def drawn(cls, rng: Random) -> Self:
        """Any mixture, so that rare faults meet each other too."""
        rates = {field.name: rng.choice((0.0, 0.003, 0.01, 0.03)) for field in fields(cls)}
        for name in ("store_away", "spoil"):
            rates[name] = rng.choice((0.0, 0.01, 0.05, 0.15))
        return cls(**rates)


def spoil(snapshots: Snapshots, rng: Random) -> str:
    """The store forgets or damages something. Returns: what."""
    places = [(held, at) for held in snapshots.values() for at in held]
    if not places:
        return "nothing to spoil"
    held, at = rng.choice(places)
    entry, sealed = held[at]
    how = rng.choice(("forget", "forget all", "flip", "cut", "swap"))
    # `randrange` draws more or less often by the length, which hangs on the order of pickled sets.
    where = int(rng.random() * len(sealed))
    if how == "forget":
        del held[at]
    elif how == "forget all":
        for each in snapshots.values():
            each.clear()
    elif how == "swap":
        other, other_at = rng.choice(places)
        held[at] = entry, other[other_at][1]
    elif how == "flip" and sealed:
        flipped = bytes((sealed[where] ^ 1 << rng.randrange(8),))
        held[at] = entry, sealed[:where] + flipped + sealed[where + 1 :]
    else:
        held[at] = StoredSnapshot(at, where, entry.saved_at_ms), sealed[:where]
    return f"{how} {at}"
