"""What can go wrong at a step of a call, and how often."""

from dataclasses import dataclass, fields
from itertools import accumulate
from random import Random
from typing import NamedTuple, Self

import redis

from stream.errors import CommitLost, Retryable

_STORE = ("stored", "load", "save:before", "save:after", "remove:before", "remove:after")
_LOG = (
    "poll", "seek", "committed", "bounds", "read", "send", "look",
    *(f"{name}:{when}"
      for name in ("begin", "flush", "offsets", "end") for when in ("before", "after")),
)  # fmt: skip
_MANY = ("send", "save")
"""One commit sends many records; a fault in most commits would hide all later steps."""

# To be made anew each time: an exception keeps all frames that it was ever raised in.
_REDIS_IS_AWAY = (
    (redis.ConnectionError, "connection refused"),
    (redis.TimeoutError, "timed out"),
)
_REDIS_SAYS = (
    *_REDIS_IS_AWAY,
    (redis.ResponseError, "OOM command not allowed when used memory > 'maxmemory'"),
    (redis.ReadOnlyError, "you can't write against a read only replica"),
    (redis.BusyLoadingError, "loading the dataset in memory"),
    (redis.exceptions.NoPermissionError, "this user has no permissions"),
)


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
    slow: float
    retain: float
    grow: float

    @classmethod
    def drawn(cls, rng: Random) -> Self:
        """Any mixture, so that rare faults meet each other too."""
        rates = {field.name: rng.choice((0.0, 0.003, 0.01, 0.03)) for field in fields(cls)}
        rates["store_away"] = rng.choice((0.0, 0.01, 0.05, 0.15))
        rates["spoil"] = rng.choice((0.0, 0.0, 0.05, 0.2))
        for name in ("kill", "drain", "expire"):  # once a turn, of which a short run has a hundred
            rates[name] = rng.choice((0.0, 0.005, 0.02, 0.06))
        # Whoever deletes events up to the snapshots must be able to rely on these.
        rates["retain"] = 0.0 if rates["spoil"] else rng.choice((0.0, 0.0, 0.1))
        rates["grow"] = rng.choice((0.0, 0.0, 0.0, 0.01))
        return cls(**rates)

    def by_step(self) -> dict[str, "Chances"]:
        """What may happen at each step."""
        return {
            step: self._chances(step, away)
            for steps, away in ((_STORE, self.store_away), (_LOG, self.retryable))
            for step in steps
        }

    def _chances(self, step: str, away: float) -> "Chances":
        share = 0.2 if step.startswith(_MANY) else 1.0
        rates = (self.crash, away, self.slow, self.pause)
        return Chances(*accumulate(rate * share for rate in rates))


class Chances(NamedTuple):
    """What one roll at a step decides: each ends where the next one begins.

    Attributes:
        away: the server fails the call.
        pause: from here on nothing happens.
    """

    crash: float
    away: float
    slow: float
    pause: float


def failure(step: str, rng: Random) -> Exception:
    """What a call that fails raises at one of its steps."""
    name, _, when = step.partition(":")
    if step in _STORE:
        # An error that Redis answers with means that nothing was done.
        error, text = rng.choice(_REDIS_IS_AWAY if when == "after" else _REDIS_SAYS)
        return error(text)
    text = f"injected at {name}"
    if name == "committed" and rng.random() < 0.3:
        return CommitLost(text)
    return Retryable(text)
