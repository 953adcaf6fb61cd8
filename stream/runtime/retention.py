"""How often snapshots are taken, and which of them stay."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from stream.ports import StoredSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How often, and how many.

    Attributes:
        replay_budget_s: for all partitions of a worker together; more would make a recovery late.
        keep: how many of the newest are kept for each partition.
        retention_s: how long the events topic keeps records; None = for ever.
    """

    replay_budget_s: float
    keep: int
    retention_s: float | None = None


def superfluous(
    stored: Iterable[StoredSnapshot],
    *,
    saved_n: int,
    topic_id: str,
    keep: int,
    now_ms: int,
    retention_s: float | None,
    pinned: Collection[int] = (),
) -> list[int]:
    """The steps of those to remove: all but the newest `keep`, and one of half the retention.

    The old one is what a rollback or a verification can begin from while the log reaches back.
    The snapshots of a topic that was made again since are good for nothing. They go first.
    The one that was just saved stays: older folds may have come further than its own has by now.
    So do those that are `pinned`.
    """
    ids = "", topic_id
    ranked = sorted(stored, key=lambda s: (s.topic_id not in ids, -s.n))
    newest, older = ranked[:keep], ranked[keep:]
    if retention_s is not None:
        half_ms = retention_s * 500
        aged = [s for s in older if now_ms - s.saved_at_ms >= half_ms]
        if aged and not any(now_ms - s.saved_at_ms >= half_ms for s in newest):
            older = [s for s in older if s is not aged[0]]
    return [s.n for s in older if s.n != saved_n and s.n not in pinned]
