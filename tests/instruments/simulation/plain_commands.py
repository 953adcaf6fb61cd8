"""What commands must do to a fold, and what must be said of it; told in the order of the journal.

A loop that is told their places needs no clock and no control topic of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.instruments.simulation.control_topic import Command, Sent

REFUSED = ("promote", "renew")
"""Nothing is there to be promoted."""


@dataclass(slots=True)
class Commanded:
    """What commands have made of one partition's fold.

    Attributes:
        is_frozen_by_command: an operator said so, be it after something else had frozen it.
        version: which model predicts; a reset makes another one.
        done: ids of commands that were done, or refused for what they want.
        places: what was folded and at which offset, all of it.
        resets: the steps, as the program counts them, before which there was a reset.
    """

    is_frozen: bool = False
    is_frozen_by_command: bool = False
    is_stopped: bool = False
    version: int = 1
    done: set[str] = field(default_factory=set)
    places: list[tuple[int, Sent]] = field(default_factory=list)
    resets: list[int] = field(default_factory=list)

    def begin_again(self) -> None:
        """Another fold begins; it was told nothing."""
        self.is_frozen = self.is_frozen_by_command = self.is_stopped = False
        self.version = 1
        self.done.clear()

    def obey(self, command: Command, n: int, *, reset: Callable[[], None]) -> None:
        """Let a command take effect that is done for the first time, as step `n`."""
        what = command["what"]
        if what in ("freeze", "unfreeze"):
            self.is_frozen = self.is_frozen_by_command = what == "freeze"
        elif what in ("pause", "resume"):
            self.is_stopped = what == "pause"
        elif what == "reset":
            self.version += 1
            self.resets.append(n)
            reset()


def told(
    sent: Sent,
    *,
    pipeline: str,
    n: int,
    offset: int,
    event_time: str,
    before: int,
    after: int,
    reason: str | None = None,
    own_id: str = "",
) -> tuple[int, bytes, Mapping[str, Any], Mapping[str, bytes]]:
    """The ledger's record that answers a command: timestamp, key, value, headers.

    It is of step `n`, before the event at `offset`; `before` and `after` are the model's versions,
    `reason` says why it was refused, if it was; its id ends with `own_id`.
    """
    command, where = sent.command, f"{pipeline}/{sent.partition}"
    assert command is not None
    what = command["what"] if reason is None else "refused"
    value = {
        "v": 1,
        "n": n,
        "input": "control",
        "id": f"{where}/{n}/{what}{own_id}",
        "what": what,
        "partition": sent.partition,
        "offset": offset,
        "event_time": event_time,
        "by": f"operator:{command['by']}",
        "why": command["why"],
        "before": {"model": "main", "version": before},
        "after": {"model": "main", "version": after},
        "evidence": {} if reason is None else {"command": command["what"], "reason": reason},
    }
    return sent.timestamp_ms, where.encode(), value, {"stream.command": command["id"].encode()}
