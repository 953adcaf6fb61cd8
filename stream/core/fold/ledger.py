"""What the ledger says of a fold: one form, whoever did something to what predicts."""

from collections.abc import Mapping
from typing import Any

import xxhash

from stream.core.commands import LedgerValue, Predicts
from stream.core.event import iso
from stream.core.fold.folded import Folded
from stream.core.formats.commands import written

_hash = xxhash.xxh3_64_intdigest
_NOTHING: Mapping[str, Any] = {}


def told(
    task: Folded,
    *,
    n: int,
    source: str,
    what: str,
    by: str,
    why: str,
    timestamp_ms: int,
    before: Predicts | None = None,
    evidence: Mapping[str, Any] = _NOTHING,
    own_id: str = "",
) -> LedgerValue:
    """A record of the ledger.

    Args:
        task: stands where it was done, and predicts with what it predicts with since.
        n: the number of the step.
        source: where that came from: "control", "events" or "worker".
        what: was done.
        by: who did it.
        why: in one line.
        timestamp_ms: when.
        before: what predicted before; None: what predicts now.
        evidence: what it was done on.
        own_id: ends its id, where another may be told of the same step.
    """
    predicts = task.state.commanded.predicts
    return LedgerValue(
        n=n,
        input=source,
        id=f"{task.recipe.pipeline}/{task.partition}/{n}/{what}{own_id}",
        what=what,
        partition=task.partition,
        offset=task.next_offset,
        event_time=iso(timestamp_ms),
        by=by,
        why=why,
        before=before or predicts,
        after=predicts,
        evidence=dict(evidence),
    )


def add_to_digest(task: Folded, value: LedgerValue) -> None:
    """Make what the ledger says a part of what the fold gave."""
    task.state.digest = _hash(written(value), task.state.digest)
