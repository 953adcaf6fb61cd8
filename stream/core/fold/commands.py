"""Commands are steps of the fold: each is done once, at a place that the journal keeps."""

import xxhash

from stream.core.commands import (
    REFUSED,
    Command,
    LedgerValue,
    Predicts,
    What,
)
from stream.core.event import Channel, Record
from stream.core.fold.acting import arm
from stream.core.fold.ledger import add_to_digest, told
from stream.core.fold.task import Task

NOTHING_TO = {
    What.PROMOTE: "nothing to promote",
    What.RENEW: "nothing to promote",
}
"""Why a command that a pipeline has no use for is refused."""

_hash = xxhash.xxh3_64_intdigest


def fold(task: Task, record: Record, command: Command) -> LedgerValue | None:
    """Fold one command in: it is a step, also if it was done before.

    Args:
        task: moves on by one step.
        record: of the control topic.
        command: what that record says.

    Returns: what became of it; None: it had been done before.
    """
    state = task.state
    commanded, ledger = state.commanded, None
    if commanded.is_new(command.id):
        before, why_not = commanded.predicts, NOTHING_TO.get(command.what)
        if why_not is None:
            _do(task, command.what)
        ledger = answer(task, record, command, before=before, why_not=why_not)
        add_to_digest(task, ledger)
    else:
        state.digest = _hash(f"{state.n}:repeated".encode(), state.digest)
    state.n += 1
    commanded.folded_n += 1
    if ledger is not None and command.what in (What.FREEZE, What.UNFREEZE, What.RESET):
        task.keep_copy()  # all events since are of one kind: learned, or not
    return ledger


def answer(
    task: Task,
    record: Record,
    command: Command,
    *,
    before: Predicts | None = None,
    why_not: str | None = None,
    is_step: bool = True,
) -> LedgerValue:
    """What the ledger says of a command at the task's present step; it may be refused.

    Where it is no step its id names its own offset too: another may be answered at the same step.
    """
    what = command.what.value if why_not is None else REFUSED
    evidence = {} if why_not is None else {"command": command.what.value, "reason": why_not}
    return told(
        task, n=task.state.n, source=Channel.CONTROL.value, what=what, by=f"operator:{command.by}",
        why=command.why, timestamp_ms=record.timestamp_ms, before=before, evidence=evidence,
        own_id="" if is_step else f"/{record.offset}",
    )  # fmt: skip


def changed(task: Task, what: str, *, why: str, now_ms: int) -> LedgerValue:
    """What the ledger says of a fold that goes on, or begins, with another recipe.

    Args:
        task: stands where it does.
        what: "keep", "rebuild" or "fresh".
        why: which parts of the recipe changed.
        now_ms: the wall clock.
    """
    return told(
        task, n=task.state.n, source="worker", what=what, by="worker", why=why, timestamp_ms=now_ms
    )


def _do(task: Task, what: What) -> None:
    """Let a command take effect, before the step is counted."""
    commanded = task.state.commanded
    if what is What.RESET:
        commanded.reset_at(task.state.n)
        task.begin_untrained()
    elif what in (What.FREEZE, What.UNFREEZE):
        commanded.is_frozen_by_command = what is What.FREEZE
        task.freeze(is_frozen=what is What.FREEZE)
        if what is What.UNFREEZE:
            arm(task)
    else:
        commanded.is_paused = what is What.PAUSE
